// SPDX-License-Identifier: Apache-2.0
// What a board says of itself, by name.
#ifndef SLUICE_LIB_EMU_STATUS_H
#define SLUICE_LIB_EMU_STATUS_H

#include <sluice/emulator.hpp>

#include "emu/words.h"

namespace sluice::emu {

// `total`: what it has counted since it was switched on.
EmulatorStatus read_status(const Registers& registers, const sluice_sdi_counters& total);

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_STATUS_H
