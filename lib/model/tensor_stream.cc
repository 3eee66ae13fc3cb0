// SPDX-License-Identifier: Apache-2.0
// Encoding in rounds: every thread makes one chunk, then the chunks are written in order.
#include "model/tensor_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "core/cpu.h"

namespace sluice {
namespace {

constexpr size_t kChunkValues = 1 << 18;  // a multiple of every block size
constexpr size_t kCopyBytes = 4 << 20;

}  // namespace

TensorStream::TensorStream(GgufWriter& writer, unsigned n_threads, uint64_t total,
                           const Progress& progress)
    : writer_(writer),
      pool_(n_threads ? n_threads : usable_cpus()),
      chunks_(pool_.size()),
      total_(total),
      progress_(progress) {}

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
  for (size_t i = 0; i < chunk.n; ++i) {
    // A value that is not finite, before or after, makes a difference that is not.
    const double error = static_cast<double>(chunk.decoded[i]) - chunk.values[i];
    if (!std::isfinite(error) && chunk.bad == chunk.n) chunk.bad = i;
    chunk.squared_error += error * error;
  }
}

Result<double> TensorStream::encode(const Job& job, const std::string& subject, const Fill& fill) {
  const Format& format = job.format;
  const uint64_t n = job.n;
  double squared_error = 0;
  uint64_t reported = 0;
  for (uint64_t first = 0; first < n;) {
    size_t n_chunks = 0;
    for (; n_chunks < chunks_.size() && first < n; ++n_chunks) {
      chunks_[n_chunks].first = first;
      chunks_[n_chunks].n = std::min<uint64_t>(kChunkValues, n - first);
      first += chunks_[n_chunks].n;
    }
    const auto n_pieces = static_cast<uint32_t>(n_chunks);
    pool_.run({&n_pieces, 1},
              [&](unsigned, size_t, uint32_t i) { encode_chunk(job, fill, chunks_[i]); });
    for (size_t i = 0; i < n_chunks; ++i) {
      const Chunk& chunk = chunks_[i];
      if (chunk.bad < chunk.n) {
        const float value = chunk.values[chunk.bad];
        const std::string what =
            fmt::format("{}: value {} is {}", subject, chunk.first + chunk.bad, value);
        if (!std::isfinite(value)) return fail(EBADMSG, what + ", expected a finite number");
        return fail(ERANGE, what + ", more than " + format.name + " can hold");
      }
      squared_error += chunk.squared_error;
      SLUICE_CHECK(writer_.write(chunk.blocks));
    }
    // The share of the values that is done, in the caller's unit.
    const auto now = static_cast<uint64_t>(static_cast<double>(job.progress_bytes) *
                                           (static_cast<double>(first) / static_cast<double>(n)));
    SLUICE_CHECK(report(std::min(now, job.progress_bytes) - reported));
    reported = std::min(now, job.progress_bytes);
  }
  return squared_error;
}

}  // namespace sluice
