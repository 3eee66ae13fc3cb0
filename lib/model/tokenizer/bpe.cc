// SPDX-License-Identifier: Apache-2.0
// The "gpt2" tokenizer: byte-level BPE (Radford et al., 2019). A text is cut into words by the
// pre-tokenizer; a word begins as its bytes, and of all neighbours that a merge joins, those of the
// merge with the lowest rank are joined, the leftmost first, until none is left.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <queue>
#include <unordered_map>

#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/user_tokens.h"

namespace sluice {
namespace {

// Vocabularies write a byte as a character: printable Latin-1 as it is, the other 68 in ascending
// order as U+0100 and on (GPT-2, encoder.py: bytes_to_unicode).
class ByteAlphabet {
 public:
  ByteAlphabet() {
    bytes_.fill(-1);
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      bytes_[printable ? byte : next++] = static_cast<int16_t>(byte);
    }
  }
  // The bytes that a token's text stands for; a character outside the alphabet stands for itself.
  std::string decode(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto lead = static_cast<uint8_t>(text[i]);
      uint32_t c = lead;
      const bool two = lead >= 0xc2 && lead < 0xe0 && i + 1 < text.size();
      if (two) c = (lead & 0x1fu) << 6 | (static_cast<uint8_t>(text[i + 1]) & 0x3fu);
      const bool known = (lead < 0x80 || two) && c < bytes_.size() && bytes_[c] >= 0;
      if (known) {
        out += static_cast<char>(bytes_[c]);
        i += two;
      } else {
        out += text[i];
      }
    }
    return out;
  }

 private:
  std::array<int16_t, 256 + 68> bytes_;  // by character
};

class BpeTokenizer final : public VocabularyTokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {}
  Result<void> init();

  std::vector<int32_t> encode(std::string_view text, bool add_bos) const override;
  Result<std::string> decode(std::span<const int32_t> ids) const override;
  bool add_bos() const override { return v_.add_bos.value_or(words_->traits().add_bos); }
  bool strips_leading_space() const override { return false; }

 private:
  struct Merge {
    uint32_t rank;
    int32_t id;  // of the joined token
  };
  struct Symbol {
    int32_t id;           // -1: was joined to its left
    int32_t left, right;  // neighbours, -1: none
  };
  // Two neighbours that may be joined, as they were when this was found.
  struct Join {
    uint32_t rank;
    int32_t left, right;
    int32_t left_id, right_id, id;
  };
  struct Later {
    bool operator()(const Join& a, const Join& b) const {
      return a.rank > b.rank || (a.rank == b.rank && a.left > b.left);
    }
  };
  using Joins = std::priority_queue<Join, std::vector<Join>, Later>;

  static uint64_t pair(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  Result<void> init_merges();
  Result<void> init_bytes();
  void push_join(const std::vector<Symbol>& symbols, int32_t left, Joins& joins) const;
  void encode_word(std::string_view word, std::vector<int32_t>& out) const;

  std::unique_ptr<Pretokenizer> words_;
  std::unordered_map<std::string_view, int32_t> ids_;  // of pieces that text can become
  std::unordered_map<uint64_t, Merge> merges_;         // by pair()
  std::array<int32_t, 256> bytes_;                     // byte to id
  UserTokens user_;
};

Result<void> BpeTokenizer::init() {
  SLUICE_TRY(words_, Pretokenizer::find(v_.path, v_.pre));
  const ByteAlphabet alphabet;
  for (size_t i = 0; i < v_.tokens.size(); ++i) {
    const std::string& text = v_.tokens[i];
    const auto id = static_cast<int32_t>(i);
    if (text.empty() || v_.types[i] == TokenType::kControl || v_.types[i] == TokenType::kUnknown) {
      continue;
    }
    if (v_.types[i] == TokenType::kUserDefined) {
      pieces_[i] = text;
      user_.add(text, id);
      continue;
    }
    pieces_[i] = alphabet.decode(text);
    if (v_.types[i] != TokenType::kUnused) ids_.try_emplace(pieces_[i], id);
  }
  user_.finish();
  SLUICE_CHECK(init_bytes());
  return init_merges();
}

Result<void> BpeTokenizer::init_bytes() {
  for (size_t byte = 0; byte < bytes_.size(); ++byte) {
    const char text = static_cast<char>(byte);
    const auto it = ids_.find(std::string_view(&text, 1));
    bytes_[byte] = it != ids_.end() ? it->second : v_.unknown;
    if (bytes_[byte] < 0) {
      return fail(EBADMSG, fmt::format("{}: tokenizer.ggml.tokens has no token for byte 0x{:02X} "
                                       "and no unknown token",
                                       v_.path, byte));
    }
  }
  return {};
}

Result<void> BpeTokenizer::init_merges() {
  const ByteAlphabet alphabet;
  const auto id_of = [&](std::string_view text) {
    const auto it = ids_.find(alphabet.decode(text));
    return it == ids_.end() ? -1 : it->second;
  };
  for (size_t i = 0; i < v_.merges.size(); ++i) {
    const std::string_view merge = v_.merges[i];
    const size_t space = merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size()) {
      return fail(EBADMSG,
                  fmt::format("{}: tokenizer.ggml.merges: element {} is '{}', expected two "
                              "texts with a space between",
                              v_.path, i, merge));
    }
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const int32_t a = id_of(left), b = id_of(right);
    const int32_t joined = id_of(std::string(left) + std::string(right));
    // Some vocabularies name merges of tokens that they have removed.
    if (a < 0 || b < 0 || joined < 0) continue;
    merges_.try_emplace(pair(a, b), Merge{static_cast<uint32_t>(i), joined});
  }
  return {};
}

void BpeTokenizer::push_join(const std::vector<Symbol>& symbols, int32_t left, Joins& joins) const {
  if (left < 0 || symbols[left].right < 0) return;
  const int32_t right = symbols[left].right;
  const int32_t a = symbols[left].id, b = symbols[right].id;
  const auto it = merges_.find(pair(a, b));
  if (it != merges_.end()) joins.push({it->second.rank, left, right, a, b, it->second.id});
}

void BpeTokenizer::encode_word(std::string_view word, std::vector<int32_t>& out) const {
  if (words_->traits().whole_words) {
    const auto it = ids_.find(word);
    if (it != ids_.end()) {
      out.push_back(it->second);
      return;
    }
  }
  std::vector<Symbol> symbols(word.size());
  const auto n = static_cast<int32_t>(word.size());
  for (int32_t i = 0; i < n; ++i) {
    symbols[i] = {bytes_[static_cast<uint8_t>(word[i])], i - 1, i + 1 < n ? i + 1 : -1};
  }
  Joins joins;
  for (int32_t i = 0; i + 1 < n; ++i) push_join(symbols, i, joins);
  while (!joins.empty()) {
    const Join join = joins.top();
    joins.pop();
    Symbol& a = symbols[join.left];
    Symbol& b = symbols[join.right];
    // One of the two was joined to something else since.
    if (a.id != join.left_id || b.id != join.right_id || a.right != join.right) continue;
    a.id = join.id;
    a.right = b.right;
    if (b.right >= 0) symbols[b.right].left = join.left;
    b.id = -1;
    push_join(symbols, a.left, joins);
    push_join(symbols, join.left, joins);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].right) out.push_back(symbols[i].id);
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, bool add_bos) const {
  std::vector<int32_t> ids;
  if (add_bos && v_.bos >= 0) ids.push_back(v_.bos);
  for (const UserTokens::Part& part : user_.cut(text)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    for (const std::string_view word : words_->cut(part.text)) encode_word(word, ids);
  }
  return ids;
}

Result<std::string> BpeTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || static_cast<uint32_t>(ids[i]) >= n_vocab()) {
      return fail(EINVAL,
                  fmt::format("token {} is {}, expected 0 to {}", i, ids[i], n_vocab() - 1));
    }
    text += piece(ids[i]);
  }
  return text;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> make_bpe_tokenizer(Vocabulary vocabulary) {
  if (vocabulary.merges.empty()) {
    return fail(EBADMSG,
                vocabulary.path + ": no tokenizer.ggml.merges, which this tokenizer needs");
  }
  auto tokenizer = std::make_shared<BpeTokenizer>(std::move(vocabulary));
  SLUICE_CHECK(tokenizer->init());
  return tokenizer;
}

}  // namespace sluice
