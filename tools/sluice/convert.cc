// SPDX-License-Identifier: Apache-2.0
// sluice convert: a Hugging Face folder as a GGUF file.
#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

struct ConvertFlags {
  std::string folder, out;
  ConvertOptions options;
  bool json = false;
};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "" : ", ") + n;
  return out;
}

void print_table(const Conversion& done) {
  uint64_t n = 0, before = 0, after = 0;
  std::string out = fmt::format("{:<32} {:<48} {:>5} {:>5} {:>12} {:>12}\n", "tensor", "source",
                                "from", "to", "bytes", "RMSE");
  for (const ConvertedTensor& t : done.tensors) {
    out += fmt::format("{:<32} {:<48} {:>5} {:>5} {:>12} {:>12.3e}\n", t.name, t.source, t.from,
                       t.to, t.bytes_out, t.rmse);
    n += t.n_elements;
    before += t.bytes_in;
    after += t.bytes_out;
  }
  out +=
      fmt::format("{} ({}), {} tokens of {}, {} weights: {} -> {}\n", done.name, done.architecture,
                  done.n_vocab, done.tokenizer, n, human_bytes(before), human_bytes(after));
  write_out(out);
}

void print_json(const Conversion& done) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const ConvertedTensor& t : done.tensors) {
    tensors.push_back({{"name", t.name},
                       {"source", t.source},
                       {"from", t.from},
                       {"to", t.to},
                       {"elements", t.n_elements},
                       {"bytes_in", t.bytes_in},
                       {"bytes_out", t.bytes_out},
                       {"rmse", t.rmse}});
  }
  const nlohmann::ordered_json out = {{"architecture", done.architecture},
                                      {"name", done.name},
                                      {"type", done.type},
                                      {"tokenizer", done.tokenizer},
                                      {"n_vocab", done.n_vocab},
                                      {"tensors", std::move(tensors)}};
  // Names may be those of a folder, of any bytes.
  write_out(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace

Action add_convert(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  app.add_option("folder", flags->folder,
                 "model folder as on Hugging Face: config.json, a tokenizer, safetensors or "
                 "PyTorch weights")
      ->required()
      ->type_name("HF_DIR");
  app.add_option("-o,--out", flags->out, "GGUF file to write; it appears when it is whole")
      ->required()
      ->type_name("FILE");
  app.add_option("--type", flags->options.type,
                 "format of the matrices: " + joined(convert_types()) + " (as most of them are)")
      ->capture_default_str();
  app.add_option("--name", flags->options.name, "general.name; without it the folder's name");
  app.add_option("-t,--threads", flags->options.n_threads,
                 "threads; 0: all that this process may use")
      ->type_name("N");
  app.add_flag("--json", flags->json, "print the result as JSON");
  app.footer("Architectures: " + joined(convert_architectures()) + ".");
  return [flags]() -> Result<int> {
    Result<Conversion> result = fail(0, "");
    {
      ProgressBar bar("convert", "B");
      result =
          convert(flags->folder, flags->out, flags->options, [&](uint64_t done, uint64_t total) {
            bar.update(done, total);
            return true;
          });
    }
    SLUICE_CHECK(result);
    flags->json ? print_json(*result) : print_table(*result);
    return kOk;
  };
}

}  // namespace sluice::cli
