// SPDX-License-Identifier: Apache-2.0
// Options that say where a model runs, and the engine that follows from them.
#include <fmt/format.h>

#include <cerrno>
#include <charconv>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

Result<int32_t> parse_layers(const std::string& text) {
  if (text == "all") return -1;
  int32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0) {
    return fail(EINVAL, fmt::format("--device-layers {}: expected a number or all", text));
  }
  return n;
}

}  // namespace

void add_engine_options(CLI::App& app, EngineFlags& flags) {
  add_model_option(app, flags.model);
  app.add_option("--device", flags.options.device,
                 "where to run: cpu, emu (a board within this process), /dev/sluiceN, or auto: "
                 "the first board that is free, else the CPU")
      ->check([](const std::string& text) -> std::string {
        const bool known = text == "cpu" || text == "emu" || text == "auto" || text[0] == '/';
        return known ? "" : text + " is not one of cpu, emu, auto, /dev/sluiceN";
      })
      ->type_name("DEVICE")
      ->capture_default_str();
  app.add_option("--device-layers", flags.device_layers,
                 "layers for the board, the last ones; the others run on the CPU")
      ->type_name("N|all")
      ->capture_default_str();
  app.add_option("--device-timeout", flags.device_timeout,
                 "seconds that a board has for a step before it is reset")
      ->check(CLI::Range(uint64_t{1}, uint64_t{86400}))
      ->type_name("S")
      ->capture_default_str();
  app.add_option("--emulator-memory", flags.emulator_memory, "device memory of emu, in MiB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 20))
      ->type_name("MIB");
  app.add_option("--fault", flags.faults,
                 "what goes wrong with emu: hang, lost-irq, all-ones, late, corrupt, removal or "
                 "no-lock, with @N (after N entries) or :P (with probability P); may be given "
                 "several times")
      ->type_name("FAULT")
      ->allow_extra_args(false);
  app.add_option("-t,--threads", flags.options.n_threads,
                 "threads; 0: all that this process may use")
      ->check(CLI::Range(0u, 1024u))
      ->type_name("N");
  app.add_option("--kv-type", flags.options.kv_type,
                 "how keys and values are kept; q8_0 takes heads of 32 numbers or a multiple")
      ->check(CLI::IsMember(kv_types()))
      ->type_name("TYPE")
      ->capture_default_str();
  app.add_flag("--huge-pages", flags.options.huge_pages,
               "copy the CPU's weights to memory in huge pages; loading takes longer, and no other "
               "process shares them");
  auto* exact = app.add_flag_callback(
      "--exact", [&flags] { flags.options.arithmetic = Arithmetic::kExact; },
      "the same bits on every machine (the default)");
  app.add_flag_callback(
         "--fast", [&flags] { flags.options.arithmetic = Arithmetic::kFast; },
         "prompts with weights quantized again to 8 bits, or floats rounded to bf16: for machines "
         "with matrix units (AMX)")
      ->excludes(exact);
  app.add_option(
         "--isa", flags.options.isa,
         "instruction set: scalar, avx2, avxvnni, avx512 or amx (arm64: scalar, neon or dotprod); "
         "default: $SLUICE_ISA, else the best")
      ->type_name("ISA");
}

Result<std::unique_ptr<Engine>> make_engine(std::shared_ptr<const Model> model,
                                            const EngineFlags& flags, EngineOptions options) {
  SLUICE_TRY(options.device_layers, parse_layers(flags.device_layers));
  if (flags.emulator_memory > 0) options.emulator.memory_size = flags.emulator_memory << 20;
  options.device_timeout = std::chrono::seconds(flags.device_timeout);
  for (const std::string& text : flags.faults) {
    SLUICE_TRY(const Fault fault, parse_fault(text));
    options.emulator.faults.push_back(fault);
  }
  ProgressBar bar("loading", "B");
  options.progress = [&](uint64_t done, uint64_t total) {
    bar.update(done, total);
    return true;
  };
  SLUICE_TRY(auto engine, Engine::create(std::move(model), options));
  return Result<std::unique_ptr<Engine>>(std::move(engine));
}

std::string describe_cache(const EngineInfo& info) {
  return fmt::format("cache:   {} tokens, {}, {}\n", info.kv_tokens, info.kv_type,
                     human_bytes(info.kv_bytes));
}

std::string describe_board(const EngineInfo& info) {
  if (info.device_layers == 0) return {};
  std::string out =
      fmt::format("board:   {}, {} of {} layers\n", info.device, info.device_layers, info.n_layers);
  uint64_t total = 0;
  for (const MemoryNeed& need : info.device_memory) {
    out += fmt::format("  {:<16} {:>10}\n", need.what, human_bytes(need.bytes));
    total += need.bytes;
  }
  return out + fmt::format("  {:<16} {:>10} of {} free\n", "in all", human_bytes(total),
                           human_bytes(info.device_memory_free));
}

}  // namespace sluice::cli
