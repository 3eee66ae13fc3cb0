// SPDX-License-Identifier: Apache-2.0
// Vocabularies of model folders: tokenizer.model (SentencePiece) or tokenizer.json, and what the
// files beside them say of special tokens and chat templates.
#ifndef SLUICE_CONVERT_VOCABULARY_H
#define SLUICE_CONVERT_VOCABULARY_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sluice/gguf.hpp>
#include <sluice/result.hpp>

#include "convert/json_file.h"
#include "model/tokenizer/tokenizer.h"

namespace sluice::hf {

// What becomes tokenizer.*: tokens, scores and types have one element a row of the embedding.
struct VocabularyData {
  std::string model;  // "llama" or "gpt2"
  std::string pre;    // name of the pre-tokenizer
  std::vector<std::string> tokens;
  std::vector<double> scores;  // of "llama" alone
  std::vector<TokenType> types;
  std::vector<std::string> merges;  // of "gpt2" alone
  std::optional<bool> add_space_prefix, add_bos, add_eos;
  std::vector<std::pair<std::string, uint32_t>> ids;           // key behind tokenizer.ggml., id
  std::vector<std::pair<std::string, std::string>> templates;  // key, text

  // n tokens that are not used, of a model that is not set yet.
  explicit VocabularyData(uint32_t n_vocab);
  void put(uint32_t id, std::string text, double score, TokenType type);
  std::optional<uint32_t> find(std::string_view text) const;  // its id
  void write(GgufWriter& writer) const;
};

// Pieces of a tokenizer.model. EBADMSG: no such file; ENOTSUP: not byte-pair encoding.
// github.com/google/sentencepiece, sentencepiece_model.proto.
Result<VocabularyData> read_sentencepiece(std::span<const std::byte> bytes, const std::string& path,
                                          uint32_t n_vocab);
// Byte-level BPE becomes "gpt2", BPE with byte tokens "llama".
Result<VocabularyData> read_tokenizer_json(const JsonObject& json, uint32_t n_vocab);
// Whether it is byte-level BPE.
bool is_byte_level(const JsonObject& tokenizer_json);

// A token that was added to a vocabulary. Those beyond its end are left out.
Result<void> put_added(const JsonObject& token, uint32_t id, VocabularyData& ret);

// The vocabulary of a folder. ENOENT: none.
Result<VocabularyData> read_vocabulary(const std::string& folder, const JsonObject& config,
                                       uint32_t n_vocab);

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_VOCABULARY_H
