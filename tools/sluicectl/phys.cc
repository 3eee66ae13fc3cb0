// SPDX-License-Identifier: Apache-2.0
// SLUICE_IOC_PHYS. It is about the machine and no board, so the library's Device does not have it.
#include "phys.h"

#include <fmt/format.h>
#include <sluice.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "print.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;

namespace {

tl::unexpected<sluice::Error> explain(int code, const struct sluice_phys& arg) {
  switch (code) {
    case EOPNOTSUPP:
    case ENOTTY:
      return fail(ENOTSUP, "physical addresses are switched off: load the module with raw_phys=1");
    case EPERM:
      return fail(code, "physical addresses need CAP_SYS_RAWIO, and a kernel without lockdown");
    case EACCES:
      return fail(
          code, fmt::format("{:#x} is memory, or beside memory in its page: refused", arg.address));
    case EINVAL:
      return fail(code, fmt::format("{:#x}: expected a multiple of {} that the CPU has, and a "
                                    "value of {} bits",
                                    arg.address, arg.width / 8, arg.width));
    default:
      return fail(code, fmt::format("{:#x}: {}", arg.address, std::strerror(code)));
  }
}

}  // namespace

Result<std::string> phys(const Options& options, uint64_t address, std::optional<uint64_t> value) {
  if (options.device == "emu") {
    return fail(ENOTSUP, "physical addresses go through the driver: there is none for emu");
  }
  SLUICE_TRY(Board board, Board::open(options, !value));
  struct sluice_phys arg = {};
  arg.size = sizeof(arg);
  arg.flags = value ? SLUICE_PHYS_WRITE : 0;
  arg.width = options.width.value_or(32);
  arg.address = address;
  arg.value = value.value_or(0);
  if (::ioctl(board.device().fd(), SLUICE_IOC_PHYS, &arg) != 0) return explain(errno, arg);
  if (options.json) {
    return json_line({{"address", address},
                      {"width", arg.width},
                      {"value", arg.value},
                      {"hex", hex(arg.value, arg.width)}});
  }
  return value ? std::string() : hex(arg.value, arg.width) + "\n";
}

}  // namespace sluicectl
