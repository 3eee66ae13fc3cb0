// SPDX-License-Identifier: Apache-2.0
// Checks of a command list at load time, and the form in which it is kept afterwards.
#ifndef SLUICE_OPS_VALIDATE_H
#define SLUICE_OPS_VALIDATE_H

#include <memory>
#include <vector>

#include <sluice/result.hpp>

#include "ops/op.h"
#include "ops/segments.h"

namespace sluice {

struct LoadedCommand {
  Operands operands;
  const OpCode* code = nullptr;
  const MatmulKernel* matmul = nullptr;
  // Touches nothing that the work before it writes, back to the last that does not join: all of
  // that may be done at once.
  bool joins = false;
};

// A private copy of a list, every descriptor and command checked. Not movable: operands point into
// it.
struct LoadedList {
  std::vector<Tensor> tensors;
  std::vector<Command> commands;
  std::vector<LoadedCommand> work;  // the commands, and the packing that some matmuls want before
  StepLimits limits;
  size_t packed_bytes = 0;    // the largest need of any matmul
  size_t scratch_floats = 0;  // per thread

  LoadedList() = default;
  LoadedList(const LoadedList&) = delete;
  LoadedList& operator=(const LoadedList&) = delete;
};

// Which tensor or command of a list was refused, counted through both, tensors first; and if the
// reason is that its memory is not granted, or not for this, which memory that is.
struct ListRefusal {
  uint32_t index = 0;
  uint64_t address = 0;  // segment address
  uint64_t length = 0;   // bytes; 0: another reason
};

// EINVAL: "tensor 3: ..." or "command 7 (matmul): ..." with what was expected; then `ret_refused`
// is filled in, if it is given.
Result<std::unique_ptr<LoadedList>> validate(const CommandList& list, const SegmentTable& segments,
                                             const Kernels& kernels,
                                             ListRefusal* ret_refused = nullptr);

}  // namespace sluice

#endif  // SLUICE_OPS_VALIDATE_H
