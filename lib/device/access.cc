// SPDX-License-Identifier: Apache-2.0
// Width, alignment, bounds and value checks of register accesses.
#include "device/access.h"

#include <fmt/format.h>

#include <cerrno>

namespace sluice {

Result<void> check_access(const std::string& where, uint64_t length, uint64_t offset,
                          unsigned width) {
  if (width != 8 && width != 16 && width != 32 && width != 64) {
    return fail(EINVAL, fmt::format("{}: width {}: expected 8, 16, 32 or 64 bits", where, width));
  }
  const uint64_t bytes = width / 8;
  if (offset % bytes != 0) {
    return fail(EINVAL,
                fmt::format("{}: offset {:#x}: expected a multiple of {} for a {}-bit access",
                            where, offset, bytes, width));
  }
  if (offset >= length || bytes > length - offset) {
    return fail(ERANGE, fmt::format("{}: offset {:#x}: {} bytes there are past the end at {:#x}",
                                    where, offset, bytes, length));
  }
  return {};
}

Result<void> check_value(const std::string& where, uint64_t offset, uint64_t value,
                         unsigned width) {
  if (width < 64 && value >> width != 0) {
    return fail(EINVAL, fmt::format("{}: offset {:#x}: value {:#x} does not fit in {} bits", where,
                                    offset, value, width));
  }
  return {};
}

}  // namespace sluice
