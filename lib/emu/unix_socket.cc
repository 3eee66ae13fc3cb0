// SPDX-License-Identifier: Apache-2.0
#include "emu/unix_socket.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace sluice::emu {

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(EINVAL, fmt::format("{}: expected a path of 1 to {} bytes", path,
                                    sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd unix_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

}  // namespace sluice::emu
