// SPDX-License-Identifier: Apache-2.0
// The rules that every register access keeps, in one place for mappings and for error messages.
#ifndef SLUICE_LIB_DEVICE_ACCESS_H
#define SLUICE_LIB_DEVICE_ACCESS_H

#include <sluice/result.hpp>

#include <cstdint>

namespace sluice {

// Is `width` 8, 16, 32 or 64, `offset` a multiple of it (EINVAL) and the access inside `length`
// bytes (ERANGE)? `where` names the range in the message: "window 0 of /dev/sluice0".
Result<void> check_access(const std::string& where, uint64_t length, uint64_t offset,
                          unsigned width);

// Does `value` fit in `width` bits (EINVAL)?
Result<void> check_value(const std::string& where, uint64_t offset, uint64_t value, unsigned width);

}  // namespace sluice

#endif  // SLUICE_LIB_DEVICE_ACCESS_H
