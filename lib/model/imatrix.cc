// SPDX-License-Identifier: Apache-2.0
// Collecting an importance matrix: a text runs through the model in chunks, and for each matrix the
// squares of what its columns are multiplied with are added up. File: as in importance.h.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "model/importance.h"

namespace sluice {
namespace {

struct Sums {
  std::vector<double> squares;  // by column
  uint64_t n_rows = 0;
};
using Collected = std::map<std::string, Sums>;

// The ids of the text in chunks of n, each from BOS on if the model wants one; what is left over is
// dropped.
std::vector<std::vector<int32_t>> chunks_of(const Tokenizer& tokenizer, const std::string& text,
                                            uint32_t n, uint32_t most) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  const auto bos = tokenizer.encode("", true);
  std::vector<std::vector<int32_t>> out;
  for (size_t at = 0; at + n <= ids.size() && (most == 0 || out.size() < most); at += n) {
    out.emplace_back(ids.begin() + static_cast<ptrdiff_t>(at),
                     ids.begin() + static_cast<ptrdiff_t>(at + n));
    if (!bos.empty()) out.back().front() = bos.front();
  }
  return out;
}

Result<void> write(const std::string& path, const Collected& collected, uint32_t n_chunks,
                   uint32_t chunk) {
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(path));
  writer.set_string("general.type", "imatrix");
  writer.set_u32("imatrix.chunk_count", n_chunks);
  writer.set_u32("imatrix.chunk_size", chunk);
  constexpr uint32_t kF32 = 0;
  for (const auto& [name, sums] : collected) {
    const uint64_t columns[] = {sums.squares.size(), 1}, one[] = {1, 1};
    SLUICE_CHECK(writer.add_tensor(name + Importance::kSums, kF32, columns));
    SLUICE_CHECK(writer.add_tensor(name + Importance::kCounts, kF32, one));
  }
  for (const auto& [name, sums] : collected) {
    const std::vector<float> squares(sums.squares.begin(), sums.squares.end());
    const auto count = static_cast<float>(sums.n_rows);
    SLUICE_CHECK(writer.write(std::as_bytes(std::span(squares))));
    SLUICE_CHECK(writer.write(std::as_bytes(std::span(&count, 1))));
  }
  return writer.finish();
}

}  // namespace

Result<ImportanceReport> collect_importance(const std::shared_ptr<const Model>& model,
                                            const std::string& text, const std::string& out,
                                            const ImportanceOptions& options,
                                            const Progress& progress) {
  if (options.chunk < 2 || options.chunk > model->info().n_ctx_train) {
    return fail(EINVAL, fmt::format("chunks of {} tokens, expected 2 to {}", options.chunk,
                                    model->info().n_ctx_train));
  }
  const auto chunks = chunks_of(*model->tokenizer(), text, options.chunk, options.max_chunks);
  if (chunks.empty()) {
    return fail(EINVAL, fmt::format("the text has fewer than {} tokens, a chunk", options.chunk));
  }
  Collected collected;
  EngineOptions engine_options;
  engine_options.device = "cpu";
  engine_options.isa = options.isa;
  engine_options.n_threads = options.n_threads;
  engine_options.max_batch_tokens = options.chunk;
  engine_options.max_sequences = 1;
  engine_options.kv_tokens = options.chunk;
  engine_options.observer = [&](const std::string& tensor, std::span<const float> x) {
    Sums& sums = collected[tensor];
    sums.squares.resize(x.size());
    for (size_t i = 0; i < x.size(); ++i) sums.squares[i] += double{x[i]} * x[i];
    ++sums.n_rows;
  };
  SLUICE_TRY(const auto engine, Engine::create(model, engine_options));
  SLUICE_TRY(Sequence sequence, engine->new_sequence());
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (progress && !progress(i, chunks.size())) return fail(ECANCELED, "cancelled");
    sequence.clear();
    const StepInput input{&sequence, chunks[i], options.output ? Logits::kAll : Logits::kNone};
    SLUICE_CHECK(engine->step({&input, 1}));
  }
  if (progress) progress(chunks.size(), chunks.size());
  ImportanceReport report;
  report.n_chunks = static_cast<uint32_t>(chunks.size());
  report.n_tokens = uint64_t{options.chunk} * chunks.size();
  report.n_tensors = collected.size();
  SLUICE_CHECK(write(out, collected, report.n_chunks, options.chunk));
  return report;
}

}  // namespace sluice
