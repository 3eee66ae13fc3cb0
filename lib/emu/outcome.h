// SPDX-License-Identifier: Apache-2.0
// How an entry ended: what its completion says, and the fault record if it failed.
#ifndef SLUICE_LIB_EMU_OUTCOME_H
#define SLUICE_LIB_EMU_OUTCOME_H

#include "emu/board.h"

namespace sluice::emu {

struct Board::Outcome {
  uint16_t status = SLUICE_SDI_OK;
  uint32_t result = 0;
  uint32_t index = 0;
  uint64_t address = 0;
  uint64_t length = 0;

  static Outcome refused(uint64_t address, uint64_t length) {
    return {.status = SLUICE_SDI_E_SEGMENT, .address = address, .length = length};
  }
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_OUTCOME_H
