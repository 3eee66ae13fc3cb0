// SPDX-License-Identifier: Apache-2.0
// A fixed team of threads that works through phases of independent pieces, one phase after the
// other. What a phase waits for is its pieces, never a thread: one that is not scheduled holds up
// nobody unless it is in the middle of them. Between jobs the threads sleep in the kernel.
#ifndef SLUICE_CORE_THREAD_POOL_H
#define SLUICE_CORE_THREAD_POOL_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

namespace sluice {

class ThreadPool {
 public:
  using Body = std::function<void(unsigned thread, size_t phase, uint32_t piece)>;
  static constexpr uint32_t kMostPieces = (1u << 20) - 1;  // in a phase

  // The caller of run() is thread 0; n_threads - 1 more are started, or as many as the system
  // gives.
  explicit ThreadPool(unsigned n_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  unsigned size() const { return n_threads_; }

  // Calls body for pieces 0 .. pieces[phase] - 1 of every phase. All of a phase are done, and what
  // they wrote is seen, before one of the next begins. One caller at a time.
  void run(std::span<const uint32_t> pieces, const Body& body);

 private:
  // One phase of the current job.
  struct alignas(64) Phase {
    std::atomic<uint64_t> work{0};  // generation, pieces in all
    std::atomic<uint32_t> done{0};  // low bits of the generation, and pieces done
  };
  // Consecutive pieces of a phase that a thread takes from the front, so that what it reads lies in
  // a line; the others help at the end of it when their own is done. Generation, end and the next
  // to be taken are in one word, so that a thread that comes late from an earlier job takes
  // nothing.
  struct alignas(64) Stretch {
    std::atomic<uint64_t> left{0};
  };

  void publish(std::span<const uint32_t> pieces, const Body& body);
  void serve(unsigned thread);
  void walk(unsigned thread, uint32_t generation);
  bool finish_phase(unsigned thread, size_t phase, uint32_t generation);
  bool finish_stretch(unsigned thread, size_t phase, uint32_t stretch, bool own,
                      uint32_t generation, uint32_t& n_done);
  // Into how many stretches a phase falls.
  uint32_t n_stretches(uint32_t n_pieces) const;
  void quiesce() const;

  const unsigned n_threads_;
  std::unique_ptr<Phase[]> phases_;
  std::unique_ptr<Stretch[]> stretches_;  // [phase][thread]
  size_t capacity_ = 0;
  std::atomic<size_t> n_phases_{0};
  std::atomic<const Body*> body_{nullptr};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> inside_{0};  // helpers that may look at phases_
  std::vector<std::thread> threads_;
};

}  // namespace sluice

#endif  // SLUICE_CORE_THREAD_POOL_H
