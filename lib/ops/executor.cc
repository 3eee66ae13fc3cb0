// SPDX-License-Identifier: Apache-2.0
// Replaying command lists: every thread walks the list, barriers separate the commands.
#include "ops/executor.h"

#include <fmt/format.h>

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
  Barrier barrier;
  std::map<uint32_t, std::unique_ptr<LoadedList>> lists;
  uint32_t next_handle = 1;
  Step step;
  PageBuffer packed;
  std::vector<PageBuffer> scratch;              // one per thread
  std::vector<std::atomic<uint32_t>> counters;  // one per command of the longest list

  Impl(const Kernels& k, unsigned n_threads)
      : kernels(k), pool(n_threads), barrier(pool.size()), scratch(pool.size()) {}

  Result<void> reserve(const LoadedList& list);
  void walk(const LoadedList& list, unsigned thread);
};

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
  if (counters.size() < list.loaded.size()) {
    counters = std::vector<std::atomic<uint32_t>>(list.loaded.size());
  }
  return {};
}

void Executor::Impl::walk(const LoadedList& list, unsigned thread) {
  RunContext c{};
  c.kernels = &kernels;
  c.step = &step;
  c.packed = packed.data();
  c.scratch = reinterpret_cast<float*>(scratch[thread].data());
  c.barrier = &barrier;
  c.thread = thread;
  c.n_threads = pool.size();
  for (size_t i = 0; i < list.loaded.size(); ++i) {
    const LoadedCommand& command = list.loaded[i];
    c.matmul = command.matmul;
    c.pack = command.pack;
    c.next = &counters[i];
    command.op->run(command.operands, c);
    barrier.wait();
  }
}

Executor::Executor(const Kernels& kernels, unsigned n_threads)
    : impl_(std::make_unique<Impl>(kernels, n_threads)) {}
Executor::~Executor() = default;

Result<uint32_t> Executor::load(const CommandList& list, const SegmentTable& segments) {
  SLUICE_TRY(auto loaded, validate(list, segments, impl_->kernels));
  SLUICE_CHECK(impl_->reserve(*loaded));
  const uint32_t handle = impl_->next_handle++;
  impl_->lists.emplace(handle, std::move(loaded));
  return handle;
}

void Executor::unload(uint32_t handle) { impl_->lists.erase(handle); }

Result<void> Executor::run(uint32_t handle, std::span<const uint32_t> step) {
  const auto it = impl_->lists.find(handle);
  if (it == impl_->lists.end()) return fail(EINVAL, fmt::format("no list has handle {}", handle));
  const LoadedList& list = *it->second;
  SLUICE_CHECK(impl_->step.load(step, list.limits));
  for (auto& counter : impl_->counters) counter.store(0, std::memory_order_relaxed);
  impl_->pool.run([&](unsigned thread) { impl_->walk(list, thread); });
  return {};
}

const Kernels& Executor::kernels() const { return impl_->kernels; }
unsigned Executor::n_threads() const { return impl_->pool.size(); }

}  // namespace sluice
