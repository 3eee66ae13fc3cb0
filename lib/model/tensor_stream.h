// SPDX-License-Identifier: Apache-2.0
// Tensors on their way into a GGUF file: values are made and encoded by several threads, and the
// caller's writes what is done in order and encodes as well while it has nothing to write. Memory
// is bounded by the chunks in flight, and the bytes written do not depend on the number of threads.
#ifndef SLUICE_MODEL_TENSOR_STREAM_H
#define SLUICE_MODEL_TENSOR_STREAM_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "quant/format.h"

namespace sluice {

class TensorStream {
 public:
  // Gives the values `first`, first + 1, ... of a tensor; called from several threads at once.
  using Fill = std::function<void(uint64_t first, std::span<float> values)>;

  // `total` bytes are what Progress counts up to. n_threads 0: as many as the process may use.
  TensorStream(GgufWriter& writer, unsigned n_threads, uint64_t total, const Progress& progress);
  TensorStream(const TensorStream&) = delete;
  TensorStream& operator=(const TensorStream&) = delete;
  ~TensorStream();

  // Writes bytes as they are. ECANCELED: the progress callback said so.
  Result<void> copy(std::span<const std::byte> bytes);
  // What encode() is to do.
  struct Job {
    const Format& format;
    uint64_t n;               // values
    uint64_t progress_bytes;  // counted as done
    bool measure = false;
    // Weights of the squared errors of a row's columns; null: all alike.
    const std::vector<float>* importance = nullptr;
  };
  // Writes n values in a format. With `measure` returns the sum of the squared errors of what was
  // written. EBADMSG: a value is not finite; ERANGE: the format cannot hold it. The messages begin
  // with `subject`.
  Result<double> encode(const Job& job, const std::string& subject, const Fill& fill);

 private:
  struct Chunk {
    std::vector<float> values, decoded;
    std::vector<std::byte> blocks;
    uint64_t first = 0;
    size_t n = 0;
    double squared_error = 0;
    size_t bad = 0;      // index of the first value that could not be written; n: none
    bool ready = false;  // encoded, and not yet written
  };
  // The tensor that is being encoded: chunks are taken in order, and written in order.
  struct Work {
    const Job* job = nullptr;
    const Fill* fill = nullptr;
    uint64_t n_chunks = 0;
    uint64_t next = 0;     // to be taken
    uint64_t written = 0;  // chunks
    size_t n_busy = 0;     // helpers at work on a chunk
  };
  static void encode_chunk(const Job& job, const Fill& fill, Chunk& chunk);
  bool may_take() const {
    return work_.next < work_.n_chunks && work_.next < work_.written + chunks_.size();
  }
  void take_one(std::unique_lock<std::mutex>& lock);
  void help();
  Result<double> write_chunks(const Job& job, const std::string& subject);
  Result<void> write_chunk(const Job& job, const std::string& subject, const Chunk& chunk);
  Result<void> report(uint64_t bytes);

  GgufWriter& writer_;
  std::vector<Chunk> chunks_;  // a ring
  std::mutex mutex_;           // of work_, stop_, and of the chunks' `ready`
  std::condition_variable changed_;
  Work work_;
  bool stop_ = false;
  std::vector<std::thread> helpers_;
  uint64_t done_ = 0;
  uint64_t total_;
  const Progress& progress_;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_TENSOR_STREAM_H
