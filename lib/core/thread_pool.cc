// SPDX-License-Identifier: Apache-2.0
// Waiting is a short spin, then a futex (std::atomic::wait): idle threads cost nothing, and on a
// busy machine a waiting thread gives its processor to the one it waits for.
#include "core/thread_pool.h"

#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

constexpr int kSpins = 2000;  // some tens of microseconds: longer than most phases of a decode step

// work: generation (24 bits), pieces in all (20), nothing. left: generation, end (20), next (20).
// done: generation (12), count (20).
constexpr int kCountBits = 20;
constexpr uint32_t kCountMask = (1u << kCountBits) - 1;
constexpr uint32_t kGenerationMask = (1u << 24) - 1;

constexpr uint64_t make_left(uint32_t generation, uint32_t next, uint32_t end) {
  return uint64_t{generation} << (2 * kCountBits) | uint64_t{end} << kCountBits | next;
}
constexpr uint32_t generation_of(uint64_t left) {
  return static_cast<uint32_t>(left >> (2 * kCountBits));
}
constexpr uint32_t end_of(uint64_t left) {
  return static_cast<uint32_t>(left >> kCountBits) & kCountMask;
}
constexpr uint32_t next_of(uint64_t left) { return static_cast<uint32_t>(left) & kCountMask; }
constexpr uint32_t make_done(uint32_t generation, uint32_t count) {
  return generation << kCountBits | count;
}

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Until word is no longer `value`; may return early.
void wait_change(const std::atomic<uint32_t>& word, uint32_t value) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != value) return;
    pause_cpu();
  }
  word.wait(value, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(unsigned n_threads) : n_threads_(n_threads ? n_threads : 1) {
  // Where the system gives no more threads, those that there are do the work: nothing waits for a
  // thread by number.
  try {
    for (unsigned i = 1; i < n_threads_; ++i) threads_.emplace_back([this, i] { serve(i); });
  } catch (const std::system_error&) {
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// Helpers leave by themselves once the last job's pieces are done.
void ThreadPool::quiesce() const {
  while (inside_.load() != 0) std::this_thread::yield();
}

void ThreadPool::publish(std::span<const uint32_t> pieces, const Body& body) {
  if (pieces.size() > capacity_) {
    // Nobody enters while n_phases_ is 0 and nothing is claimed, so the array can be replaced.
    n_phases_ = 0;
    quiesce();
    phases_ = std::make_unique<Phase[]>(pieces.size());
    stretches_ = std::make_unique<Stretch[]>(pieces.size() * n_threads_);
    capacity_ = pieces.size();
  }
  const uint32_t generation = (generation_.load() + 1) & kGenerationMask;
  body_ = &body;
  for (size_t p = 0; p < pieces.size(); ++p) {
    phases_[p].done.store(make_done(generation, 0), std::memory_order_relaxed);
    const uint32_t n = n_stretches(pieces[p]);
    for (uint32_t i = 0; i < n; ++i) {
      const auto begin = [&](uint64_t stretch) {
        return static_cast<uint32_t>(pieces[p] * stretch / n);
      };
      stretches_[p * n_threads_ + i].left.store(make_left(generation, begin(i), begin(i + 1)),
                                                std::memory_order_release);
    }
    phases_[p].work.store(make_left(generation, 0, pieces[p]), std::memory_order_release);
  }
  n_phases_ = pieces.size();
  generation_.store(generation);
  generation_.notify_all();
}

void ThreadPool::run(std::span<const uint32_t> pieces, const Body& body) {
  if (n_threads_ == 1) {
    for (size_t phase = 0; phase < pieces.size(); ++phase) {
      for (uint32_t piece = 0; piece < pieces[phase]; ++piece) body(0, phase, piece);
    }
    return;
  }
  publish(pieces, body);
  walk(0, generation_.load());
}

// To look at everybody's stretch costs something, too: few pieces are in one, which is everybody's
// own.
uint32_t ThreadPool::n_stretches(uint32_t n_pieces) const {
  return n_pieces < 4 * n_threads_ ? 1 : n_threads_;
}

// Takes pieces of a stretch until there are none, and counts them. False: the job is over.
bool ThreadPool::finish_stretch(unsigned thread, size_t phase, uint32_t stretch, bool own,
                                uint32_t generation, uint32_t& n_done) {
  std::atomic<uint64_t>& left = stretches_[phase * n_threads_ + stretch].left;
  uint64_t now = left.load(std::memory_order_acquire);
  for (;;) {
    if (generation_of(now) != generation) return false;
    if (next_of(now) == end_of(now)) return true;
    const uint32_t piece = own ? next_of(now) : end_of(now) - 1;
    const uint64_t rest = own ? now + 1 : now - (uint64_t{1} << kCountBits);
    if (!left.compare_exchange_weak(now, rest, std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
      continue;
    }
    // The job cannot end before this piece is reported as done: body_ is the job's own.
    (*body_.load(std::memory_order_relaxed))(thread, phase, piece);
    ++n_done;
    now = left.load(std::memory_order_acquire);
  }
}

// Takes pieces until there are none, then waits for those that others hold. False: the job is over.
bool ThreadPool::finish_phase(unsigned thread, size_t phase, uint32_t generation) {
  Phase& p = phases_[phase];
  const uint64_t work = p.work.load(std::memory_order_acquire);
  if (generation_of(work) != generation) return false;
  const uint32_t n = n_stretches(end_of(work));
  // Reported once: all threads do so at the same place.
  uint32_t n_done = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (!finish_stretch(thread, phase, (thread + i) % n, i == 0, generation, n_done)) return false;
  }
  if (n_done > 0) {
    const uint32_t done = p.done.fetch_add(n_done, std::memory_order_acq_rel) + n_done;
    if ((done & kCountMask) == end_of(work)) p.done.notify_all();
  }
  const uint32_t all = make_done(generation, end_of(work));
  for (;;) {
    const uint32_t done = p.done.load(std::memory_order_acquire);
    if (done == all) return true;
    if ((done ^ all) >> kCountBits) return false;
    wait_change(p.done, done);
  }
}

void ThreadPool::walk(unsigned thread, uint32_t generation) {
  const size_t n = n_phases_.load();
  for (size_t phase = 0; phase < n; ++phase) {
    // Another processor has written them: to be here when it is their turn.
    if (phase + 1 < n) {
      __builtin_prefetch(&phases_[phase + 1]);
      __builtin_prefetch(&stretches_[(phase + 1) * n_threads_ + thread]);
    }
    if (!finish_phase(thread, phase, generation)) return;
  }
}

void ThreadPool::serve(unsigned thread) {
  for (uint32_t seen = 0;;) {
    wait_change(generation_, seen);
    if (stop_) return;
    inside_.fetch_add(1);
    seen = generation_.load();
    walk(thread, seen);
    inside_.fetch_sub(1);
  }
}

}  // namespace sluice
