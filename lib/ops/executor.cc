// SPDX-License-Identifier: Apache-2.0
// Replaying command lists: commands that have nothing to do with each other are a phase of pieces.
#include "ops/executor.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <string>

#include "core/aligned.h"
#include "core/thread_pool.h"
#include "ops/validate.h"

namespace sluice {

Result<const Kernels*> choose_kernels(std::string_view isa) {
  const char* env = std::getenv("SLUICE_ISA");
  const std::string wanted = !isa.empty() ? std::string(isa) : env ? env : "";
  std::string names;
  const Isa* best = nullptr;
  for (size_t i = 0; i < kNumIsas; ++i) {
    names += (i ? ", " : "") + std::string(kIsas[i].name);
    if (wanted == kIsas[i].name && !kIsas[i].usable()) {
      return fail(ENOTSUP, fmt::format("this CPU cannot run ISA {}", wanted));
    }
    if ((wanted.empty() || wanted == kIsas[i].name) && kIsas[i].usable()) best = &kIsas[i];
  }
  if (!best)
    return fail(EINVAL, fmt::format("unknown ISA \"{}\": expected one of {}", wanted, names));
  return best->kernels;
}

struct Executor::Impl {
  const Kernels& kernels;
  ThreadPool pool;
  std::map<uint32_t, std::unique_ptr<LoadedList>> lists;
  uint32_t next_handle = 1;
  Step step;
  PageBuffer packed;
  std::vector<PageBuffer> scratch;  // one per thread
  std::vector<uint32_t> pieces;     // of each piece of work in this step
  std::vector<size_t> phases;       // the first work of each phase
  std::vector<uint32_t> phase_pieces;
  Observer observer;

  Impl(const Kernels& k, unsigned n_threads) : kernels(k), pool(n_threads), scratch(pool.size()) {}

  Result<void> reserve(const LoadedList& list);
  void plan_phases(const LoadedList& list);
  RunContext context(const LoadedCommand& work, unsigned thread) const;
  template <typename Run>
  void run_one_by_one(const LoadedList& list, const Run& run);
};

template <typename Run>
void Executor::Impl::run_one_by_one(const LoadedList& list, const Run& run) {
  for (size_t i = 0; i < list.work.size(); ++i) {
    const LoadedCommand& w = list.work[i];
    if (w.code != &kPackCode) observer(w.operands, context(w, 0));
    pool.run(std::span(pieces).subspan(i, 1),
             [&](unsigned thread, size_t, uint32_t piece) { run(thread, i, piece); });
  }
}

// What can be done at once is a phase, unless it has more pieces than the pool counts.
void Executor::Impl::plan_phases(const LoadedList& list) {
  pieces.clear();
  phases.clear();
  phase_pieces.clear();
  for (size_t i = 0; i < list.work.size(); ++i) {
    const LoadedCommand& w = list.work[i];
    pieces.push_back(w.code->pieces(w.operands, context(w, 0)));
    if (w.joins && phase_pieces.back() + pieces[i] <= ThreadPool::kMostPieces) {
      phase_pieces.back() += pieces[i];
    } else {
      phases.push_back(i);
      phase_pieces.push_back(pieces[i]);
    }
  }
}

Result<void> Executor::Impl::reserve(const LoadedList& list) {
  if (packed.size() < list.packed_bytes) {
    SLUICE_TRY(packed, PageBuffer::allocate(list.packed_bytes));
  }
  const size_t bytes = list.scratch_floats * sizeof(float);
  for (PageBuffer& s : scratch) {
    if (s.size() < bytes) {
      SLUICE_TRY(s, PageBuffer::allocate(bytes));
    }
  }
  return {};
}

RunContext Executor::Impl::context(const LoadedCommand& work, unsigned thread) const {
  RunContext c{};
  c.kernels = &kernels;
  c.step = &step;
  c.matmul = work.matmul;
  c.packed = packed.data();
  c.scratch = reinterpret_cast<float*>(scratch[thread].data());
  c.n_threads = pool.size();
  return c;
}

Executor::Executor(const Kernels& kernels, unsigned n_threads)
    : impl_(std::make_unique<Impl>(kernels, n_threads)) {}
Executor::~Executor() = default;

Result<uint32_t> Executor::load(const CommandList& list, const SegmentTable& segments,
                                ListRefusal* ret_refused) {
  SLUICE_TRY(auto loaded, validate(list, segments, impl_->kernels, ret_refused));
  SLUICE_CHECK(impl_->reserve(*loaded));
  const uint32_t handle = impl_->next_handle++;
  impl_->lists.emplace(handle, std::move(loaded));
  return handle;
}

void Executor::unload(uint32_t handle) { impl_->lists.erase(handle); }

const LoadedList* Executor::find(uint32_t handle) const {
  const auto it = impl_->lists.find(handle);
  return it == impl_->lists.end() ? nullptr : it->second.get();
}

Result<void> Executor::run(uint32_t handle, std::span<const uint32_t> step,
                           const KeepGoing& keep_going) {
  const auto it = impl_->lists.find(handle);
  if (it == impl_->lists.end()) return fail(EINVAL, fmt::format("no list has handle {}", handle));
  const LoadedList& list = *it->second;
  SLUICE_CHECK(impl_->step.load(step, list.limits));
  impl_->plan_phases(list);
  std::atomic<bool> stopped = false;
  const auto run_piece = [&](unsigned thread, size_t i, uint32_t piece) {
    if (keep_going) {
      if (stopped.load(std::memory_order_relaxed)) return;
      if (!keep_going(thread)) {
        stopped = true;
        return;
      }
    }
    const LoadedCommand& w = list.work[i];
    w.code->run(w.operands, impl_->context(w, thread), Piece{piece, impl_->pieces[i]});
  };
  if (impl_->observer) {
    impl_->run_one_by_one(list, run_piece);
  } else {
    impl_->pool.run(impl_->phase_pieces, [&](unsigned thread, size_t phase, uint32_t piece) {
      size_t i = impl_->phases[phase];
      for (; piece >= impl_->pieces[i]; ++i) piece -= impl_->pieces[i];
      run_piece(thread, i, piece);
    });
  }
  if (stopped) return fail(ECANCELED, "the run was stopped");
  return {};
}

void Executor::observe(Observer observer) { impl_->observer = std::move(observer); }
const Step& Executor::step() const { return impl_->step; }
const Kernels& Executor::kernels() const { return impl_->kernels; }
unsigned Executor::n_threads() const { return impl_->pool.size(); }

}  // namespace sluice
