// SPDX-License-Identifier: Apache-2.0
// sluice perplexity: how well a model predicts a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {

Action add_perplexity(CLI::App& app) {
  struct Flags {
    EngineFlags engine;
    std::string file;
    uint32_t chunk = 512;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  add_engine_options(app, flags->engine);
  app.add_option("-f,--file", flags->file, "the text; - reads standard input")
      ->required()
      ->type_name("TEXT");
  app.add_option("-c,--ctx", flags->chunk, "tokens in a chunk; the second half of each is scored")
      ->capture_default_str();
  app.add_flag("--json", flags->json, "print one JSON object");
  return [flags]() -> Result<int> {
    SLUICE_TRY(const std::string text, read_text(flags->file));
    SLUICE_TRY(const auto model, load_model(flags->engine.model));
    SLUICE_TRY(const auto engine, make_engine(model, flags->engine, flags->engine.options));
    Result<Perplexity> result = fail(0, "");
    {
      ProgressBar bar("perplexity", "chunks");
      result =
          perplexity(*engine, text, flags->chunk, [&](uint64_t done, uint64_t total, double v) {
            bar.update(done, total, fmt::format("{:.4f}", v));
            return true;
          });
    }
    if (!result) {
      return fail(result.error().code, fmt::format("{}: {}", flags->file, result.error().message));
    }
    if (flags->json) {
      const nlohmann::ordered_json out = {{"perplexity", result->value},
                                          {"tokens", result->n_tokens},
                                          {"ctx", flags->chunk},
                                          {"isa", engine->info().isa}};
      write_out(out.dump(2) + "\n");
    } else {
      write_out(fmt::format("perplexity {:.4f} over {} tokens\n", result->value, result->n_tokens));
    }
    return kOk;
  };
}

}  // namespace sluice::cli
