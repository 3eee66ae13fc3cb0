// SPDX-License-Identifier: Apache-2.0
// sluice bench: prefill and decode speed as medians over repetitions.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"
#include "tools/sluice/kv_study.h"
#include "tools/sluice/report.h"
#include "tools/sluice/timing.h"

namespace sluice::cli {
namespace {

struct BenchFlags {
  EngineFlags engine;
  uint32_t n_prompt = 512, n_decode = 128, batch = 1, repetitions = 5;
  bool json = false;
  KvStudyFlags study;
  bool kv_study = false;
  ReportFlags report;
};

Result<int> bench(BenchFlags& flags) {
  SLUICE_TRY(const auto model, load_model(flags.engine.model));
  if (flags.kv_study) return kv_study(model, flags.engine.options, flags.study, flags.json);
  if (!flags.report.folder.empty()) {
    const Effort effort{flags.n_prompt, flags.n_decode, flags.repetitions};
    return report(model, flags.engine.options, flags.report, effort, flags.json);
  }
  EngineOptions& options = flags.engine.options;
  options.max_sequences = std::max(options.max_sequences, flags.batch);
  options.max_batch_tokens = std::max(options.max_batch_tokens, flags.batch);
  options.kv_tokens =
      std::max<uint64_t>(flags.n_prompt + 16, uint64_t{flags.batch} * (flags.n_decode + 16));
  SLUICE_TRY(const auto engine, make_engine(model, flags.engine, options));
  std::vector<double> prefill, decode;
  {
    ProgressBar bar("bench", "runs");
    // The first round warms up and does not count.
    for (uint32_t r = 0; r <= flags.repetitions; ++r) {
      if (flags.n_prompt) {
        SLUICE_TRY(const double tps, time_prefill(*engine, flags.n_prompt));
        if (r) prefill.push_back(tps);
      }
      if (flags.n_decode) {
        SLUICE_TRY(const double tps, time_decode(*engine, flags.n_decode, flags.batch));
        if (r) decode.push_back(tps);
      }
      bar.update(r, flags.repetitions);
    }
  }
  const EngineInfo& e = engine->info();
  if (flags.json) {
    const nlohmann::ordered_json out = {{"model", model->info().name},
                                        {"format", model->info().format},
                                        {"n_prompt", flags.n_prompt},
                                        {"n_decode", flags.n_decode},
                                        {"batch", flags.batch},
                                        {"threads", e.n_threads},
                                        {"isa", e.isa},
                                        {"kv_type", e.kv_type},
                                        {"device", e.device},
                                        {"device_layers", e.device_layers},
                                        {"prefill_tps", median(prefill)},
                                        {"decode_tps", median(decode)},
                                        {"prefill_samples", prefill},
                                        {"decode_samples", decode},
                                        {"model_bytes", model->info().n_bytes}};
    write_out(out.dump(2) + "\n");
    return kOk;
  }
  std::string out =
      fmt::format("{}, {} parameters, {}, {} threads, {}\n", model->info().name,
                  model->info().n_params, human_bytes(model->info().n_bytes), e.n_threads, e.isa);
  out += describe_board(e) + "kernels: " + describe_kernels(e) + "\n" + describe_cache(e);
  const auto line = [&](const char* what, uint32_t n, const std::vector<double>& samples) {
    if (samples.empty()) return;
    const auto [low, high] = std::minmax_element(samples.begin(), samples.end());
    out += fmt::format("{:<8} {:>6} tokens {:>10.1f} tokens/s  ({:.1f} .. {:.1f})\n", what, n,
                       median(samples), *low, *high);
  };
  line("prefill", flags.n_prompt, prefill);
  line("decode", flags.n_decode * flags.batch, decode);
  write_out(out);
  return kOk;
}

}  // namespace

Action add_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  add_engine_options(app, flags->engine);
  app.add_option("-p,--prompt-tokens", flags->n_prompt, "prompt length; 0: no prefill")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("-n,--n-predict", flags->n_decode, "tokens to decode; 0: no decode")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--batch", flags->batch, "sequences decoded at once")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_option("-r,--repetitions", flags->repetitions,
                 "samples of each, after one for warming up")
      ->check(CLI::Range(1u, 10000u))
      ->capture_default_str();
  app.add_flag("--kv-study", flags->kv_study,
               "instead: total time of long generations with and without the KV cache");
  app.add_option("--steps", flags->study.n_steps, "kv-study: tokens to generate")
      ->check(CLI::Range(1000u, 10000000u))
      ->capture_default_str();
  app.add_option("--window", flags->study.window,
                 "kv-study: tokens in sight; 0: the trained context");
  app.add_option("--svg", flags->study.svg, "kv-study: draw the totals into this file")
      ->type_name("FILE");
  app.add_option("--report", flags->report.folder,
                 "instead: measure the model in every type, and write report.md and drawings there")
      ->type_name("FOLDER");
  app.add_option("-f,--file", flags->report.text,
                 "report: a text for perplexity and KL divergence; - reads standard input")
      ->type_name("TEXT");
  app.add_option("-c,--ctx", flags->report.chunk, "report: tokens in a chunk of the text")
      ->capture_default_str();
  app.add_option("--types", flags->report.types, "report: these types (default: all)")
      ->delimiter(',')
      ->type_name("TYPE,...");
  app.add_flag("--json", flags->json, "print one JSON object");
  return [flags] { return bench(*flags); };
}

}  // namespace sluice::cli
