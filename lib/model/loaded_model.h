// SPDX-License-Identifier: Apache-2.0
// What the library knows of a Model beyond its public face.
#ifndef SLUICE_MODEL_LOADED_MODEL_H
#define SLUICE_MODEL_LOADED_MODEL_H

#include <memory>
#include <utility>

#include <sluice/engine.hpp>

#include "model/program.h"

namespace sluice {

class LoadedModel : public Model {
 public:
  explicit LoadedModel(GgufFile file) : file_(std::move(file)) {}
  static Result<std::shared_ptr<const Model>> from_file(GgufFile file);

  const ModelInfo& info() const override { return info_; }
  const GgufFile& file() const override { return file_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
  const Architecture& architecture() const { return *architecture_; }

 private:
  GgufFile file_;
  std::unique_ptr<Architecture> architecture_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ModelInfo info_;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_LOADED_MODEL_H
