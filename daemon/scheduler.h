// SPDX-License-Identifier: Apache-2.0
// Continuous batching: one thread owns the engine and moves all running sequences forward together,
// a step at a time. Requests come in and events go out without either side waiting for the other;
// with nothing to do the thread sleeps.
#ifndef DAEMON_SCHEDULER_H
#define DAEMON_SCHEDULER_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sluice/engine.hpp>

#include "batch.h"
#include "notify.h"

namespace sluice::daemon {

// One text to generate.
struct Job {
  std::vector<int32_t> prompt;  // ids, at least one
  SamplingParams sampling;
  uint32_t max_tokens = 16;
  bool ignore_eos = false;
  bool stream = false;    // events for pieces of text; otherwise the last event has all of it
  bool at_start = false;  // the generated text begins the text: no leading space
  std::vector<std::string> stop;
};

// What happened to one job of a request.
struct JobEvent {
  uint32_t index = 0;            // of the job in the request
  std::string text;              // whole UTF-8, what is new since the last event
  std::optional<Finish> finish;  // set in the job's last event
  uint32_t n_tokens = 0;         // generated so far
  std::string error;             // the engine failed; `finish` is kCancelled
};

// Called on the engine's thread: must return soon and must not throw.
using JobSink = std::function<void(JobEvent event)>;

class Scheduler {
 public:
  struct Stats {
    uint32_t running = 0;    // sequences that hold KV blocks
    uint32_t waiting = 0;    // sequences that wait for their turn
    uint64_t preempted = 0;  // times that a sequence gave up its blocks, since the start
  };

  // At most `max_queue` sequences wait. `watchdog` outlives the scheduler.
  Scheduler(std::unique_ptr<Engine> engine, uint32_t max_queue, Watchdog& watchdog);
  // Cancels what still runs and joins the thread.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Queues the jobs of one request, all or none, and returns the request's number for cancel().
  // EAGAIN: the queue is full. Safe to call from any thread.
  Result<uint64_t> submit(std::vector<Job> jobs, JobSink sink);

  // Ends a request between two steps; its unfinished jobs get no further event once this has been
  // noticed. Unknown and finished requests are ignored. Safe to call from any thread.
  void cancel(uint64_t request);

  Stats stats() const;

 private:
  struct Task;  // a job on its way

  void run();
  bool take_orders();
  void drop_cancelled(const std::vector<uint64_t>& requests);
  void admit();
  void step();
  Result<void> compute(const std::vector<Grant>& grants);
  void advance(Task& task, std::span<const float> logits);
  void fail_all(const std::string& message);
  void preempt_youngest();
  void publish_stats();

  const std::unique_ptr<Engine> engine_;
  const StepBudget budget_;
  const uint32_t max_queue_;
  Watchdog& watchdog_;

  // Owned by the engine's thread; both are sorted by arrival.
  std::vector<std::unique_ptr<Task>> running_;
  std::deque<std::unique_ptr<Task>> waiting_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Task>> arrived_;
  std::vector<uint64_t> cancelled_;
  bool stop_ = false;

  std::atomic<uint64_t> next_request_{1};
  std::atomic<uint32_t> n_running_{0};
  std::atomic<uint32_t> n_waiting_{0};  // those in arrived_ included
  std::atomic<uint64_t> n_preempted_{0};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sluice::daemon

#endif  // DAEMON_SCHEDULER_H
