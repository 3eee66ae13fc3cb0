// SPDX-License-Identifier: Apache-2.0
// What the board has done, for people and for programs.
#ifndef SLUICE_TOOLS_SLUICE_EMU_STATUS_H
#define SLUICE_TOOLS_SLUICE_EMU_STATUS_H

#include <sluice/emulator.hpp>
#include <string>

namespace sluice_emu {

// A table of counters and of operations with their share of the modelled time.
std::string status_text(const sluice::EmulatorStatus& status);
// One line.
std::string status_json(const sluice::EmulatorStatus& status);

}  // namespace sluice_emu

#endif  // SLUICE_TOOLS_SLUICE_EMU_STATUS_H
