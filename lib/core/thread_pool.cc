// SPDX-License-Identifier: Apache-2.0
// Waiting is a short spin, then a futex (std::atomic::wait): idle threads cost nothing, and on a
// busy machine a waiting thread gives its processor to the one it waits for.
#include "core/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

constexpr int kSpins =
    4000;  // some tens of microseconds: longer than most commands of a decode step

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

void wait_while(const std::atomic<uint32_t>& word, uint32_t value) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != value) return;
    pause_cpu();
  }
  while (word.load(std::memory_order_acquire) == value) word.wait(value, std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() {
  if (n_threads_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
    return;
  }
  wait_while(phase_, phase);
}

ThreadPool::ThreadPool(unsigned n_threads)
    : n_threads_(n_threads ? n_threads : 1), done_(n_threads_) {
  for (unsigned i = 1; i < n_threads_; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(const std::function<void(unsigned)>& job) {
  job_ = &job;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  job(0);
  done_.wait();
}

void ThreadPool::work(unsigned index) {
  for (uint32_t seen = 0;; ++seen) {
    wait_while(generation_, seen);
    if (stop_) return;
    (*job_)(index);
    done_.wait();
  }
}

}  // namespace sluice
