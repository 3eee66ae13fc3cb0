// SPDX-License-Identifier: Apache-2.0
// The table of patterns and their matching by PCRE2. Each pattern cuts every piece that the ones
// before it have left; what a pattern does not match is a piece, too.
#include "model/tokenizer/pretokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace sluice {
namespace {

// The patterns are those of the tokenizers themselves, as their authors publish them.
#define SLUICE_GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define SLUICE_ENDINGS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define SLUICE_REST R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define SLUICE_LLAMA3 SLUICE_ENDINGS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})" SLUICE_REST
#define SLUICE_QWEN2 SLUICE_ENDINGS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" SLUICE_REST
#define SLUICE_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define SLUICE_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define SLUICE_CASED(ending)                                       \
  R"([^\r\n\p{L}\p{N}]?)" SLUICE_UPPER "*" SLUICE_LOWER "+" ending \
  R"(|[^\r\n\p{L}\p{N}]?)" SLUICE_UPPER "+" SLUICE_LOWER "*" ending
#define SLUICE_CASED_REST R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"

struct Entry {
  const char* name;
  Pretokenizer::Traits traits;
  std::vector<const char*> patterns;
};

const Entry kTable[] = {
    {"default", {}, {R"([\p{P}\$\+<=>\^~\|]+)", SLUICE_GPT2, R"(\p{N}+)", R"([0-9][0-9][0-9])"}},
    {"gpt-2", {}, {SLUICE_GPT2}},
    {"phi-2", {}, {SLUICE_GPT2}},
    {"llama-bpe", {true, true}, {SLUICE_LLAMA3}},
    {"llama3", {true, true}, {SLUICE_LLAMA3}},
    {"llama-v3", {true, true}, {SLUICE_LLAMA3}},
    {"qwen2", {}, {SLUICE_QWEN2}},
    {"deepseek-r1-qwen", {}, {SLUICE_QWEN2}},
    {"stablelm2", {}, {SLUICE_QWEN2}},
    {"dbrx", {}, {SLUICE_LLAMA3}},
    {"smollm", {}, {R"(\p{N})", SLUICE_GPT2}},
    {"starcoder", {}, {R"(\p{N})", SLUICE_GPT2}},
    {"refact", {}, {R"(\p{N})", SLUICE_GPT2}},
    {"command-r", {}, {R"(\p{N})", SLUICE_GPT2}},
    {"tekken", {true, true}, {SLUICE_CASED("") R"(|\p{N})" SLUICE_CASED_REST}},
    {"gpt-4o", {}, {SLUICE_CASED(SLUICE_ENDINGS "?") R"(|\p{N}{1,3})" SLUICE_CASED_REST}},
    {"llama4", {}, {SLUICE_CASED(SLUICE_ENDINGS "?") R"(|\p{N}{1,3})" SLUICE_CASED_REST}},
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;

class PcrePretokenizer final : public Pretokenizer {
 public:
  explicit PcrePretokenizer(const Entry& entry) : traits_(entry.traits) {}

  Result<void> compile(const Entry& entry) {
    for (const char* pattern : entry.patterns) {
      int error = 0;
      PCRE2_SIZE at = 0;
      // Bytes that are no UTF-8 match nothing, and so become pieces of their own.
      Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &at,
                              nullptr));
      if (!code) {
        return fail(EINVAL, fmt::format("pre-tokenizer {}: PCRE2 error {} at offset {}", entry.name,
                                        error, at));
      }
      codes_.push_back(std::move(code));
    }
    return {};
  }

  const Traits& traits() const override { return traits_; }
  std::vector<std::string_view> cut(std::string_view text) const override {
    std::vector<std::string_view> pieces;
    if (!text.empty()) pieces.push_back(text);
    for (const Code& code : codes_) {
      std::vector<std::string_view> next;
      for (const std::string_view piece : pieces) cut_by(*code, piece, next);
      pieces = std::move(next);
    }
    return pieces;
  }

 private:
  static void cut_by(const pcre2_code& code, std::string_view text,
                     std::vector<std::string_view>& out) {
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(
        pcre2_match_data_create_from_pattern(&code, nullptr));
    size_t done = 0;
    while (match && done < text.size()) {
      const int n = pcre2_match(&code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), done,
                                0, match.get(), nullptr);
      if (n < 0) break;  // no match, or a limit of PCRE2: the rest is one piece
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
      if (range[1] <= range[0] || range[0] < done) break;
      if (range[0] > done) out.push_back(text.substr(done, range[0] - done));
      out.push_back(text.substr(range[0], range[1] - range[0]));
      done = range[1];
    }
    if (done < text.size()) out.push_back(text.substr(done));
  }

  Traits traits_;
  std::vector<Code> codes_;
};

}  // namespace

Result<std::unique_ptr<Pretokenizer>> Pretokenizer::find(const std::string& path,
                                                         std::string_view name) {
  const auto* entry = std::find_if(std::begin(kTable), std::end(kTable),
                                   [&](const Entry& e) { return name == e.name; });
  if (entry == std::end(kTable)) {
    std::string known;
    for (const Entry& e : kTable) known += fmt::format("{}{}", known.empty() ? "" : ", ", e.name);
    return fail(ENOTSUP, fmt::format("{}: tokenizer.ggml.pre is '{}', expected one of {}", path,
                                     name, known));
  }
  auto made = std::make_unique<PcrePretokenizer>(*entry);
  SLUICE_CHECK(made->compile(*entry));
  return Result<std::unique_ptr<Pretokenizer>>(std::move(made));
}

std::string_view Pretokenizer::name_of(std::span<const std::string> patterns, bool whole_words) {
  for (const Entry& e : kTable) {
    if (e.traits.whole_words == whole_words &&
        std::equal(e.patterns.begin(), e.patterns.end(), patterns.begin(), patterns.end())) {
      return e.name;
    }
  }
  return {};
}

std::string_view Pretokenizer::gpt2_pattern() { return SLUICE_GPT2; }

}  // namespace sluice
