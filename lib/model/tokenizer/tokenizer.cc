// SPDX-License-Identifier: Apache-2.0
// Reads and checks a vocabulary from GGUF metadata and hands it to the tokenizer model that
// tokenizer.ggml.model names. Keys and defaults as llama.cpp has them.
#include "model/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

struct TokenizerModel {
  const char* name;
  // Ids where the file names none; -1: none.
  int32_t bos, eos, unknown;
  bool merges;  // reads tokenizer.ggml.merges and .pre
  Result<std::shared_ptr<const Tokenizer>> (*make)(Vocabulary vocabulary);
};

constexpr TokenizerModel kModels[] = {
    {"llama", 1, 2, 0, false, make_spm_tokenizer},
    {"gpt2", -1, -1, -1, true, make_bpe_tokenizer},
};

// Texts of control tokens that end a turn in models whose metadata names only one end token.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "<EOT>", "<|return|>",
};

constexpr size_t kMaxVocabulary = std::numeric_limits<int32_t>::max();

tl::unexpected<Error> bad(const GgufFile& file, const std::string& what) {
  return fail(EBADMSG, fmt::format("{}: {}", file.path(), what));
}

// The array under `key` as GgufArray; null where the key is absent.
Result<const GgufArray*> find_array(const GgufFile& file, const std::string& key, size_t size) {
  const GgufValue* value = file.find(key);
  if (!value) return nullptr;
  const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value->data);
  if (!array) {
    return bad(file, fmt::format("metadata key '{}' has type {}, expected an array", key,
                                 gguf_type_name(value->type)));
  }
  if ((*array)->size() != size) {
    return bad(file, fmt::format("metadata key '{}' has {} elements, expected {} (one a token)",
                                 key, (*array)->size(), size));
  }
  return array->get();
}

Result<void> read_scores(const GgufFile& file, Vocabulary& vocabulary) {
  const std::string key = "tokenizer.ggml.scores";
  vocabulary.scores.assign(vocabulary.tokens.size(), 0.0f);
  SLUICE_TRY(const GgufArray* array, find_array(file, key, vocabulary.tokens.size()));
  if (!array) return {};
  const auto* scores = std::get_if<std::vector<double>>(&array->elements);
  if (!scores) {
    return bad(file, fmt::format("metadata key '{}' is an array of {}, expected f32", key,
                                 gguf_type_name(array->element_type)));
  }
  for (size_t i = 0; i < scores->size(); ++i) {
    if (std::isnan((*scores)[i])) {
      return bad(file,
                 fmt::format("metadata key '{}': the score of token {} is not a number", key, i));
    }
    vocabulary.scores[i] = static_cast<float>((*scores)[i]);
  }
  return {};
}

Result<void> read_types(const GgufFile& file, Vocabulary& vocabulary) {
  const std::string key = "tokenizer.ggml.token_type";
  const size_t n = vocabulary.tokens.size();
  vocabulary.types.assign(n, TokenType::kNormal);
  SLUICE_TRY(const GgufArray* array, find_array(file, key, n));
  if (!array) {
    for (size_t i = 0; i < n; ++i) {
      if (byte_of_token(vocabulary.tokens[i]) >= 0) vocabulary.types[i] = TokenType::kByte;
    }
    return {};
  }
  const auto* natural = std::get_if<std::vector<uint64_t>>(&array->elements);
  const auto* integer = std::get_if<std::vector<int64_t>>(&array->elements);
  if ((!natural && !integer) || array->element_type == GgufType::kBool) {
    return bad(file, fmt::format("metadata key '{}' is an array of {}, expected integers", key,
                                 gguf_type_name(array->element_type)));
  }
  constexpr uint64_t kLast = static_cast<uint64_t>(TokenType::kByte);
  for (size_t i = 0; i < n; ++i) {
    const uint64_t type = natural ? (*natural)[i] : static_cast<uint64_t>((*integer)[i]);
    if (type > kLast) {
      return bad(file,
                 fmt::format("metadata key '{}': the type of token {} is {}, expected 0 to {}", key,
                             i, static_cast<int64_t>(type), kLast));
    }
    vocabulary.types[i] = static_cast<TokenType>(type);
  }
  return {};
}

// An optional id; `fallback` where the key is absent and the vocabulary is large enough for it.
Result<int32_t> read_id(const GgufFile& file, const std::string& key, size_t n_vocab,
                        int32_t fallback) {
  if (!file.find(key)) return fallback < static_cast<int64_t>(n_vocab) ? fallback : -1;
  SLUICE_TRY(const uint64_t id, file.get_u64(key));
  if (id >= n_vocab) {
    return bad(file, fmt::format("metadata key '{}' is {}, but the vocabulary has {} tokens", key,
                                 id, n_vocab));
  }
  return static_cast<int32_t>(id);
}

Result<bool> read_flag(const GgufFile& file, const std::string& key, bool fallback) {
  if (!file.find(key)) return fallback;
  return file.get_bool(key);
}

Result<void> read_special(const GgufFile& file, const TokenizerModel& model,
                          Vocabulary& vocabulary) {
  const size_t n = vocabulary.tokens.size();
  SLUICE_TRY(vocabulary.bos, read_id(file, "tokenizer.ggml.bos_token_id", n, model.bos));
  SLUICE_TRY(vocabulary.eos, read_id(file, "tokenizer.ggml.eos_token_id", n, model.eos));
  SLUICE_TRY(vocabulary.unknown,
             read_id(file, "tokenizer.ggml.unknown_token_id", n, model.unknown));
  if (file.find("tokenizer.ggml.add_bos_token")) {
    SLUICE_TRY(vocabulary.add_bos, file.get_bool("tokenizer.ggml.add_bos_token"));
  }
  SLUICE_TRY(vocabulary.add_space_prefix, read_flag(file, "tokenizer.ggml.add_space_prefix", true));

  vocabulary.is_end.assign(n, false);
  if (vocabulary.eos >= 0) vocabulary.is_end[vocabulary.eos] = true;
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    SLUICE_TRY(const int32_t id, read_id(file, key, n, -1));
    if (id >= 0) vocabulary.is_end[id] = true;
  }
  for (size_t i = 0; i < n; ++i) {
    const bool special = vocabulary.types[i] == TokenType::kControl ||
                         vocabulary.types[i] == TokenType::kUserDefined;
    if (special && std::find(std::begin(kEndTexts), std::end(kEndTexts), vocabulary.tokens[i]) !=
                       std::end(kEndTexts)) {
      vocabulary.is_end[i] = true;
    }
  }
  return {};
}

// The pre-tokenizer's name and the merges. Files of the time before there were names get "default".
Result<void> read_merges(const GgufFile& file, Vocabulary& vocabulary) {
  vocabulary.pre = "default";
  if (file.find("tokenizer.ggml.pre")) {
    SLUICE_TRY(const std::string_view pre, file.get_string("tokenizer.ggml.pre"));
    vocabulary.pre = pre;
  }
  SLUICE_TRY(const auto merges, file.get_strings("tokenizer.ggml.merges"));
  if (merges.size() > kMaxVocabulary) {
    return bad(file, fmt::format("tokenizer.ggml.merges has {} elements, expected at most {}",
                                 merges.size(), kMaxVocabulary));
  }
  vocabulary.merges.assign(merges.begin(), merges.end());
  return {};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

int byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(const GgufFile& file) {
  SLUICE_TRY(const std::string_view name, file.get_string("tokenizer.ggml.model"));
  const auto* model = std::find_if(std::begin(kModels), std::end(kModels),
                                   [&](const TokenizerModel& m) { return name == m.name; });
  if (model == std::end(kModels)) {
    std::string known;
    for (const TokenizerModel& m : kModels)
      known += fmt::format("{}'{}'", known.empty() ? "" : ", ", m.name);
    return fail(ENOTSUP, fmt::format("{}: tokenizer.ggml.model is '{}', expected one of {}",
                                     file.path(), name, known));
  }
  Vocabulary vocabulary;
  vocabulary.path = file.path();
  SLUICE_TRY(const auto tokens, file.get_strings("tokenizer.ggml.tokens"));
  if (tokens.empty() || tokens.size() > kMaxVocabulary) {
    return bad(file, fmt::format("tokenizer.ggml.tokens has {} elements, expected 1 to {}",
                                 tokens.size(), kMaxVocabulary));
  }
  vocabulary.tokens.assign(tokens.begin(), tokens.end());
  SLUICE_CHECK(read_scores(file, vocabulary));
  SLUICE_CHECK(read_types(file, vocabulary));
  SLUICE_CHECK(read_special(file, *model, vocabulary));
  if (model->merges) SLUICE_CHECK(read_merges(file, vocabulary));
  return model->make(std::move(vocabulary));
}

}  // namespace sluice
