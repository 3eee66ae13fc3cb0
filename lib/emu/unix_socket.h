// SPDX-License-Identifier: Apache-2.0
// Sockets with a path: what both ends need.
#ifndef SLUICE_LIB_EMU_UNIX_SOCKET_H
#define SLUICE_LIB_EMU_UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "core/file.h"

namespace sluice::emu {

// EINVAL: a path that is empty or longer than the system takes.
Result<sockaddr_un> unix_address(const std::string& path);

// A stream socket, not connected. Invalid: errno says why.
Fd unix_socket();

inline const sockaddr* generic_address(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_UNIX_SOCKET_H
