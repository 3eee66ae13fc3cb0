// SPDX-License-Identifier: Apache-2.0
// The "llama" tokenizer: SentencePiece BPE (Kudo and Richardson, 2018) with byte fallback. Text is
// cut into characters; of all neighbours whose join is a piece, the join with the highest score is
// made, the leftmost first among equals, until none is left. Ids equal llama.cpp's.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <queue>
#include <unordered_map>

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/user_tokens.h"
#include "model/tokenizer/utf8.h"

namespace sluice {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581 stands for a space in pieces

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(from, at), text.size());
    out += text.substr(at, found - at);
    if (found < text.size()) out += to;
    at = found + from.size();
  }
  return out;
}

class SpmTokenizer final : public VocabularyTokenizer {
 public:
  explicit SpmTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {}
  Result<void> init();

  std::vector<int32_t> encode(std::string_view text, bool add_bos) const override;
  Result<std::string> decode(std::span<const int32_t> ids) const override;

  bool add_bos() const override { return v_.add_bos.value_or(true); }
  bool strips_leading_space() const override { return v_.add_space_prefix; }

 private:
  // A character, or what it was joined to; `text` is empty once it was joined to its left.
  struct Symbol {
    std::string_view text;
    int64_t left, right;  // neighbours, -1: none
  };
  // Two neighbours that may be joined, as they were when this was found.
  struct Join {
    float score;
    int64_t left, right;
    size_t length;
  };
  struct Later {
    bool operator()(const Join& a, const Join& b) const {
      return a.score < b.score || (a.score == b.score && a.left > b.left);
    }
  };
  using Joins = std::priority_queue<Join, std::vector<Join>, Later>;

  Result<void> init_bytes();
  void encode_plain(std::string_view text, std::vector<int32_t>& out) const;
  void encode_escaped(std::string_view text, std::vector<int32_t>& out) const;
  void push_join(const std::vector<Symbol>& symbols, int64_t left, Joins& joins) const;
  void push_symbol(std::string_view text, std::vector<int32_t>& out) const;

  std::unordered_map<std::string_view, int32_t> ids_;  // pieces that text can become
  size_t longest_ = 0;                                 // bytes, of those
  std::array<int32_t, 256> bytes_;                     // byte to id
  bool byte_fallback_ = false;                         // there are byte tokens
  UserTokens user_;
};

Result<void> SpmTokenizer::init() {
  for (size_t i = 0; i < v_.tokens.size(); ++i) {
    const std::string& text = v_.tokens[i];
    const auto id = static_cast<int32_t>(i);
    if (text.empty()) continue;
    switch (v_.types[i]) {
      case TokenType::kByte:
        if (byte_of_token(text) < 0) {
          return fail(EBADMSG,
                      fmt::format("{}: tokenizer.ggml.tokens: token {} is a byte, expected "
                                  "a text like '<0x41>'",
                                  v_.path, i));
        }
        pieces_[i] = static_cast<char>(byte_of_token(text));
        break;
      case TokenType::kUserDefined:
        pieces_[i] = text;
        user_.add(text, id);
        break;
      case TokenType::kUnknown:
      case TokenType::kControl:
        break;
      case TokenType::kUndefined:
      case TokenType::kNormal:
      case TokenType::kUnused:
        if (id == v_.bos || id == v_.eos || id == v_.unknown) break;
        if (v_.types[i] != TokenType::kUnused) pieces_[i] = replace_all(text, kSpace, " ");
        ids_[text] = id;
        longest_ = std::max(longest_, text.size());
        break;
    }
  }
  user_.finish();
  return init_bytes();
}

// Every byte gets an id: its byte token, else the piece of that one byte, else the unknown token.
Result<void> SpmTokenizer::init_bytes() {
  bytes_.fill(-1);
  for (size_t i = 0; i < v_.tokens.size(); ++i) {
    if (v_.types[i] != TokenType::kByte || v_.tokens[i].empty()) continue;
    bytes_[byte_of_token(v_.tokens[i])] = static_cast<int32_t>(i);
    byte_fallback_ = true;
  }
  for (size_t byte = 0; byte < bytes_.size(); ++byte) {
    if (bytes_[byte] >= 0) continue;
    const char text = static_cast<char>(byte);
    const auto it = ids_.find(std::string_view(&text, 1));
    bytes_[byte] = it != ids_.end() ? it->second : v_.unknown;
    if (bytes_[byte] < 0) {
      return fail(EBADMSG, fmt::format("{}: tokenizer.ggml.tokens has no token '<0x{:02X}>' and no "
                                       "unknown token",
                                       v_.path, byte));
    }
  }
  return {};
}

void SpmTokenizer::push_join(const std::vector<Symbol>& symbols, int64_t left, Joins& joins) const {
  if (left < 0 || symbols[left].right < 0) return;
  const Symbol& a = symbols[left];
  const Symbol& b = symbols[a.right];
  // Neighbours stand side by side in the text, so their join is one view of it.
  const std::string_view text(a.text.data(), a.text.size() + b.text.size());
  if (text.size() > longest_) return;
  const auto it = ids_.find(text);
  if (it != ids_.end()) joins.push({v_.scores[it->second], left, a.right, text.size()});
}

void SpmTokenizer::push_symbol(std::string_view text, std::vector<int32_t>& out) const {
  const auto it = ids_.find(text);
  if (it != ids_.end()) {
    out.push_back(it->second);
  } else if (byte_fallback_ || v_.unknown < 0) {
    for (const char c : text) out.push_back(bytes_[static_cast<uint8_t>(c)]);
  } else {
    out.push_back(v_.unknown);
  }
}

// `text` has its spaces as kSpace already.
void SpmTokenizer::encode_escaped(std::string_view text, std::vector<int32_t>& out) const {
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const utf8::Unit unit = utf8::next(text.substr(at));
    const auto index = static_cast<int64_t>(symbols.size());
    // Ill-formed bytes stand alone, so that each becomes its byte token.
    const size_t length = unit.kind == utf8::Kind::kValid ? unit.length : 1;
    symbols.push_back({text.substr(at, length), index - 1, index + 1});
    at += length;
  }
  if (symbols.empty()) return;
  symbols.back().right = -1;

  Joins joins;
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    push_join(symbols, static_cast<int64_t>(i), joins);
  while (!joins.empty()) {
    const Join join = joins.top();
    joins.pop();
    Symbol& a = symbols[join.left];
    Symbol& b = symbols[join.right];
    // One of the two was joined to something else since.
    if (a.text.empty() || b.text.empty() || a.text.size() + b.text.size() != join.length) continue;
    a.text = std::string_view(a.text.data(), join.length);
    b.text = {};
    a.right = b.right;
    if (b.right >= 0) symbols[b.right].left = join.left;
    push_join(symbols, a.left, joins);
    push_join(symbols, join.left, joins);
  }
  for (int64_t i = 0; i >= 0; i = symbols[i].right) push_symbol(symbols[i].text, out);
}

// Text between user-defined tokens gets a space in front, as at the beginning.
void SpmTokenizer::encode_plain(std::string_view text, std::vector<int32_t>& out) const {
  if (text.empty()) return;
  std::string escaped = v_.add_space_prefix ? std::string(kSpace) : std::string();
  escaped += replace_all(text, " ", kSpace);
  encode_escaped(escaped, out);
}

std::vector<int32_t> SpmTokenizer::encode(std::string_view text, bool add_bos) const {
  std::vector<int32_t> ids;
  if (add_bos && v_.bos >= 0) ids.push_back(v_.bos);
  for (const UserTokens::Part& part : user_.cut(text)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      encode_plain(part.text, ids);
    }
  }
  return ids;
}

Result<std::string> SpmTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  bool at_start = v_.add_space_prefix;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t id = ids[i];
    if (id < 0 || static_cast<uint32_t>(id) >= n_vocab()) {
      return fail(EINVAL, fmt::format("token {} is {}, expected 0 to {}", i, id, n_vocab() - 1));
    }
    std::string_view next = piece(id);
    if (next.empty()) continue;
    if (at_start && next[0] == ' ') next.remove_prefix(1);
    at_start = false;
    text += next;
  }
  return text;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> make_spm_tokenizer(Vocabulary vocabulary) {
  auto tokenizer = std::make_shared<SpmTokenizer>(std::move(vocabulary));
  SLUICE_CHECK(tokenizer->init());
  return tokenizer;
}

}  // namespace sluice
