// SPDX-License-Identifier: Apache-2.0
// Device registers of the machine by physical address, through any board's driver.
#ifndef SLUICECTL_PHYS_H
#define SLUICECTL_PHYS_H

#include <sluice/result.hpp>
#include <string>

#include "board_io.h"

namespace sluicectl {

// Reads, or writes `value`; --width bits (default 32).
sluice::Result<std::string> phys(const Options& options, uint64_t address,
                                 std::optional<uint64_t> value);

}  // namespace sluicectl

#endif  // SLUICECTL_PHYS_H
