// SPDX-License-Identifier: Apache-2.0
// The machine that runs command lists on the CPU: it loads a list (copies it and checks everything
// that can be checked before a step), and replays it with step buffers.
#ifndef SLUICE_OPS_EXECUTOR_H
#define SLUICE_OPS_EXECUTOR_H

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <sluice/result.hpp>

#include "ops/kernels/kernels.h"
#include "ops/list.h"
#include "ops/segments.h"
#include "ops/validate.h"

namespace sluice {

// The ISA by name; "" takes $SLUICE_ISA, and without that the best that the CPU has. EINVAL: no
// such ISA; ENOTSUP: this CPU lacks it.
Result<const Kernels*> choose_kernels(std::string_view isa);

class Executor {
 public:
  Executor(const Kernels& kernels, unsigned n_threads);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Copies and validates the list against the segments, which must stay where they are until the
  // list is unloaded. The handle to run it by. EINVAL names the tensor or command and what was
  // expected, and `ret_refused` (see validate()); a list that passes can reach nothing outside its
  // segments in any step.
  Result<uint32_t> load(const CommandList& list, const SegmentTable& segments,
                        ListRefusal* ret_refused = nullptr);
  void unload(uint32_t handle);
  // The list as it was loaded; null: no such handle.
  const LoadedList* find(uint32_t handle) const;

  // Asked by each thread before each piece of work; thread 0 is the caller of run(). It may unload
  // lists other than the one that runs. False stops the run.
  using KeepGoing = std::function<bool(unsigned thread)>;
  // Runs every command of the list. EINVAL: the handle, or the step buffer (see Step::load), before
  // anything is computed. ECANCELED: `keep_going` said no, and what the list writes is undefined.
  Result<void> run(uint32_t handle, std::span<const uint32_t> step,
                   const KeepGoing& keep_going = {});
  // Called by the caller of run() before each command, when those before it are done and it has not
  // begun: for whoever wants to look at operands. Runs are slower for it.
  using Observer = std::function<void(const Operands& operands, const RunContext& context)>;
  void observe(Observer observer);
  // The snapshot of the step that ran last.
  const Step& step() const;

  const Kernels& kernels() const;
  unsigned n_threads() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // SLUICE_OPS_EXECUTOR_H
