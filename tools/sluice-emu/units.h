// SPDX-License-Identifier: Apache-2.0
// Numbers with a suffix, as the command line takes them.
#ifndef SLUICE_TOOLS_SLUICE_EMU_UNITS_H
#define SLUICE_TOOLS_SLUICE_EMU_UNITS_H

#include <cstdint>
#include <string>

#include <sluice/result.hpp>

namespace sluice_emu {

// "256M": a whole number and k, M, G or T for powers of `unit` (1000 or 1024). EINVAL.
sluice::Result<uint64_t> parse_amount(const std::string& text, uint64_t unit = 1000);

}  // namespace sluice_emu

#endif  // SLUICE_TOOLS_SLUICE_EMU_UNITS_H
