// SPDX-License-Identifier: Apache-2.0
// sluice quantize: another format for a model's matrices.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

struct QuantizeFlags {
  std::string in, out, type;
  unsigned n_threads = 0;
  bool json = false;
};

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
  app.add_option("type", flags->type, "format of the matrices: " + joined(quantize_types()))
      ->required()
      ->type_name("TYPE");
  app.add_option("-t,--threads", flags->n_threads, "threads; 0: all that this process may use")
      ->type_name("N");
  app.add_flag("--json", flags->json, "print the table of tensors as JSON");
  return [flags]() -> Result<int> {
    Result<std::vector<QuantizedTensor>> result = fail(0, "");
    {
      ProgressBar bar("quantize", "B");
      result = quantize(flags->in, flags->out, flags->type, flags->n_threads,
                        [&](uint64_t done, uint64_t total) {
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
    std::string preset, type = "Q8_0", out;
    uint64_t seed = 1;
  };
  auto flags = std::make_shared<Flags>();
  app.add_option("--preset", flags->preset, "size: " + joined(synth_presets()))->required();
  app.add_option("--type", flags->type, "format of the matrices: " + joined(quantize_types()))
      ->capture_default_str();
  app.add_option("-o,--out", flags->out, "GGUF file to write")->required()->type_name("FILE");
  app.add_option("--seed", flags->seed, "the same seed gives the same file")->capture_default_str();
  return [flags]() -> Result<int> {
    ProgressBar bar("synth", "B");
    SLUICE_CHECK(synthesize(flags->preset, flags->type, flags->out, flags->seed,
                            [&](uint64_t done, uint64_t total) {
                              bar.update(done, total);
                              return true;
                            }));
    return kOk;
  };
}

}  // namespace sluice::cli
