// SPDX-License-Identifier: Apache-2.0
// sluice run: text from a prompt, streamed as it comes.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

std::atomic<bool> interrupted{false};

struct RunFlags {
  EngineFlags engine;
  std::string prompt;
  GenerateParams generate;
  bool seed_given = false;
  int64_t window = -1;
  bool json = false;
};

void print_json(const RunFlags& flags, std::span<const int32_t> prompt, const Generation& g,
                const Engine& engine) {
  constexpr const char* kFinish[] = {"length", "end", "stop", "cancelled"};
  const nlohmann::ordered_json out = {
      {"prompt_ids", std::vector<int32_t>(prompt.begin(), prompt.end())},
      {"ids", g.ids},
      {"text", g.text},
      {"finish", kFinish[static_cast<size_t>(g.finish)]},
      {"prefill_tps", g.prefill_tps()},
      {"decode_tps", g.decode_tps()},
      {"isa", engine.info().isa},
      {"device", engine.info().device},
      {"device_layers", engine.info().device_layers},
      {"recoveries", engine.info().n_recoveries},
      {"threads", engine.info().n_threads},
      {"seed", flags.generate.sampling.seed},
  };
  write_out(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void print_summary(const Generation& g, const Engine& engine) {
  const ModelInfo& m = engine.model().info();
  const EngineInfo& e = engine.info();
  fmt::print(stderr, "\n{}, {} parameters, {}; {} with {} thread{}, {}\n", m.name, m.n_params,
             m.format, e.device, e.n_threads, e.n_threads == 1 ? "" : "s", e.isa);
  fmt::print(stderr, "{}kernels: {}\n", describe_board(e), describe_kernels(e));
  fmt::print(stderr, "{}", describe_cache(e));
  fmt::print(stderr, "prompt:  {} tokens, {:.1f} tokens/s\n", g.n_prompt, g.prefill_tps());
  fmt::print(stderr, "decode:  {} tokens, {:.1f} tokens/s\n", g.ids.size(), g.decode_tps());
}

Result<int> run(RunFlags& flags) {
  if (flags.prompt == "-") {
    SLUICE_TRY(flags.prompt, read_text("-"));
  }
  if (!flags.seed_given) flags.generate.sampling.seed = std::random_device()();
  SLUICE_TRY(const auto model, load_model(flags.engine.model));
  SLUICE_TRY(const auto engine, make_engine(model, flags.engine, flags.engine.options));
  const uint32_t window =
      flags.window < 0 ? largest_window(*model) : static_cast<uint32_t>(flags.window);
  SLUICE_TRY(Sequence sequence, engine->new_sequence(window));
  const Tokenizer& tokenizer = *model->tokenizer();
  const auto ids = tokenizer.encode(flags.prompt, tokenizer.add_bos());
  if (ids.empty())
    return fail(EINVAL, "the prompt has no tokens, and the model no BOS to begin with");

  std::signal(SIGINT, [](int) { interrupted = true; });
  const bool stream = !flags.json;
  if (stream) write_out(flags.prompt);
  const auto on_text = [&](std::string_view text) {
    return (!stream || write_out(text)) && !interrupted;
  };
  SLUICE_TRY(const Generation g, generate(*engine, sequence, ids, flags.generate, on_text));
  if (stream) {
    write_out("\n");
    print_summary(g, *engine);
  } else {
    print_json(flags, ids, g, *engine);
  }
  return interrupted ? 128 + SIGINT : static_cast<int>(kOk);
}

}  // namespace

Action add_run(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  SamplingParams& s = flags->generate.sampling;
  add_engine_options(app, flags->engine);
  app.add_option("-p,--prompt", flags->prompt, "what the text begins with; - reads standard input")
      ->type_name("TEXT");
  app.add_option("-n,--n-predict", flags->generate.n_predict, "tokens to generate at most")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--temp", s.temperature, "temperature; 0 takes the likeliest token")
      ->capture_default_str();
  app.add_option("--top-k", s.top_k, "keep the K likeliest tokens; 0: all")->capture_default_str();
  app.add_option("--top-p", s.top_p, "keep the likeliest tokens up to this probability; 1: all")
      ->capture_default_str();
  app.add_option("--min-p", s.min_p, "drop tokens below this share of the likeliest; 0: none")
      ->capture_default_str();
  app.add_option("--repeat-penalty", s.repeat_penalty, "weakens recent tokens; 1: off")
      ->capture_default_str();
  app.add_option("--repeat-last-n", s.repeat_last_n, "how many tokens are recent")
      ->capture_default_str();
  CLI::Option* seed = app.add_option("--seed", s.seed, "the same seed gives the same text");
  app.add_option("--stop", flags->generate.stop, "end before this text; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--ignore-eos", flags->generate.ignore_eos, "go on past an end token");
  app.add_option("--window", flags->window,
                 "tokens in sight, a multiple of 16; older ones are dropped but for the first 16; "
                 "default: the trained context; 0: stop when the context is full")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->type_name("N");
  app.add_flag("--json", flags->json, "print one JSON object at the end");
  return [flags, seed] {
    flags->seed_given = seed->count() > 0;
    return run(*flags);
  };
}

}  // namespace sluice::cli
