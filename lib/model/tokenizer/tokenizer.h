// SPDX-License-Identifier: Apache-2.0
// What the tokenizer models share: the vocabulary as a GGUF file gives it, checked, and the table
// of models by name. A model is one file in this folder and one line in tokenizer.cc.
#ifndef SLUICE_MODEL_TOKENIZER_TOKENIZER_H
#define SLUICE_MODEL_TOKENIZER_TOKENIZER_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sluice/gguf.hpp>
#include <sluice/text.hpp>

namespace sluice {

// Kinds of token, numbered as tokenizer.ggml.token_type numbers them.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// tokenizer.ggml.*: tokens, scores and types have the same length, ids are -1 or in range, no score
// is NaN.
struct Vocabulary {
  std::string path;  // for messages
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<TokenType> types;
  int32_t bos = -1;
  int32_t eos = -1;
  int32_t unknown = -1;
  std::vector<bool> is_end;
  std::optional<bool> add_bos;  // not said: as the tokenizer model has it
  bool add_space_prefix = true;
  // Of byte-pair encoding alone:
  std::string pre;                  // name of the pre-tokenizer
  std::vector<std::string> merges;  // "left right", best first
};

// A tokenizer that answers from its vocabulary.
class VocabularyTokenizer : public Tokenizer {
 public:
  std::string_view piece(int32_t id) const override {
    return is_known(id) ? pieces_[id] : std::string_view();
  }
  uint32_t n_vocab() const override { return static_cast<uint32_t>(v_.tokens.size()); }
  int32_t bos() const override { return v_.bos; }
  int32_t eos() const override { return v_.eos; }
  bool is_end(int32_t id) const override { return is_known(id) && v_.is_end[id]; }

 protected:
  explicit VocabularyTokenizer(Vocabulary vocabulary)
      : v_(std::move(vocabulary)), pieces_(v_.tokens.size()) {}
  bool is_known(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < pieces_.size(); }

  Vocabulary v_;
  std::vector<std::string> pieces_;  // what each id stands for
};

// The value of a byte token's text, "<0x41>"; -1: not of that form.
int byte_of_token(std::string_view text);

Result<std::shared_ptr<const Tokenizer>> make_spm_tokenizer(Vocabulary vocabulary);
Result<std::shared_ptr<const Tokenizer>> make_bpe_tokenizer(Vocabulary vocabulary);

}  // namespace sluice

#endif  // SLUICE_MODEL_TOKENIZER_TOKENIZER_H
