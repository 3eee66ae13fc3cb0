// SPDX-License-Identifier: Apache-2.0
// The board's counters as a program reads them from its register window.
#ifndef SLUICE_LIB_EMU_STATUS_H
#define SLUICE_LIB_EMU_STATUS_H

#include <sluice/emulator.hpp>

#include "emu/words.h"

namespace sluice::emu {

EmulatorStatus read_status(const Registers& registers);

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_STATUS_H
