// SPDX-License-Identifier: Apache-2.0
// Model: a GGUF file, the architecture that reads it, and its tokenizer. Also the table of
// architectures.
#include <fmt/format.h>

#include <cerrno>
#include <map>

#include "model/loaded_model.h"

extern "C" {
extern const std::byte sluice_embedded_model_begin[];
extern const std::byte sluice_embedded_model_end[];
}

namespace sluice {
namespace {

constexpr ArchitectureEntry kArchitectures[] = {
    {"llama", load_decoder},  {"qwen2", load_decoder}, {"qwen3", load_decoder},
    {"phi3", load_decoder},   {"gemma", load_decoder}, {"gemma2", load_decoder},
    {"gemma3", load_decoder},
};

// The format that most of the bytes have.
std::string main_format(const GgufFile& file) {
  std::map<std::string, uint64_t> bytes;
  for (const GgufTensor& t : file.tensors()) bytes[t.type_name] += t.n_bytes;
  std::string best;
  for (const auto& [name, n] : bytes) {
    if (best.empty() || n > bytes[best]) best = name;
  }
  return best;
}

}  // namespace

const ArchitectureEntry* find_architecture(std::string_view name) {
  for (const ArchitectureEntry& a : kArchitectures) {
    if (a.name == name) return &a;
  }
  return nullptr;
}

std::string architecture_names() {
  std::string out;
  for (const ArchitectureEntry& a : kArchitectures)
    out += (out.empty() ? "" : ", ") + std::string(a.name);
  return out;
}

Result<std::shared_ptr<const Model>> LoadedModel::from_file(GgufFile file) {
  auto model = std::make_shared<LoadedModel>(std::move(file));
  SLUICE_TRY(const std::string_view name, model->file_.get_string("general.architecture"));
  const ArchitectureEntry* entry = find_architecture(name);
  if (!entry) {
    return fail(ENOTSUP, fmt::format("{}: unknown architecture \"{}\": expected one of {}",
                                     model->file_.path(), name, architecture_names()));
  }
  SLUICE_TRY(model->architecture_, entry->load(model->file_));
  SLUICE_TRY(model->tokenizer_, Tokenizer::from_gguf(model->file_));
  model->info_ = model->architecture_->info();
  if (model->tokenizer_->n_vocab() != model->info_.n_vocab) {
    return fail(EBADMSG, fmt::format("{}: the tokenizer has {} tokens, tensor token_embd.weight {} "
                                     "rows",
                                     model->file_.path(), model->tokenizer_->n_vocab(),
                                     model->info_.n_vocab));
  }
  for (const GgufTensor& t : model->file_.tensors()) {
    model->info_.n_params += t.n_elements();
    model->info_.n_bytes += t.n_bytes;
  }
  model->info_.format = main_format(model->file_);
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::load(const std::string& path) {
  SLUICE_TRY(GgufFile file, GgufFile::open(path));
  return LoadedModel::from_file(std::move(file));
}

Result<std::shared_ptr<const Model>> Model::embedded() {
  SLUICE_TRY(
      GgufFile file,
      GgufFile::from_memory({sluice_embedded_model_begin, sluice_embedded_model_end}, "embedded"));
  return LoadedModel::from_file(std::move(file));
}

}  // namespace sluice
