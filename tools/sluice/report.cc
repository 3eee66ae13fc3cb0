// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include <sluice/quantize.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/svg_plot.h"
#include "tools/sluice/timing.h"

namespace sluice::cli {
namespace {

struct Row {
  std::string type;
  uint64_t bytes = 0;
  double bits = 0;  // a weight
  std::optional<Comparison> quality;
  double prefill = 0, decode = 0;  // tokens a second
};

// A file that goes with its owner.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<std::vector<std::string>> wanted_types(const ReportFlags& flags) {
  std::vector<std::string> all;
  for (const QuantizeMix& mix : quantize_mixes()) {
    if (!mix.base.empty()) all.push_back(mix.name);
  }
  for (const std::string& type : flags.types) {
    if (std::find(all.begin(), all.end(), type) == all.end()) {
      return fail(EINVAL, fmt::format("unknown type '{}': expected some of {}", type,
                                      fmt::join(all, ", ")));
    }
  }
  return flags.types.empty() ? all : flags.types;
}

Result<std::unique_ptr<Engine>> engine_for(const std::shared_ptr<const Model>& model,
                                           EngineOptions options, const ReportFlags& flags,
                                           const Effort& effort) {
  options.max_batch_tokens = std::max({options.max_batch_tokens, effort.n_prompt, flags.chunk});
  options.max_sequences = 1;
  options.kv_tokens = std::max({effort.n_prompt, effort.n_decode, flags.chunk}) + 16;
  return Engine::create(model, options);
}

Result<void> time(Engine& engine, const Effort& effort, Row& row) {
  std::vector<double> prefill, decode;
  for (uint32_t r = 0; r <= effort.repetitions; ++r) {  // the first one warms up
    if (effort.n_prompt) {
      SLUICE_TRY(const double tps, time_prefill(engine, effort.n_prompt));
      if (r) prefill.push_back(tps);
    }
    if (effort.n_decode) {
      SLUICE_TRY(const double tps, time_decode(engine, effort.n_decode, 1));
      if (r) decode.push_back(tps);
    }
  }
  row.prefill = median(prefill);
  row.decode = median(decode);
  return {};
}

Result<Row> measure(const std::string& type, const std::shared_ptr<const Model>& model,
                    const EngineOptions& options, const ReportFlags& flags, const Effort& effort,
                    const std::string& text, Engine& reference) {
  Row row;
  row.type = type;
  row.bytes = model->info().n_bytes;
  row.bits = 8.0 * static_cast<double>(row.bytes) / static_cast<double>(model->info().n_params);
  SLUICE_TRY(const auto engine, engine_for(model, options, flags, effort));
  if (!text.empty()) {
    SLUICE_TRY(row.quality, compare(reference, *engine, text, flags.chunk));
  }
  SLUICE_CHECK(time(*engine, effort, row));
  return row;
}

std::string markdown(const Model& model, const EngineInfo& engine, const std::vector<Row>& rows,
                     const ReportFlags& flags, const Effort& effort) {
  const bool quality = rows[0].quality.has_value();
  std::string out =
      fmt::format("# {}\n\n{} parameters, {}, {} threads, {}.", model.info().name,
                  model.info().n_params, model.info().architecture, engine.n_threads, engine.isa);
  out += fmt::format(" Prefill of {} tokens, decode of {}, medians of {}.", effort.n_prompt,
                     effort.n_decode, effort.repetitions);
  if (quality) {
    out += fmt::format(
        " Perplexity and KL divergence (nats) from the model as it is over {} tokens, in "
        "chunks of {}; same favourite: tokens for which both think one likeliest.",
        rows[0].quality->perplexity.n_tokens, flags.chunk);
  }
  out += "\n\n| type | MB | bits a weight |";
  if (quality) out += " perplexity | KL mean | KL most | same favourite |";
  out += " prefill, tokens/s | decode, tokens/s | decode, GB/s |\n|---|---:|---:|";
  out += quality ? "---:|---:|---:|---:|---:|---:|---:|\n" : "---:|---:|---:|\n";
  for (const Row& r : rows) {
    out +=
        fmt::format("| {} | {:.2f} | {:.2f} |", r.type, static_cast<double>(r.bytes) / 1e6, r.bits);
    if (r.quality) {
      out += fmt::format(" {:.4f} | {:.5f} | {:.3f} | {:.2f}% |", r.quality->perplexity.value,
                         r.quality->kl_mean, r.quality->kl_most, 100 * r.quality->same_top);
    }
    out += fmt::format(" {:.1f} | {:.1f} | {:.1f} |\n", r.prefill, r.decode,
                       r.decode * static_cast<double>(r.bytes) / 1e9);
  }
  out += "\n![Decode speed against size](speed.svg)\n";
  if (quality) out += "\n![KL divergence against size](divergence.svg)\n";
  return out;
}

std::string drawing(const char* title, const char* label, const std::vector<Row>& rows,
                    double (*value)(const Row&)) {
  std::vector<PlotSeries> series;
  series.reserve(rows.size());
  for (const Row& row : rows) series.push_back({row.type, {{row.bits, value(row)}}});
  return svg_plot(title, "bits a weight", label, series);
}

Result<void> write_file(const std::string& path, std::string_view content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.close();
  if (!out)
    return fail(errno, fmt::format("{}: could not be written: {}", path, std::strerror(errno)));
  return {};
}

std::string as_json(const std::vector<Row>& rows) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Row& r : rows) {
    nlohmann::ordered_json one = {
        {"type", r.type}, {"bytes", r.bytes}, {"bits_per_weight", r.bits}};
    if (r.quality) {
      one["perplexity"] = r.quality->perplexity.value;
      one["kl_mean"] = r.quality->kl_mean;
      one["kl_most"] = r.quality->kl_most;
      one["same_top"] = r.quality->same_top;
    }
    one["prefill_tps"] = r.prefill;
    one["decode_tps"] = r.decode;
    out.push_back(std::move(one));
  }
  return out.dump(2) + "\n";
}

}  // namespace

Result<int> report(const std::shared_ptr<const Model>& model, const EngineOptions& options,
                   const ReportFlags& flags, const Effort& effort, bool json) {
  SLUICE_TRY(const auto types, wanted_types(flags));
  std::string text;
  if (!flags.text.empty()) {
    SLUICE_TRY(text, read_text(flags.text));
  }
  std::error_code made;
  std::filesystem::create_directories(flags.folder, made);
  if (made) return fail(made.value(), fmt::format("{}: {}", flags.folder, made.message()));
  SLUICE_TRY(const auto reference, engine_for(model, options, flags, effort));
  const std::string source =
      model->info().path == "embedded" ? flags.folder + "/.source.gguf" : model->info().path;
  const TemporaryFile embedded(flags.folder + "/.source.gguf");
  if (source == embedded.path()) {
    const auto bytes = model->file().bytes();
    SLUICE_CHECK(write_file(source, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  }
  std::vector<Row> rows;
  {
    ProgressBar bar("report", "types");
    bar.update(0, types.size() + 1, "as it is");
    SLUICE_TRY(Row own, measure("as it is", model, options, flags, effort, text, *reference));
    rows.push_back(std::move(own));
    for (size_t i = 0; i < types.size(); ++i) {
      bar.update(i + 1, types.size() + 1, types[i]);
      const TemporaryFile file(flags.folder + "/.report-" + types[i] + ".gguf");
      SLUICE_CHECK(quantize(source, file.path(), types[i], options.n_threads));
      SLUICE_TRY(const auto quantized, Model::load(file.path()));
      SLUICE_TRY(Row row, measure(types[i], quantized, options, flags, effort, text, *reference));
      rows.push_back(std::move(row));
    }
  }
  SLUICE_CHECK(write_file(flags.folder + "/report.md",
                          markdown(*model, reference->info(), rows, flags, effort)));
  SLUICE_CHECK(
      write_file(flags.folder + "/speed.svg",
                 drawing("Decode speed", "tokens/s", rows, [](const Row& r) { return r.decode; })));
  if (!text.empty()) {
    SLUICE_CHECK(write_file(
        flags.folder + "/divergence.svg",
        drawing("KL divergence", "nats", rows, [](const Row& r) { return r.quality->kl_mean; })));
  }
  write_out(json ? as_json(rows) : flags.folder + "/report.md\n");
  return kOk;
}

}  // namespace sluice::cli
