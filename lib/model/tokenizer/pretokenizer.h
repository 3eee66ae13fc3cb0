// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers: the patterns that cut a text into words before byte-pair encoding, by the names
// that tokenizer.ggml.pre has for them.
#ifndef SLUICE_MODEL_TOKENIZER_PRETOKENIZER_H
#define SLUICE_MODEL_TOKENIZER_PRETOKENIZER_H

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

class Pretokenizer {
 public:
  // What else a name says of its tokenizer.
  struct Traits {
    bool add_bos = false;      // unless the file says otherwise
    bool whole_words = false;  // a word that is a token becomes that token, merges or not
  };

  // ENOTSUP: a name that is not in the table; the message begins with `path`.
  static Result<std::unique_ptr<Pretokenizer>> find(const std::string& path, std::string_view name);
  // The first name in the table that has these patterns and trait; empty: none.
  static std::string_view name_of(std::span<const std::string> patterns, bool whole_words);
  // What byte-level tokenizers cut by when they do not say.
  static std::string_view gpt2_pattern();
  virtual ~Pretokenizer() = default;

  virtual const Traits& traits() const = 0;
  // Words in order; together they are the text, whatever bytes it has.
  virtual std::vector<std::string_view> cut(std::string_view text) const = 0;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_TOKENIZER_PRETOKENIZER_H
