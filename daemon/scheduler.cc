// SPDX-License-Identifier: Apache-2.0
// The engine's thread: take orders, admit, compute a step, sample, tell. Detokenization and stop
// strings are handled here, between two steps, because they decide who takes part in the next one;
// JSON and HTTP are not.
#include "scheduler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace sluice::daemon {

struct Scheduler::Task {
  Task(Job new_job, uint32_t index_in_request, uint64_t request_number,
       std::shared_ptr<const JobSink> event_sink, const Engine& engine)
      : job(std::move(new_job)),
        index(index_in_request),
        request(request_number),
        sink(std::move(event_sink)),
        tokens(job.prompt),
        sampler(job.sampling),
        detokenizer(engine.model().tokenizer(), job.at_start),
        matcher(job.stop) {
    for (const int32_t token : tokens) sampler.accept(token);
  }

  size_t n_prompt() const { return tokens.size() - n_generated; }
  // As many of the next n tokens as are all of the prompt, or all generated.
  uint32_t of_one_kind(uint32_t n) const {
    if (n_computed >= n_prompt()) return n;
    return static_cast<uint32_t>(std::min<size_t>(n, n_prompt() - n_computed));
  }
  SequenceProgress progress() const { return {n_computed, tokens.size() - n_computed}; }

  void emit(std::string piece, std::optional<Finish> finish) {
    if (!job.stream) {
      text += piece;
      if (!finish) return;
      piece = std::move(text);
    }
    if (piece.empty() && !finish) return;
    (*sink)({index, std::move(piece), finish, n_generated, {}});
  }

  const Job job;
  const uint32_t index;
  const uint64_t request;
  const std::shared_ptr<const JobSink> sink;  // one per request
  std::vector<int32_t> tokens;                // prompt and generated
  size_t n_computed = 0;                      // of these, how many the KV blocks hold
  uint32_t n_generated = 0;
  std::optional<Sequence> sequence;  // while running
  Sampler sampler;
  Detokenizer detokenizer;
  StopMatcher matcher;
  std::string text;  // generated so far, when the job is not streamed
  bool finished = false;
};

Scheduler::Scheduler(std::unique_ptr<Engine> engine, uint32_t max_queue, Watchdog& watchdog)
    : engine_(std::move(engine)),
      budget_{engine_->options().max_batch_tokens, engine_->options().max_sequences},
      max_queue_(max_queue),
      watchdog_(watchdog),
      thread_([this] { run(); }) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  running_.clear();  // sequences before their engine
  waiting_.clear();
}

Result<uint64_t> Scheduler::submit(std::vector<Job> jobs, JobSink sink) {
  const auto full = [&] { return n_waiting_.load() + jobs.size() > max_queue_; };
  const auto refuse = [&] {
    return fail(EAGAIN, fmt::format("{} sequences are waiting already", n_waiting_.load()));
  };
  if (full()) return refuse();
  // Built before the lock is taken, so that the engine's thread never waits for this.
  const uint64_t request = next_request_++;
  const auto shared_sink = std::make_shared<const JobSink>(std::move(sink));
  std::vector<std::unique_ptr<Task>> tasks;
  for (uint32_t i = 0; i < jobs.size(); ++i) {
    tasks.push_back(std::make_unique<Task>(std::move(jobs[i]), i, request, shared_sink, *engine_));
  }
  {
    const std::lock_guard lock(mutex_);
    if (full()) return refuse();
    n_waiting_ += static_cast<uint32_t>(tasks.size());
    std::move(tasks.begin(), tasks.end(), std::back_inserter(arrived_));
  }
  wake_.notify_one();
  return request;
}

void Scheduler::cancel(uint64_t request) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(request);
  }
  wake_.notify_one();
}

Scheduler::Stats Scheduler::stats() const {
  return {n_running_.load(), n_waiting_.load(), n_preempted_.load()};
}

void Scheduler::run() {
  while (take_orders()) {
    try {
      admit();
      publish_stats();  // what was admitted leaves the queue now, not after the step
      if (!running_.empty()) step();
    } catch (const std::exception& error) {  // out of memory, in all likelihood
      spdlog::error("engine thread: {}", error.what());
      fail_all("the server ran out of resources");
    }
    publish_stats();
  }
}

// Takes what came in since the last step; sleeps while there is nothing to do. False: stop.
bool Scheduler::take_orders() {
  std::vector<uint64_t> cancelled;
  {
    std::unique_lock lock(mutex_);
    const auto ordered = [this] { return stop_ || !arrived_.empty() || !cancelled_.empty(); };
    while (running_.empty() && waiting_.empty() && !ordered()) {
      watchdog_.beat(Watchdog::kEngine);
      if (watchdog_.enabled()) {
        wake_.wait_for(lock, watchdog_.period());
      } else {
        wake_.wait(lock);
      }
    }
    if (stop_) return false;
    std::move(arrived_.begin(), arrived_.end(), std::back_inserter(waiting_));
    arrived_.clear();
    cancelled.swap(cancelled_);
  }
  watchdog_.beat(Watchdog::kEngine);
  if (!cancelled.empty()) drop_cancelled(cancelled);
  return true;
}

void Scheduler::drop_cancelled(const std::vector<uint64_t>& requests) {
  const auto is_cancelled = [&](const std::unique_ptr<Task>& task) {
    return std::find(requests.begin(), requests.end(), task->request) != requests.end();
  };
  const size_t n_dropped =
      std::erase_if(running_, is_cancelled) + std::erase_if(waiting_, is_cancelled);
  if (n_dropped > 0) spdlog::debug("cancelled {} sequences", n_dropped);
  publish_stats();
}

// Moves waiting sequences to the running ones while there is room.
void Scheduler::admit() {
  std::vector<SequenceProgress> progress;
  for (const auto& task : running_) progress.push_back(task->progress());
  while (!waiting_.empty() && running_.size() < budget_.sequences) {
    Task& task = *waiting_.front();
    if (task.job.max_tokens == 0) {
      task.emit({}, Finish::kLength);
      waiting_.pop_front();
      continue;
    }
    if (!may_start(task.tokens.size(), progress, engine_->free_kv_tokens())) break;
    auto sequence = engine_->new_sequence();
    if (!sequence) {
      spdlog::error("cannot make a sequence: {}", sequence.error().message);
      (*task.sink)({task.index, {}, Finish::kCancelled, task.n_generated, "the engine failed"});
      waiting_.pop_front();
      continue;
    }
    task.sequence.emplace(std::move(*sequence));
    progress.push_back(task.progress());
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// One step for all running sequences.
void Scheduler::step() {
  std::vector<SequenceProgress> progress;
  for (const auto& task : running_) progress.push_back(task->progress());
  auto grants = plan_step(progress, budget_);
  for (Grant& grant : grants) grant.n_tokens = running_[grant.index]->of_one_kind(grant.n_tokens);
  const auto computed = compute(grants);
  if (!computed) {
    if (computed.error().code == ENOBUFS && running_.size() > 1) {
      preempt_youngest();  // and the next round tries again without it
    } else {
      spdlog::error("engine step: {}", computed.error().message);
      fail_all(computed.error().code == ENOBUFS ? "the KV cache is too small for this request"
                                                : "the engine failed");
    }
    return;
  }
  uint32_t row = 0;
  for (const Grant& grant : grants) {
    Task& task = *running_[grant.index];
    task.n_computed += grant.n_tokens;
    if (task.n_computed == task.tokens.size()) advance(task, engine_->logits(row++));
  }
  std::erase_if(running_, [](const auto& task) { return task->finished; });
}

Result<void> Scheduler::compute(const std::vector<Grant>& grants) {
  std::vector<StepInput> inputs;
  inputs.reserve(grants.size());
  for (const Grant& grant : grants) {
    Task& task = *running_[grant.index];
    const bool reaches_end = task.n_computed + grant.n_tokens == task.tokens.size();
    inputs.push_back(
        {.sequence = &*task.sequence,
         .tokens = std::span<const int32_t>(task.tokens).subspan(task.n_computed, grant.n_tokens),
         .logits = reaches_end ? Logits::kLast : Logits::kNone,
         .generated = task.n_computed >= task.n_prompt()});
  }
  return engine_->step(inputs);
}

// Samples the next token of a sequence whose tokens are all computed, and tells of it.
void Scheduler::advance(Task& task, std::span<const float> logits) {
  const int32_t token = task.sampler.sample(logits);
  const bool at_end = !task.job.ignore_eos && engine_->model().tokenizer()->is_end(token);
  std::optional<Finish> finish;
  std::string piece;
  if (at_end) {
    finish = Finish::kEnd;
  } else {
    task.sampler.accept(token);
    task.tokens.push_back(token);
    ++task.n_generated;
    piece = task.matcher.push(task.detokenizer.push(token));
    if (!task.matcher.stopped() && task.n_generated >= task.job.max_tokens) {
      finish = Finish::kLength;
    }
  }
  if (finish) {  // nothing follows that could complete a character or a stop string
    piece += task.matcher.push(task.detokenizer.flush());
    piece += task.matcher.flush();
  }
  if (task.matcher.stopped()) finish = Finish::kStop;
  task.finished = finish.has_value();
  task.emit(std::move(piece), finish);
}

void Scheduler::fail_all(const std::string& message) {
  for (const auto& task : running_) {
    if (task->finished) continue;
    (*task->sink)({task->index, {}, Finish::kCancelled, task->n_generated, message});
  }
  running_.clear();
}

// The youngest sequence gives its KV blocks back and waits for its turn; its tokens are computed
// again then, to the same values.
void Scheduler::preempt_youngest() {
  std::unique_ptr<Task> task = std::move(running_.back());
  running_.pop_back();
  task->sequence.reset();
  task->n_computed = 0;
  waiting_.push_front(std::move(task));
  ++n_preempted_;
  spdlog::debug("no KV blocks left: preempted the youngest of {} sequences", running_.size() + 1);
}

void Scheduler::publish_stats() {
  n_running_.store(static_cast<uint32_t>(running_.size()));
  const std::lock_guard lock(mutex_);
  n_waiting_.store(static_cast<uint32_t>(waiting_.size() + arrived_.size()));
}

}  // namespace sluice::daemon
