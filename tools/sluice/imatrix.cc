// SPDX-License-Identifier: Apache-2.0
// sluice imatrix: which columns of a model's matrices matter, for sluice quantize --imatrix.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {

Action add_imatrix(CLI::App& app) {
  struct Flags {
    std::string model, file, out;
    ImportanceOptions options;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  add_model_option(app, flags->model);
  app.add_option("-f,--file", flags->file,
                 "the text to run through the model; - reads standard input")
      ->required()
      ->type_name("TEXT");
  app.add_option("-o,--output", flags->out, "the importance matrix")->required()->type_name("FILE");
  app.add_option("-c,--ctx", flags->options.chunk, "tokens in a chunk; each begins anew")
      ->capture_default_str();
  app.add_option("--chunks", flags->options.max_chunks, "stop after so many chunks; 0: at the end")
      ->capture_default_str();
  app.add_flag("--process-output", flags->options.output, "collect for the output matrix, too");
  app.add_option("-t,--threads", flags->options.n_threads, "threads (default: usable CPUs)");
  app.add_option("--isa", flags->options.isa,
                 "instruction set: scalar, avx2, avxvnni, avx512, amx");
  app.add_flag("--json", flags->json, "print one JSON object");
  return [flags]() -> Result<int> {
    SLUICE_TRY(const std::string text, read_text(flags->file));
    SLUICE_TRY(const auto model, load_model(flags->model));
    Result<ImportanceReport> done = fail(0, "");
    {
      ProgressBar bar("imatrix", "chunks");
      done = collect_importance(model, text, flags->out, flags->options,
                                [&](uint64_t at, uint64_t total) {
                                  bar.update(at, total);
                                  return true;
                                });
    }
    SLUICE_CHECK(done);
    if (flags->json) {
      const nlohmann::ordered_json out = {{"output", flags->out},
                                          {"chunks", done->n_chunks},
                                          {"tokens", done->n_tokens},
                                          {"tensors", done->n_tensors}};
      write_out(out.dump(2) + "\n");
    } else {
      write_out(fmt::format("{}: {} matrices over {} tokens in {} chunks\n", flags->out,
                            done->n_tensors, done->n_tokens, done->n_chunks));
    }
    return kOk;
  };
}

}  // namespace sluice::cli
