// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, as github.com/huggingface/tokenizers writes it: byte-pair encoding, over bytes in
// disguise ("ByteLevel") or over characters with byte tokens for what is missing ("byte_fallback").
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "convert/vocabulary.h"
#include "gguf/cursor.h"
#include "model/tokenizer/pretokenizer.h"

namespace sluice::hf {
namespace {

constexpr const char* kSpace = "\xe2\x96\x81";  // U+2581 stands for a space
// Below those of all merges, of which there are fewer than 2^31.
constexpr double kNoMerge = -0x1p31;

// The steps of a normalizer or pre-tokenizer: itself, or those of a "Sequence".
Result<std::vector<JsonObject>> steps(const JsonObject& json, const char* key, const char* list) {
  std::vector<JsonObject> out;
  SLUICE_TRY(const auto step, json.object(key));
  if (!step) return out;
  SLUICE_TRY(const std::string type, step->text("type"));
  if (type != "Sequence") {
    out.push_back(*step);
    return out;
  }
  const Json* parts = step->find(list);
  if (!parts || !parts->is_array()) return step->bad(list, "an array");
  for (const Json& part : *parts) {
    // A copy: parts are small.
    SLUICE_TRY(JsonObject object, JsonObject::parse(part.dump(), json.path()));
    out.push_back(std::move(object));
  }
  return out;
}

// The text that a "pattern" matches, {"String": text} or {"Regex": text}.
Result<std::string> pattern_of(const JsonObject& step, const char* kind) {
  SLUICE_TRY(const auto pattern, step.object("pattern"));
  if (!pattern) return step.bad("pattern", fmt::format("an object with \"{}\"", kind));
  return pattern->text(kind);
}

// The regular expressions that cut a text, one after the other.
Result<std::vector<std::string>> patterns_of(const JsonObject& json) {
  std::vector<std::string> out;
  SLUICE_TRY(const auto parts, steps(json, "pre_tokenizer", "pretokenizers"));
  for (const JsonObject& step : parts) {
    SLUICE_TRY(const std::string type, step.text("type"));
    if (type == "ByteLevel") {
      SLUICE_TRY(const bool prefix, step.flag_or("add_prefix_space", true));
      if (prefix) return step.unsupported("add_prefix_space", "false");
      SLUICE_TRY(const bool regex, step.flag_or("use_regex", true));
      if (regex) out.emplace_back(Pretokenizer::gpt2_pattern());
    } else if (type == "Digits") {
      SLUICE_TRY(const bool single, step.flag_or("individual_digits", false));
      if (!single) return step.unsupported("individual_digits", "true");
      out.emplace_back("\\p{N}");
    } else if (type == "Split") {
      SLUICE_TRY(const std::string behavior, step.text("behavior"));
      SLUICE_TRY(const bool invert, step.flag_or("invert", false));
      // Keeping the matches, or dropping what is between matches of everything, is the same.
      if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
        return step.unsupported("behavior", "\"Isolated\", or \"Removed\" of what is inverted");
      }
      SLUICE_TRY(std::string pattern, pattern_of(step, "Regex"));
      out.push_back(std::move(pattern));
    } else {
      return step.unsupported("type", "\"ByteLevel\", \"Digits\" or \"Split\"");
    }
  }
  return out;
}

// NFC is left to the caller of the model, as stock llama.cpp leaves it.
Result<void> check_byte_level_normalizer(const JsonObject& json) {
  SLUICE_TRY(const auto parts, steps(json, "normalizer", "normalizers"));
  for (const JsonObject& step : parts) {
    SLUICE_TRY(const std::string type, step.text("type"));
    if (type != "NFC") return step.unsupported("type", "\"NFC\"");
  }
  return {};
}

// Whether a space is put in front of a text; the other steps must do what "llama" does.
Result<bool> read_space_prefix(const JsonObject& json) {
  bool prefix = false;
  SLUICE_TRY(const auto normalizers, steps(json, "normalizer", "normalizers"));
  for (const JsonObject& step : normalizers) {
    SLUICE_TRY(const std::string type, step.text("type"));
    if (type == "Prepend") {
      SLUICE_TRY(const std::string what, step.text("prepend"));
      if (what != kSpace) return step.unsupported("prepend", "\"\u2581\"");
      prefix = true;
    } else if (type == "Replace") {
      SLUICE_TRY(const std::string from, pattern_of(step, "String"));
      SLUICE_TRY(const std::string to, step.text("content"));
      if (from != " " || to != kSpace) return step.unsupported("content", "\" \" to \"\u2581\"");
    } else {
      return step.unsupported("type", "\"Prepend\" or \"Replace\"");
    }
  }
  SLUICE_TRY(const auto cutters, steps(json, "pre_tokenizer", "pretokenizers"));
  for (const JsonObject& step : cutters) {
    SLUICE_TRY(const std::string type, step.text("type"));
    if (type == "Metaspace") {
      SLUICE_TRY(const bool split, step.flag_or("split", true));
      if (split) return step.unsupported("split", "false");
      SLUICE_TRY(const std::string scheme, step.text_or("prepend_scheme", "always"));
      prefix = scheme != "never";
    } else if (type == "Split") {
      // At spaces, of which the normalizer has left none.
      SLUICE_TRY(const std::string at, pattern_of(step, "String"));
      if (at != " " || normalizers.empty()) return step.unsupported("pattern", "\" \"");
    } else {
      return step.unsupported("type", "\"Metaspace\" or \"Split\"");
    }
  }
  return prefix;
}

struct Merge {
  std::string left, right;
};

Result<std::vector<Merge>> read_merges(const JsonObject& model) {
  const Json* list = model.find("merges");
  if (!list || !list->is_array()) return model.bad("merges", "an array");
  std::vector<Merge> out;
  out.reserve(list->size());
  for (const Json& merge : *list) {
    Merge one;
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const size_t space = text.find(' ', 1);
      if (space != text.npos) one = {text.substr(0, space), text.substr(space + 1)};
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      one = {merge[0].get<std::string>(), merge[1].get<std::string>()};
    }
    if (one.left.empty() || one.right.empty()) {
      return fail(EBADMSG, fmt::format("{}: key model.merges: element {} is {}, expected two texts",
                                       model.path(), out.size(), shown(merge)));
    }
    out.push_back(std::move(one));
  }
  return out;
}

Result<void> read_tokens(const JsonObject& model, VocabularyData& ret) {
  SLUICE_TRY(const auto vocab, model.object("vocab"));
  if (!vocab) return model.bad("vocab", "an object of texts and ids");
  std::vector<bool> taken(ret.tokens.size());
  for (const auto& [text, id] : vocab->json().items()) {
    const uint64_t n = id.is_number_unsigned() ? id.get<uint64_t>() : UINT64_MAX;
    if (n >= taken.size() || taken[n] || text.empty()) {
      return fail(EBADMSG,
                  fmt::format("{}: key model.vocab.{} is {}, expected an id below {} (the "
                              "rows of the embedding) that no other has",
                              model.path(), gguf::printable(text), shown(id), taken.size()));
    }
    taken[n] = true;
    ret.put(static_cast<uint32_t>(n), text, 0, TokenType::kNormal);
  }
  return {};
}

Result<void> read_byte_level(const JsonObject& json, const JsonObject& model, VocabularyData& ret) {
  ret.model = "gpt2";
  SLUICE_CHECK(check_byte_level_normalizer(json));
  SLUICE_TRY(const auto patterns, patterns_of(json));
  SLUICE_TRY(const bool whole_words, model.flag_or("ignore_merges", false));
  ret.pre = Pretokenizer::name_of(patterns, whole_words);
  if (ret.pre.empty()) {
    return fail(ENOTSUP, fmt::format("{}: key pre_tokenizer cuts by {} pattern{} ({}) that no "
                                     "known pre-tokenizer has",
                                     json.path(), patterns.size(), patterns.size() == 1 ? "" : "s",
                                     gguf::printable(patterns.empty() ? "" : patterns[0])));
  }
  SLUICE_TRY(const auto merges, read_merges(model));
  for (const Merge& merge : merges) {
    if (merge.left.find(' ') != std::string::npos || merge.right.find(' ') != std::string::npos) {
      return model.bad("merges", "texts without spaces");
    }
    ret.merges.push_back(merge.left + " " + merge.right);
  }
  return {};
}

// "llama" joins what has the best score: the rank of the first merge that makes the token. Tokens
// that no merge makes would never come about and get the lowest.
Result<void> read_byte_fallback(const JsonObject& json, const JsonObject& model,
                                VocabularyData& ret) {
  ret.model = "llama";
  ret.pre = "default";
  SLUICE_TRY(ret.add_space_prefix, read_space_prefix(json));
  SLUICE_TRY(const auto merges, read_merges(model));
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < ret.tokens.size(); ++i) {
    if (ret.types[i] != TokenType::kNormal) continue;
    ids.emplace(ret.tokens[i], i);
    ret.scores[i] = kNoMerge;
    if (byte_of_token(ret.tokens[i]) >= 0) ret.types[i] = TokenType::kByte;
  }
  double rank = 0;
  for (const Merge& merge : merges) {
    const auto it = ids.find(merge.left + merge.right);
    if (it == ids.end()) {
      return model.bad("merges", fmt::format("tokens of the vocabulary, not '{}'",
                                             gguf::printable(merge.left + merge.right)));
    }
    double& score = ret.scores[it->second];
    if (score == kNoMerge) score = -(rank++);
  }
  SLUICE_TRY(const std::string unknown, model.text_or("unk_token", ""));
  if (const auto it = ids.find(unknown); it != ids.end()) {
    ret.types[it->second] = TokenType::kUnknown;
  }
  return {};
}

// The post-processor's template says whether a text begins with BOS and ends with EOS.
Result<void> read_template(const JsonObject& json, VocabularyData& ret) {
  SLUICE_TRY(const auto parts, steps(json, "post_processor", "processors"));
  for (const JsonObject& step : parts) {
    const Json* single = step.find("single");
    if (!single || !single->is_array() || single->empty()) continue;
    const auto special = [](const Json& part) {
      return part.is_object() && part.contains("SpecialToken");
    };
    ret.add_bos = special(single->front());
    ret.add_eos = single->size() > 1 && special(single->back());
  }
  return {};
}

Result<void> read_added(const JsonObject& json, VocabularyData& ret) {
  const Json* added = json.find("added_tokens");
  if (!added) return {};
  if (!added->is_array()) return json.bad("added_tokens", "an array");
  for (const Json& entry : *added) {
    SLUICE_TRY(const JsonObject token, JsonObject::parse(entry.dump(), json.path()));
    SLUICE_TRY(const uint32_t id, token.number("id", 0, INT32_MAX));
    SLUICE_CHECK(put_added(token, id, ret));
  }
  return {};
}

}  // namespace

bool is_byte_level(const JsonObject& json) {
  const auto model = json.object("model");
  if (!model || !*model) return false;
  const auto type = (*model)->text_or("type", "BPE");
  const auto fallback = (*model)->flag_or("byte_fallback", false);
  return type && *type == "BPE" && fallback && !*fallback;
}

Result<VocabularyData> read_tokenizer_json(const JsonObject& json, uint32_t n_vocab) {
  VocabularyData out(n_vocab);
  SLUICE_TRY(const auto model, json.object("model"));
  if (!model) return json.bad("model", "an object");
  SLUICE_TRY(const std::string type, model->text_or("type", "BPE"));
  if (type != "BPE") return model->unsupported("type", "\"BPE\"");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    SLUICE_TRY(const std::string affix, model->text_or(key, ""));
    if (!affix.empty()) return model->unsupported(key, "none");
  }
  SLUICE_CHECK(read_tokens(*model, out));
  SLUICE_CHECK(is_byte_level(json) ? read_byte_level(json, *model, out)
                                   : read_byte_fallback(json, *model, out));
  SLUICE_CHECK(read_template(json, out));
  SLUICE_CHECK(read_added(json, out));
  return out;
}

}  // namespace sluice::hf
