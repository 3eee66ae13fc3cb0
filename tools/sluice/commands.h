// SPDX-License-Identifier: Apache-2.0
// The subcommands of `sluice`. Each adds its options to the parser and returns what to run.
#ifndef SLUICE_TOOLS_SLUICE_COMMANDS_H
#define SLUICE_TOOLS_SLUICE_COMMANDS_H

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include <sluice/sluice.hpp>

namespace sluice::cli {

inline constexpr const char* kProgram = "sluice";

// Runs after parsing; the exit status, or an error to report (exit status 1).
using Action = std::function<Result<int>()>;

struct CommandEntry {
  const char* name;
  const char* help;
  Action (*add)(CLI::App& app);
};

Action add_run(CLI::App& app);
Action add_tokenize(CLI::App& app);
Action add_detokenize(CLI::App& app);
Action add_inspect(CLI::App& app);
Action add_perplexity(CLI::App& app);
Action add_bench(CLI::App& app);
Action add_convert(CLI::App& app);
Action add_quantize(CLI::App& app);
Action add_imatrix(CLI::App& app);
Action add_synth(CLI::App& app);

// --- options that several subcommands have -------------------------------------------------------

struct EngineFlags {
  std::string model;
  EngineOptions options;
  std::string device_layers = "all";
  uint64_t emulator_memory = 0;  // MiB; 0: the default
  uint64_t device_timeout = 30;  // seconds
  std::vector<std::string> faults;
};
// -m, and with `engine` --device and what belongs to it, -t, --isa.
void add_model_option(CLI::App& app, std::string& model);
void add_engine_options(CLI::App& app, EngineFlags& flags);
// An engine with `options`, with a progress bar while a board is loaded; `flags` says the rest.
Result<std::unique_ptr<Engine>> make_engine(std::shared_ptr<const Model> model,
                                            const EngineFlags& flags, EngineOptions options);
// What a board holds, a line each; empty without a board.
std::string describe_board(const EngineInfo& info);
// The line of the KV cache.
std::string describe_cache(const EngineInfo& info);

// The model of -m, or the embedded one when it is empty.
Result<std::shared_ptr<const Model>> load_model(const std::string& path);

// "ffn F16 avx512 (fma 4x6), ..." for people.
std::string describe_kernels(const EngineInfo& info);

// The largest window that the model's context allows; 0 when it is too small for one.
uint32_t largest_window(const Model& model);

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_SLUICE_COMMANDS_H
