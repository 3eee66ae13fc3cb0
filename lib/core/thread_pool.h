// SPDX-License-Identifier: Apache-2.0
// A fixed team of threads that runs one job at a time, and the barrier that its members meet at.
// Between jobs the threads sleep in the kernel; within a job they spin briefly before they do.
#ifndef SLUICE_CORE_THREAD_POOL_H
#define SLUICE_CORE_THREAD_POOL_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace sluice {

class Barrier {
 public:
  explicit Barrier(unsigned n_threads) : n_threads_(n_threads) {}
  // Returns when all threads have called it; what they wrote before is seen by all after.
  void wait();

 private:
  const unsigned n_threads_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
};

class ThreadPool {
 public:
  // The caller of run() is thread 0; n_threads - 1 more are started.
  explicit ThreadPool(unsigned n_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  unsigned size() const { return n_threads_; }
  // Runs job(i) on every thread i and returns when all are done. One caller at a time.
  void run(const std::function<void(unsigned)>& job);

 private:
  void work(unsigned index);
  const unsigned n_threads_;
  const std::function<void(unsigned)>* job_ = nullptr;
  bool stop_ = false;
  alignas(64) std::atomic<uint32_t> generation_{0};
  Barrier done_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice

#endif  // SLUICE_CORE_THREAD_POOL_H
