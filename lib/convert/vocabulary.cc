// SPDX-License-Identifier: Apache-2.0
// Which file a vocabulary comes from, special tokens, chat templates, and the GGUF keys.
#include "convert/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "core/file.h"
#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";
constexpr double kUnusedScore = -10000, kAddedScore = -1000;

// Special tokens: what the files of a folder and the GGUF key call them.
struct Special {
  const char* name;  // NAME_token is a text, NAME_token_id a number
  const char* key;
};
constexpr Special kSpecials[] = {
    {"bos", "bos_token_id"},
    {"eos", "eos_token_id"},
    {"unk", "unknown_token_id"},
    {"pad", "padding_token_id"},
};

template <typename T>
GgufValue array(GgufType type, std::vector<T> elements) {
  auto out = std::make_shared<GgufArray>();
  out->element_type = type;
  out->elements = std::move(elements);
  return {GgufType::kArray, std::shared_ptr<const GgufArray>(std::move(out))};
}

// Control tokens that their files do not call special.
bool looks_special(std::string_view text) {
  const auto between = [&](std::string_view begin, std::string_view end) {
    return text.size() >= begin.size() + end.size() && text.starts_with(begin) &&
           text.ends_with(end);
  };
  return text == "<pad>" || text == "<mask>" || text == "<2mass>" || text == "[@BOS@]" ||
         between("<|", "|>") || between("<\xef\xbd\x9c", "\xef\xbd\x9c>") ||
         between("<unused", ">");
}

// The text of a special token: a string, or an object with a "content".
std::string special_text(const JsonObject& json, const std::string& key) {
  const Json* value = json.find(key);
  if (value && value->is_object() && value->contains("content")) value = &(*value)["content"];
  return value && value->is_string() ? value->get<std::string>() : "";
}

// The ids behind a key: a number or an array of them.
Result<std::vector<uint32_t>> id_list(const JsonObject& json, const std::string& key,
                                      size_t n_vocab) {
  std::vector<uint32_t> out;
  const Json* value = json.find(key);
  if (!value) return out;
  const Json list = value->is_array() ? *value : Json::array({*value});
  for (const Json& id : list) {
    // Some files say -1 and mean none.
    if (id.is_number_integer() && !id.is_number_unsigned()) continue;
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= n_vocab) {
      return json.bad(key, fmt::format("ids below {}", n_vocab));
    }
    out.push_back(id.get<uint32_t>());
  }
  return out;
}

struct Files {
  JsonObject config, tokenizer_config, special_map, generation;
};

Result<void> read_special(const Files& files, VocabularyData& ret) {
  std::optional<uint32_t> eos;
  for (const Special& special : kSpecials) {
    const std::string text_key = fmt::format("{}_token", special.name);
    std::optional<uint32_t> id;
    for (const JsonObject* file : {&files.tokenizer_config, &files.special_map}) {
      const std::string text = special_text(*file, text_key);
      if (!id && !text.empty()) id = ret.find(text);
    }
    if (!id) {
      SLUICE_TRY(const auto ids, id_list(files.config, text_key + "_id", ret.tokens.size()));
      if (!ids.empty()) id = ids[0];
    }
    if (!id && std::string_view(special.name) == "unk") {
      const auto it = std::find(ret.types.begin(), ret.types.end(), TokenType::kUnknown);
      if (it != ret.types.end()) id = static_cast<uint32_t>(it - ret.types.begin());
    }
    if (!id) continue;
    ret.ids.emplace_back(special.key, *id);
    if (std::string_view(special.name) == "eos") eos = id;
  }
  // A turn may end with a token of its own, which only this file tells of.
  SLUICE_TRY(const auto ends, id_list(files.generation, "eos_token_id", ret.tokens.size()));
  const auto other = std::find_if(ends.begin(), ends.end(), [&](uint32_t id) { return id != eos; });
  if (eos && other != ends.end()) ret.ids.emplace_back("eot_token_id", *other);

  for (auto [name, flag] :
       {std::pair("add_bos_token", &ret.add_bos), std::pair("add_eos_token", &ret.add_eos)}) {
    if (!files.tokenizer_config.find(name)) continue;
    SLUICE_TRY(*flag, files.tokenizer_config.flag_or(name, false));
  }
  return {};
}

// One template, or several with names, of which "default" is the one.
Result<void> read_templates(const std::string& folder, const JsonObject& config,
                            VocabularyData& ret) {
  const std::string path = folder + "/chat_template.jinja";
  if (const auto map = map_file(path)) {
    ret.templates.emplace_back("tokenizer.chat_template",
                               std::string(static_cast<const char*>(map->data()), map->size()));
    return {};
  }
  const Json* value = config.find("chat_template");
  if (!value) return {};
  if (value->is_string()) {
    ret.templates.emplace_back("tokenizer.chat_template", value->get<std::string>());
    return {};
  }
  if (!value->is_array()) return config.bad("chat_template", "a string or an array");
  for (const Json& item : *value) {
    SLUICE_TRY(const JsonObject entry, JsonObject::parse(item.dump(), config.path()));
    SLUICE_TRY(const std::string name, entry.text("name"));
    SLUICE_TRY(std::string text, entry.text("template"));
    ret.templates.emplace_back(
        name == "default" ? "tokenizer.chat_template" : "tokenizer.chat_template." + name,
        std::move(text));
  }
  return {};
}

// Beside a tokenizer.model: "added_tokens_decoder" of tokenizer_config.json, by id, or
// added_tokens.json, by text.
Result<void> read_added_files(const std::string& folder, const JsonObject& tokenizer_config,
                              VocabularyData& ret) {
  SLUICE_TRY(const JsonObject added, JsonObject::open_if_there(folder + "/added_tokens.json"));
  for (const auto& [text, value] : added.json().items()) {
    SLUICE_TRY(const uint32_t id, added.number(text, 0, INT32_MAX));
    if (id < ret.tokens.size()) ret.put(id, text, kAddedScore, TokenType::kUserDefined);
  }
  SLUICE_TRY(const auto decoder, tokenizer_config.object("added_tokens_decoder"));
  if (!decoder) return {};
  for (const auto& [key, value] : decoder->json().items()) {
    uint32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    SLUICE_TRY(const auto token, decoder->object(key));
    if (error != std::errc() || end != key.data() + key.size() || !token) {
      return decoder->bad(key, "an id and an object");
    }
    SLUICE_CHECK(put_added(*token, id, ret));
  }
  return {};
}

}  // namespace

VocabularyData::VocabularyData(uint32_t n_vocab)
    : scores(n_vocab, kUnusedScore), types(n_vocab, TokenType::kUnused) {
  tokens.reserve(n_vocab);
  for (uint32_t i = 0; i < n_vocab; ++i) tokens.push_back(fmt::format("[PAD{}]", i));
}

void VocabularyData::put(uint32_t id, std::string text, double score, TokenType type) {
  tokens[id] = std::move(text);
  scores[id] = score;
  types[id] = type;
}

std::optional<uint32_t> VocabularyData::find(std::string_view text) const {
  const auto it = std::find(tokens.begin(), tokens.end(), text);
  if (it == tokens.end()) return std::nullopt;
  return static_cast<uint32_t>(it - tokens.begin());
}

Result<void> put_added(const JsonObject& token, uint32_t id, VocabularyData& ret) {
  SLUICE_TRY(std::string text, token.text("content"));
  SLUICE_TRY(const bool special, token.flag_or("special", false));
  if (id >= ret.tokens.size()) return {};
  if (text.empty()) return token.bad("content", "a text");
  if (ret.types[id] == TokenType::kUnknown) return {};
  if (special || looks_special(text)) {
    ret.put(id, std::move(text), kAddedScore, TokenType::kControl);
    return {};
  }
  // These are looked for in the text as it is, where spaces are spaces.
  std::string plain;
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(kSpace, at), text.size());
    plain.append(text, at, found - at);
    if (found < text.size()) plain += ' ';
    at = found + kSpace.size();
  }
  ret.put(id, std::move(plain), kAddedScore, TokenType::kUserDefined);
  return {};
}

void VocabularyData::write(GgufWriter& writer) const {
  const auto key = [](std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); };
  writer.set_string(key("model"), model);
  writer.set_string(key("pre"), pre);
  writer.set(key("tokens"), array(GgufType::kString, tokens));
  if (model == "llama") writer.set(key("scores"), array(GgufType::kF32, scores));
  std::vector<int64_t> numbers;
  for (const TokenType type : types) numbers.push_back(static_cast<int64_t>(type));
  writer.set(key("token_type"), array(GgufType::kI32, std::move(numbers)));
  if (!merges.empty()) writer.set(key("merges"), array(GgufType::kString, merges));
  for (const auto& [name, id] : ids) writer.set_u32(key(name), id);
  if (add_bos) writer.set_bool(key("add_bos_token"), *add_bos);
  if (add_eos) writer.set_bool(key("add_eos_token"), *add_eos);
  if (model == "llama" && add_space_prefix) {
    writer.set_bool(key("add_space_prefix"), *add_space_prefix);
  }
  for (const auto& [name, text] : templates) writer.set_string(name, text);
}

Result<VocabularyData> read_vocabulary(const std::string& folder, const JsonObject& config,
                                       uint32_t n_vocab) {
  const auto beside = [&](const char* name) {
    return JsonObject::open_if_there(folder + "/" + name);
  };
  SLUICE_TRY(JsonObject tokenizer_config, beside("tokenizer_config.json"));
  SLUICE_TRY(JsonObject special_map, beside("special_tokens_map.json"));
  SLUICE_TRY(JsonObject generation, beside("generation_config.json"));
  const Files files{config, std::move(tokenizer_config), std::move(special_map),
                    std::move(generation)};
  SLUICE_TRY(const JsonObject json, beside("tokenizer.json"));
  VocabularyData out(0);
  const std::string pieces = folder + "/tokenizer.model";
  const auto map = map_file(pieces);
  if (!map && map.error().code != ENOENT) return tl::unexpected<Error>(map.error());
  // A tokenizer.model beside a byte-level tokenizer.json is one of another kind.
  if (map && !is_byte_level(json)) {
    SLUICE_TRY(out, read_sentencepiece(map->bytes(), pieces, n_vocab));
    SLUICE_CHECK(read_added_files(folder, files.tokenizer_config, out));
  } else if (!json.json().empty()) {
    SLUICE_TRY(out, read_tokenizer_json(json, n_vocab));
  } else {
    return fail(ENOENT, folder + ": no tokenizer.json and no tokenizer.model");
  }
  SLUICE_CHECK(read_special(files, out));
  SLUICE_CHECK(read_templates(folder, files.tokenizer_config, out));
  return out;
}

}  // namespace sluice::hf
