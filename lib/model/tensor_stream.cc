// SPDX-License-Identifier: Apache-2.0
// Encoding a ring of chunks: whoever is free takes the next one, and only the caller writes.
#include "model/tensor_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "core/cpu.h"

namespace sluice {
namespace {

// A multiple of every block size; so few that they stay in a core's cache from step to step, and
// that nobody waits for long at a tensor's end.
constexpr size_t kChunkValues = 1 << 16;
constexpr size_t kChunksPerThread = 4;
constexpr size_t kCopyBytes = 4 << 20;

}  // namespace

TensorStream::TensorStream(GgufWriter& writer, unsigned n_threads, uint64_t total,
                           const Progress& progress)
    : writer_(writer),
      chunks_(kChunksPerThread * (n_threads ? n_threads : usable_cpus())),
      total_(total),
      progress_(progress) {
  // Where the system gives no more threads, those that there are do the work.
  try {
    const size_t n_helpers = chunks_.size() / kChunksPerThread - 1;
    for (size_t i = 0; i < n_helpers; ++i) helpers_.emplace_back([this] { help(); });
  } catch (const std::system_error&) {
  }
}

TensorStream::~TensorStream() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

Result<void> TensorStream::report(uint64_t bytes) {
  done_ += bytes;
  if (progress_ && !progress_(done_, total_)) return fail(ECANCELED, "cancelled");
  return {};
}

Result<void> TensorStream::copy(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kCopyBytes));
    SLUICE_CHECK(writer_.write(part));
    SLUICE_CHECK(report(part.size()));
    bytes = bytes.subspan(part.size());
  }
  return {};
}

namespace {

// In several sums, which do not wait for each other; in the same ones on every machine.
double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  constexpr size_t kSums = 8;
  double sums[kSums] = {};
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = static_cast<double>(a[i]) - b[i];
    sums[i % kSums] += error * error;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// Rows begin anew in the importance; whole blocks never lie across their ends.
void encode_rows(const Format& format, const std::vector<float>& importance, uint64_t first,
                 const std::vector<float>& values, std::byte* blocks) {
  const size_t row = importance.size();
  for (size_t i = 0; i < values.size();) {
    const size_t column = (first + i) % row;
    const size_t n = std::min(row - column, values.size() - i);
    format.encode(values.data() + i, blocks + format.bytes(i), n, importance.data() + column);
    i += n;
  }
}

}  // namespace

void TensorStream::encode_chunk(const Job& job, const Fill& fill, Chunk& chunk) {
  const Format& format = job.format;
  chunk.values.resize(chunk.n);
  chunk.blocks.resize(format.bytes(chunk.n));
  fill(chunk.first, chunk.values);
  if (job.importance) {
    encode_rows(format, *job.importance, chunk.first, chunk.values, chunk.blocks.data());
  } else {
    format.encode(chunk.values.data(), chunk.blocks.data(), chunk.n, nullptr);
  }
  chunk.bad = chunk.n;
  chunk.squared_error = 0;
  if (!job.measure) return;
  chunk.decoded.resize(chunk.n);
  format.decode(chunk.blocks.data(), chunk.decoded.data(), chunk.n);
  chunk.squared_error = squared_error(chunk.decoded, chunk.values);
  if (std::isfinite(chunk.squared_error)) return;
  // One that was no finite number may have spoiled its whole block: it is looked for first.
  const auto is_finite = [](float value) { return std::isfinite(value); };
  auto bad = std::find_if_not(chunk.values.begin(), chunk.values.end(), is_finite);
  if (bad != chunk.values.end()) {
    chunk.bad = static_cast<size_t>(bad - chunk.values.begin());
    return;
  }
  bad = std::find_if_not(chunk.decoded.begin(), chunk.decoded.end(), is_finite);
  chunk.bad = static_cast<size_t>(bad - chunk.decoded.begin());
}

// Takes the next chunk and encodes it, without the lock.
void TensorStream::take_one(std::unique_lock<std::mutex>& lock) {
  const Job& job = *work_.job;
  const Fill& fill = *work_.fill;
  const uint64_t index = work_.next++;
  Chunk& chunk = chunks_[index % chunks_.size()];
  chunk.first = index * kChunkValues;
  chunk.n = std::min<uint64_t>(kChunkValues, job.n - chunk.first);
  ++work_.n_busy;
  lock.unlock();
  encode_chunk(job, fill, chunk);
  lock.lock();
  --work_.n_busy;
  chunk.ready = true;
  changed_.notify_all();
}

void TensorStream::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || may_take(); });
    if (stop_) return;
    take_one(lock);
  }
}

Result<void> TensorStream::write_chunk(const Job& job, const std::string& subject,
                                       const Chunk& chunk) {
  if (chunk.bad < chunk.n) {
    const float value = chunk.values[chunk.bad];
    const std::string what =
        fmt::format("{}: value {} is {}", subject, chunk.first + chunk.bad, value);
    if (!std::isfinite(value)) return fail(EBADMSG, what + ", expected a finite number");
    return fail(ERANGE, what + ", more than " + job.format.name + " can hold");
  }
  SLUICE_CHECK(writer_.write(chunk.blocks));
  // The share of the values that is done, in the caller's unit.
  const auto share = [&](uint64_t values) {
    return std::min(
        job.progress_bytes,
        static_cast<uint64_t>(static_cast<double>(job.progress_bytes) *
                              (static_cast<double>(values) / static_cast<double>(job.n))));
  };
  return report(share(chunk.first + chunk.n) - share(chunk.first));
}

// Writes every chunk of the work, in order; encodes others meanwhile.
Result<double> TensorStream::write_chunks(const Job& job, const std::string& subject) {
  double squared_error = 0;
  std::unique_lock lock(mutex_);
  while (work_.written < work_.n_chunks) {
    Chunk& chunk = chunks_[work_.written % chunks_.size()];
    if (chunk.ready) {
      lock.unlock();
      SLUICE_CHECK(write_chunk(job, subject, chunk));
      squared_error += chunk.squared_error;
      lock.lock();
      chunk.ready = false;
      ++work_.written;
      changed_.notify_all();
    } else if (may_take()) {
      take_one(lock);
    } else {
      changed_.wait(lock);
    }
  }
  return squared_error;
}

Result<double> TensorStream::encode(const Job& job, const std::string& subject, const Fill& fill) {
  {
    const std::lock_guard lock(mutex_);
    work_ = {&job, &fill, (job.n + kChunkValues - 1) / kChunkValues, 0, 0, 0};
  }
  changed_.notify_all();
  Result<double> done = write_chunks(job, subject);
  // After an error helpers may still be at work on this tensor.
  std::unique_lock lock(mutex_);
  work_.n_chunks = 0;
  changed_.wait(lock, [&] { return work_.n_busy == 0; });
  for (Chunk& chunk : chunks_) chunk.ready = false;
  return done;
}

}  // namespace sluice
