// SPDX-License-Identifier: Apache-2.0
// Random command lists with the memory and the step that they run on, from a seed: what a machine
// that claims exact arithmetic is given, and the interpreter beside it.
#ifndef SLUICE_TESTS_INTERPRETER_CASES_H
#define SLUICE_TESTS_INTERPRETER_CASES_H

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/interpreter/interpreter.h"

namespace interpreter {

struct Case {
  std::vector<sluice_sdi_tensor> tensors;
  std::vector<sluice_sdi_command> commands;
  std::vector<uint8_t> memory;  // of all tensors, and gaps between them that stay as they are
  std::vector<uint32_t> step;

  List list() const { return {tensors, commands}; }
};

// One command of operation `op`; its weights or caches, if it has any, of `type`. `address` is the
// segment address of the memory, a multiple of 64. Always a list and a step that are good, below
// 256 KiB. Of `capabilities` (SLUICE_SDI_CAP_*) those for MATMUL count.
Case one_command(uint16_t op, uint16_t type, uint64_t address, uint32_t seed,
                 uint64_t capabilities);

// Commands of every kind, each of which may read what the ones before it have left.
Case many_commands(uint32_t n, uint64_t address, uint32_t seed, uint64_t capabilities);

// The types that the weights, table or caches of an operation may have; one that counts for nothing
// where it has none.
std::span<const uint16_t> types_for(uint16_t op);

// The first difference, "byte 12 is ..., expected ..."; empty: none. Two words or halves that are
// no number are the same: the text leaves their payload open.
std::string difference(std::span<const uint8_t> got, std::span<const uint8_t> expected);

}  // namespace interpreter

#endif  // SLUICE_TESTS_INTERPRETER_CASES_H
