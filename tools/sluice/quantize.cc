// SPDX-License-Identifier: Apache-2.0
// sluice quantize: another format for a model's matrices.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

struct QuantizeFlags {
  std::string in, out;
  QuantizeOptions options;
  std::vector<std::string> overrides;  // PATTERN=TYPE
  bool json = false;
};

// What a mix of tales-7m takes and costs.
struct MixCost {
  const char* mix;
  double bits;  // a weight, all tensors counted
  double cost;  // perplexity more than F16's
};
constexpr MixCost kMixCosts[] = {
#include "tools/sluice/mix_costs.inc"
};

// The list of types for --help.
std::string describe_mixes() {
  std::string out =
      "Types, with bits a weight and the perplexity that they add to the embedded model:\n";
  for (const QuantizeMix& mix : quantize_mixes()) {
    const auto* known = std::find_if(std::begin(kMixCosts), std::end(kMixCosts),
                                     [&](const MixCost& c) { return mix.name == c.mix; });
    out += fmt::format("  {:<7}", mix.name);
    if (known != std::end(kMixCosts))
      out += fmt::format(" {:>6.2f} {:>+8.4f}", known->bits, known->cost);
    if (mix.base.empty()) out += "  every tensor keeps its format, but for overrides";
    if (!mix.alias.empty()) out += fmt::format("  also {}", mix.alias);
    out += "\n";
  }
  return out + "Rows that are no multiple of 256 or 32 values get the nearest format that fits.";
}

Result<void> split_overrides(QuantizeFlags& flags) {
  for (const std::string& text : flags.overrides) {
    const size_t at = text.rfind('=');
    if (at == std::string::npos || at == 0) {
      return fail(EINVAL, fmt::format("--tensor-type {}: expected PATTERN=TYPE", text));
    }
    flags.options.overrides.push_back({text.substr(0, at), text.substr(at + 1)});
  }
  return {};
}

void print_table(const std::vector<QuantizedTensor>& tensors) {
  uint64_t n = 0, before = 0, after = 0;
  std::string out = fmt::format("{:<32} {:>6} {:>6} {:>12} {:>12} {:>8} {:>12}\n", "tensor", "from",
                                "to", "bytes", "were", "bits", "RMSE");
  for (const QuantizedTensor& t : tensors) {
    out += fmt::format("{:<32} {:>6} {:>6} {:>12} {:>12} {:>8.3f} {:>12.3e}\n", t.name, t.from,
                       t.to, t.bytes_out, t.bytes_in,
                       8.0 * static_cast<double>(t.bytes_out) / static_cast<double>(t.n_elements),
                       t.rmse);
    n += t.n_elements;
    before += t.bytes_in;
    after += t.bytes_out;
  }
  out += fmt::format("{} -> {}, {:.3f} bits per weight\n", human_bytes(before), human_bytes(after),
                     n ? 8.0 * static_cast<double>(after) / static_cast<double>(n) : 0.0);
  write_out(out);
}

void print_json(const std::vector<QuantizedTensor>& tensors) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const QuantizedTensor& t : tensors) {
    out.push_back({{"name", t.name},
                   {"from", t.from},
                   {"to", t.to},
                   {"elements", t.n_elements},
                   {"bytes_in", t.bytes_in},
                   {"bytes_out", t.bytes_out},
                   {"rmse", t.rmse}});
  }
  write_out(out.dump(2) + "\n");
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "" : ", ") + n;
  return out;
}

}  // namespace

Action add_quantize(CLI::App& app) {
  auto flags = std::make_shared<QuantizeFlags>();
  app.add_option("in", flags->in, "GGUF file to read")->required()->type_name("IN");
  app.add_option("out", flags->out, "GGUF file to write; it appears when it is whole")
      ->required()
      ->type_name("OUT");
  app.add_option("type", flags->options.type, "one of the types below")
      ->required()
      ->type_name("TYPE");
  app.add_option("--tensor-type", flags->overrides,
                 "format for the tensors whose name the pattern (a regular expression or a part of "
                 "the name) is found in; may be given several times, the first that fits counts")
      ->type_name("PATTERN=TYPE");
  app.add_option("--imatrix", flags->options.importance,
                 "importance matrix in a GGUF file, as llama.cpp's imatrix tool writes it")
      ->type_name("FILE");
  app.add_option("-t,--threads", flags->options.n_threads,
                 "threads; 0: all that this process may use")
      ->type_name("N");
  app.add_flag("--json", flags->json, "print the table of tensors as JSON");
  app.footer(describe_mixes());
  return [flags]() -> Result<int> {
    SLUICE_CHECK(split_overrides(*flags));
    Result<std::vector<QuantizedTensor>> result = fail(0, "");
    {
      ProgressBar bar("quantize", "B");
      result = quantize(flags->in, flags->out, flags->options, [&](uint64_t done, uint64_t total) {
        bar.update(done, total);
        return true;
      });
    }
    SLUICE_CHECK(result);
    flags->json ? print_json(*result) : print_table(*result);
    return kOk;
  };
}

Action add_synth(CLI::App& app) {
  struct Flags {
    SynthOptions synth;
    std::string out;
  };
  auto flags = std::make_shared<Flags>();
  app.add_option("--preset", flags->synth.preset, "size: " + joined(synth_presets()))->required();
  app.add_option("--arch", flags->synth.architecture,
                 "architecture: " + joined(synth_architectures()))
      ->capture_default_str();
  app.add_option("--type", flags->synth.type, "format of the matrices: " + joined(quantize_types()))
      ->capture_default_str();
  app.add_option("--rope", flags->synth.rope, "scaling of positions: " + joined(synth_ropes()))
      ->capture_default_str();
  app.add_option("-o,--out", flags->out, "GGUF file to write")->required()->type_name("FILE");
  app.add_option("--seed", flags->synth.seed, "the same seed gives the same file")
      ->capture_default_str();
  return [flags]() -> Result<int> {
    ProgressBar bar("synth", "B");
    SLUICE_CHECK(synthesize(flags->synth, flags->out, [&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return true;
    }));
    return kOk;
  };
}

}  // namespace sluice::cli
