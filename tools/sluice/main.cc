// SPDX-License-Identifier: Apache-2.0
// sluice: run, inspect, measure and convert models. One subcommand a file.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

constexpr CommandEntry kCommands[] = {
    {"run", "generate text from a prompt", add_run},
    {"tokenize", "text to token ids", add_tokenize},
    {"detokenize", "token ids to text", add_detokenize},
    {"inspect", "show a GGUF file's metadata and tensors", add_inspect},
    {"perplexity", "measure how well a model predicts a text", add_perplexity},
    {"bench", "measure prefill and decode speed", add_bench},
    {"convert", "make a GGUF file of a Hugging Face folder", add_convert},
    {"quantize", "rewrite a GGUF file in another format", add_quantize},
    {"imatrix", "find out which columns of a model's matrices matter", add_imatrix},
    {"synth", "make a model of random weights for measurements", add_synth},
};

}  // namespace

void add_model_option(CLI::App& app, std::string& model) {
  app.add_option("-m,--model", model, "GGUF file; without it the embedded model")
      ->type_name("FILE");
}

Result<std::shared_ptr<const Model>> load_model(const std::string& path) {
  return path.empty() ? Model::embedded() : Model::load(path);
}

std::string describe_kernels(const EngineInfo& info) {
  std::string out;
  for (const KernelChoice& k : info.kernels) {
    out += fmt::format("{}{} {} ({})", out.empty() ? "" : ", ", k.tensors, k.format, k.kernel);
  }
  return out;
}

uint32_t largest_window(const Model& model) {
  const uint32_t window = model.info().n_ctx_train / 16 * 16;
  return window >= 48 ? window : 0;
}

namespace {

int run(int argc, char** argv) {
  CLI::App app("Run, inspect, measure and convert language models.", kProgram);
  app.set_version_flag("--version", std::string("sluice ") + SLUICE_VERSION);
  app.require_subcommand(1);
  app.footer("Run `sluice COMMAND --help` for a command's options. `--` ends the options.");
  std::vector<Action> actions;
  for (const CommandEntry& c : kCommands) {
    CLI::App* sub = app.add_subcommand(c.name, c.help);
    actions.push_back(c.add(*sub));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    complain(kProgram, e.what());
    complain(kProgram, "try `sluice --help`");
    return kUsage;
  }
  for (size_t i = 0; i < std::size(kCommands); ++i) {
    if (!app.got_subcommand(kCommands[i].name)) continue;
    const auto status = actions[i]();
    if (status) return *status;
    complain(kProgram, status.error().message);
    return kFailed;
  }
  return kUsage;
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  // A reader that has gone away is seen as a failed write.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return sluice::cli::run(argc, argv);
  } catch (const std::exception& e) {
    sluice::cli::complain(sluice::cli::kProgram, e.what());
    return sluice::cli::kFailed;
  }
}
