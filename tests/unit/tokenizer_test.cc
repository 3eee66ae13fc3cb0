// SPDX-License-Identifier: Apache-2.0
// The SentencePiece tokenizer against stock llama.cpp's ids, by hand-made vocabularies for its
// rules, and with vocabularies that must be refused.
#include <cerrno>
#include <chrono>
#include <cmath>
#include <random>

#include <sluice/gguf.hpp>
#include <sluice/text.hpp>

#include "gguf_builder.h"
#include "support.h"

using namespace sluice;
using sluice::test::extra_model;
using sluice::test::GgufBuilder;
using sluice::test::is_error;
using sluice::test::read_json;
using sluice::test::why;

TestSuite(tokenizer, .timeout = 60);

namespace {

using Ids = std::vector<int32_t>;
constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4, kByte = 6;

struct Token {
  std::string text;
  float score = 0;
  int32_t type = kNormal;
};

// Everything a test may want to get wrong.
struct Spec {
  std::vector<Token> tokens;
  std::string model = "llama";
  size_t n_scores = SIZE_MAX, n_types = SIZE_MAX;  // SIZE_MAX: one a token
  uint32_t bos = 1;
  bool space_prefix = true;
};

// <unk>, <s>, </s>, then the bytes if wanted, then `extra`.
Spec spec_with(std::vector<Token> extra, bool bytes) {
  Spec spec;
  spec.tokens = {{"<unk>", 0, kUnknown}, {"<s>", 0, kControl}, {"</s>", 0, kControl}};
  for (int i = 0; bytes && i < 256; ++i) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(i));
    spec.tokens.push_back({text, 0, kByte});
  }
  for (Token& token : extra) spec.tokens.push_back(std::move(token));
  return spec;
}

Result<std::shared_ptr<const Tokenizer>> make(const Spec& spec) {
  GgufBuilder b;
  b.header(0, 6).key("tokenizer.ggml.model", GgufType::kString).text(spec.model);
  b.key("tokenizer.ggml.tokens", GgufType::kArray).array(GgufType::kString, spec.tokens.size());
  for (const Token& token : spec.tokens) b.text(token.text);
  const size_t n_scores = std::min(spec.n_scores, spec.tokens.size());
  b.key("tokenizer.ggml.scores", GgufType::kArray).array(GgufType::kF32, n_scores);
  for (size_t i = 0; i < n_scores; ++i) b.put(spec.tokens[i].score);
  const size_t n_types = std::min(spec.n_types, spec.tokens.size());
  b.key("tokenizer.ggml.token_type", GgufType::kArray).array(GgufType::kI32, n_types);
  for (size_t i = 0; i < n_types; ++i) b.put(spec.tokens[i].type);
  b.key("tokenizer.ggml.bos_token_id", GgufType::kU32).u32(spec.bos);
  b.key("tokenizer.ggml.add_space_prefix", GgufType::kBool).u8(spec.space_prefix);
  const auto file = b.open();
  cr_assert(file.has_value(), "%s", why(file));
  return Tokenizer::from_gguf(*file);
}

std::shared_ptr<const Tokenizer> load(const std::string& path) {
  const auto file = GgufFile::open(path);
  cr_assert(file.has_value(), "%s", why(file));
  const auto tokenizer = Tokenizer::from_gguf(*file);
  cr_assert(tokenizer.has_value(), "%s", why(tokenizer));
  return *tokenizer;
}

void check_fixture(const Tokenizer& tokenizer, const std::string& path) {
  const nlohmann::json fixture = read_json(path);
  const auto& cases = fixture["tokenize"];
  cr_assert(cases.size() >= 30);
  for (const auto& item : cases) {
    const auto text = item["text"].get<std::string>();
    const auto ids = item["ids"].get<Ids>();
    cr_expect(tokenizer.encode(text, false) == ids, "ids of %s", item["text"].dump().c_str());
    const auto back = tokenizer.decode(ids);
    cr_expect(back && *back == item["back"].get<std::string>(), "text of %s",
              item["text"].dump().c_str());
    // A stream of the same ids says the same.
    Ids with_bos = tokenizer.encode(text, true);
    cr_expect(with_bos.size() == ids.size() + 1 && with_bos[0] == tokenizer.bos());
    cr_expect(*tokenizer.decode(with_bos) == *back);
  }
}

}  // namespace

Test(tokenizer, equals_the_fixture_of_the_default_model) {
  const auto tokenizer = load("models/tales-7m-f16.gguf");
  check_fixture(*tokenizer, "tests/data/tales-7m-f16.json");
  cr_assert(same(tokenizer->n_vocab(), 2048));
  cr_assert(tokenizer->add_bos() && tokenizer->is_end(tokenizer->eos()));
  cr_assert(!tokenizer->is_end(-1) && !tokenizer->is_end(99999) && !tokenizer->is_end(5));
}

Test(tokenizer, equals_the_fixture_of_stories260K) {
  const std::string path = extra_model("stories260K-f32.gguf");
  if (path.empty()) cr_skip_test("stories260K-f32.gguf is not in $SLUICE_TEST_MODELS");
  check_fixture(*load(path), "tests/data/stories260K-f32.json");
}

Test(tokenizer, any_bytes_come_back) {
  const auto tokenizer = load("models/tales-7m-f16.gguf");
  std::mt19937_64 random(11);
  for (int round = 0; round < (test::light() ? 50 : 2000); ++round) {
    std::string text;
    for (size_t n = random() % 40; n > 0; --n) {
      text += static_cast<char>(round % 2 ? random() : 'a' + random() % 26);
    }
    const auto back = tokenizer->decode(tokenizer->encode(text, true));
    // A space stands for U+2581 in the vocabulary, so that one does not come back.
    if (text.find("\xe2\x96\x81") == std::string::npos) cr_assert(*back == text, "round %d", round);
  }
}

Test(tokenizer, joins_the_best_and_then_the_leftmost) {
  const Token sp{"\xe2\x96\x81", -9};
  auto t = make(spec_with({sp, {"a", -9}, {"b", -9}, {"aa", -1}, {"ab", -1}, {"ba", -0.5f}}, true));
  const int32_t a = 260, b = 261, aa = 262, ab = 263, ba = 264, space = 259;
  cr_assert(((*t)->encode("aaa", false) == Ids({space, aa, a})), "ties go to the left");
  cr_assert(((*t)->encode("aab", false) == Ids({space, aa, b})));
  cr_assert(((*t)->encode("aba", false) == Ids({space, a, ba})), "the higher score goes first");
  cr_assert(((*t)->encode("abab", false) == Ids({space, a, ba, b})));
  cr_assert(((*t)->encode("bb", false) == Ids({space, b, b})));
  cr_assert(((*t)->encode("b ab", false) == Ids({space, b, space, ab})));
}

Test(tokenizer, space_prefix_follows_the_file) {
  Spec spec = spec_with({{"\xe2\x96\x81", -1}, {"a", -1}}, true);
  spec.space_prefix = false;
  const auto t = make(spec);
  cr_assert(((*t)->encode("a a", false) == Ids({260, 259, 260})));
  cr_assert(!(*t)->strips_leading_space());
  cr_assert((*(*t)->decode(Ids{259, 260}) == " a"), "and nothing is dropped");
}

Test(tokenizer, special_tokens_in_the_text_are_text) {
  const auto t = make(spec_with({{"<s", -1}, {"<", -2}, {"s", -2}, {">", -2}}, true));
  const Ids ids = (*t)->encode("<s>", true);
  cr_assert(ids == Ids({1, 3 + 0xe2, 3 + 0x96, 3 + 0x81, 259, 262}), "never the control token");
  cr_assert((*(*t)->decode(Ids{1, 259, 262, 2}) == "<s>"), "control tokens have no text");
}

Test(tokenizer, user_defined_tokens_are_found_first) {
  Spec spec = spec_with(
      {{"\xe2\x96\x81", -1}, {"a", -1}, {"b", -1}, {"[x]", 0, kUser}, {"[x][y]", 0, kUser}}, true);
  const auto t = make(spec);
  const int32_t sp = 259, a = 260, b = 261, x = 262, xy = 263;
  cr_assert(((*t)->encode("a[x]b", false) == Ids({sp, a, x, sp, b})));
  cr_assert(((*t)->encode("[x][y][x]", false) == Ids({xy, x})), "the longest wins");
  cr_assert((*(*t)->decode(Ids{x, sp, a}) == "[x] a"));
}

Test(tokenizer, without_bytes_what_is_unknown_is_one_token) {
  const auto t = make(spec_with({{"\xe2\x96\x81", -1}, {"a", -1}}, false));
  cr_assert(((*t)->encode("a\xc3\xa9"
                          "a",
                          false) == Ids({3, 4, 0, 4})));
}

Test(tokenizer, long_texts_take_n_log_n) {
  const auto tokenizer = load("models/tales-7m-f16.gguf");
  const size_t n = test::light() ? 5000 : 100000;
  for (const char c : {'a', 'x', ' ', '\n', '\xff'}) {
    const std::string text(n, c);
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer->encode(text, false);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    cr_assert(took.count() < 2.0, "%zu times '%c'", n, c);
    cr_assert(*tokenizer->decode(ids) == text);
  }
}

Test(tokenizer, bad_vocabularies_are_refused) {
  Spec spec = spec_with({{"a", -1}}, true);
  spec.model = "bert";
  cr_expect(is_error(make(spec), ENOTSUP, {"test.gguf", "'bert'", "'llama'"}));
  spec = spec_with({{"a", -1}}, true);
  spec.n_scores = 5;
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.scores", "5 elements", "260"}));
  spec = spec_with({{"a", -1}}, true);
  spec.n_types = 259;
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.token_type", "259 elements", "260"}));
  spec = spec_with({{"a", NAN}}, true);
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.scores", "token 259", "not a number"}));
  spec = spec_with({{"a", 0, 7}}, true);
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.token_type", "token 259 is 7"}));
  spec = spec_with({{"a", 0, -1}}, true);
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.token_type", "token 259 is -1"}));
  spec = spec_with({{"<0xZZ>", 0, kByte}}, true);
  cr_expect(is_error(make(spec), EBADMSG, {"token 259 is a byte", "<0x41>"}));
  spec = spec_with({{"a", -1}}, true);
  spec.bos = 260;
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.bos_token_id", "260", "260 tokens"}));
  spec.tokens.clear();
  cr_expect(is_error(make(spec), EBADMSG, {"tokenizer.ggml.tokens", "0 elements"}));
}

Test(tokenizer, missing_keys_are_named) {
  GgufBuilder b;
  b.header(0, 0);
  cr_assert(is_error(Tokenizer::from_gguf(*b.open()), ENOENT, {"tokenizer.ggml.model"}));
  GgufBuilder c;
  c.header(0, 1).key("tokenizer.ggml.model", GgufType::kString).text("llama");
  cr_assert(is_error(Tokenizer::from_gguf(*c.open()), ENOENT, {"tokenizer.ggml.tokens"}));
}

Test(tokenizer, ids_outside_the_vocabulary_are_refused) {
  const auto t = make(spec_with({{"a", -1}}, true));
  cr_assert(is_error((*t)->decode(Ids{259, 260}), EINVAL, {"token 1 is 260", "0 to 259"}));
  cr_assert(is_error((*t)->decode(Ids{-1}), EINVAL, {"token 0 is -1"}));
  cr_assert((*t)->piece(260).empty() && (*t)->piece(-1).empty());
}
