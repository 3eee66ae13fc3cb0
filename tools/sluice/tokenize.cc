// SPDX-License-Identifier: Apache-2.0
// sluice tokenize and sluice detokenize.
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {

Action add_tokenize(CLI::App& app) {
  struct Flags {
    std::string model, text;
    bool no_bos = false;
  };
  auto flags = std::make_shared<Flags>();
  add_model_option(app, flags->model);
  app.add_flag("--no-bos", flags->no_bos, "no BOS token in front");
  app.add_option("text", flags->text, "the text; - reads standard input")->required();
  return [flags]() -> Result<int> {
    std::string text = flags->text;
    if (text == "-") {
      SLUICE_TRY(text, read_text("-"));
    }
    SLUICE_TRY(const auto model, load_model(flags->model));
    const Tokenizer& tokenizer = *model->tokenizer();
    const auto ids = tokenizer.encode(text, !flags->no_bos && tokenizer.add_bos());
    write_out(nlohmann::json(ids).dump() + "\n");
    return kOk;
  };
}

Action add_detokenize(CLI::App& app) {
  struct Flags {
    std::string model;
    std::vector<int32_t> ids;
  };
  auto flags = std::make_shared<Flags>();
  add_model_option(app, flags->model);
  app.add_option("id", flags->ids, "token ids")->required();
  return [flags]() -> Result<int> {
    SLUICE_TRY(const auto model, load_model(flags->model));
    SLUICE_TRY(const std::string text, model->tokenizer()->decode(flags->ids));
    write_out(text + "\n");
    return kOk;
  };
}

}  // namespace sluice::cli
