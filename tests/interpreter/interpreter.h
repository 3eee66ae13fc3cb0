// SPDX-License-Identifier: Apache-2.0
// A second reading of docs/device-interface.md, sections 9 to 11: checks command lists and carries
// them out one number at a time. It shares nothing with the library but the interface's header, so
// that bits on which the two agree come from the text and not from either program.
#ifndef SLUICE_TESTS_INTERPRETER_H
#define SLUICE_TESTS_INTERPRETER_H

#include <linux/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice_sdi.h"

namespace interpreter {

// What a segment address stands for; length 0: empty.
struct Segment {
  uint8_t* base;
  uint64_t length;
  bool readable, writable;
};

struct List {
  std::span<const sluice_sdi_tensor> tensors;
  std::span<const sluice_sdi_command> commands;
};

// The rules of section 9: SLUICE_SDI_OK, E_LIST or E_SEGMENT. If the list is refused, *ret_index is
// the tensor, or the number of tensors plus the command, that was; else it is untouched. There are
// no limits, so no E_LIMIT.
uint32_t check(const List& list, std::span<const Segment> segments, uint32_t* ret_index);

// Checks the list, checks the step buffer by section 10 (E_STEP; *ret_index is 0), and carries out
// the commands by section 11. Nothing is written unless both are good.
uint32_t run(const List& list, std::span<const Segment> segments, std::span<const std::byte> step,
             uint32_t* ret_index);

}  // namespace interpreter

#endif  // SLUICE_TESTS_INTERPRETER_H
