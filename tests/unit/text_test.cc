// SPDX-License-Identifier: Apache-2.0
// The detokenizer and the stop matcher: the same text however the stream is cut.
#include <map>
#include <random>

#include <sluice/gguf.hpp>
#include <sluice/text.hpp>

#include "support.h"

using namespace sluice;

TestSuite(text, .timeout = 60);

namespace {

// Ids 0 .. 255 are bytes, 256 is a control token, 257 is " word", 258 begins with half a character.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (int i = 0; i < 256; ++i) pieces_.push_back(std::string(1, static_cast<char>(i)));
    pieces_.push_back("");
    pieces_.push_back(" word");
    pieces_.push_back("\xa9!\xc3");
  }
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    return {text.begin(), text.end()};
  }
  Result<std::string> decode(std::span<const int32_t>) const override { return ""; }
  std::string_view piece(int32_t id) const override { return pieces_[static_cast<size_t>(id)]; }
  uint32_t n_vocab() const override { return 259; }
  int32_t bos() const override { return -1; }
  int32_t eos() const override { return -1; }
  bool add_bos() const override { return false; }
  bool is_end(int32_t) const override { return false; }
  bool strips_leading_space() const override { return true; }

 private:
  std::vector<std::string> pieces_;
};

std::shared_ptr<const Tokenizer> bytes() { return std::make_shared<ByteTokenizer>(); }

std::string stream(const std::vector<int>& ids, bool at_start = false) {
  Detokenizer detokenizer(bytes(), at_start);
  std::string out;
  for (const int id : ids) out += detokenizer.push(id);
  return out + detokenizer.flush();
}

std::vector<int> ids_of(std::string_view text) {
  std::vector<int> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

// All that may be shown, with a bar where the stream was cut into pieces.
std::string match(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
                  bool* stopped = nullptr) {
  StopMatcher matcher(stops);
  std::string out;
  for (const std::string& piece : pieces) out += matcher.push(piece) + "|";
  out += matcher.flush();
  if (stopped) *stopped = matcher.stopped();
  return out;
}

const std::string kBad = "\xef\xbf\xbd";

}  // namespace

Test(text, characters_come_out_whole) {
  Detokenizer d(bytes());
  cr_assert(d.push('a') == "a");
  cr_assert(d.push(0xe2).empty() && d.push(0x82).empty());
  cr_assert(d.push(0xac) == "\xe2\x82\xac");
  cr_assert(d.push(0xf0).empty() && d.push(0x9f).empty() && d.push(0x98).empty());
  cr_assert(d.push(0x80) == "\xf0\x9f\x98\x80");
  cr_assert(d.push(0xc3).empty());
  cr_assert(d.push(256).empty(), "a control token in between changes nothing");
  cr_assert(d.push(258) == "\xc3\xa9!");
  cr_assert(d.push(0xa8) == "\xc3\xa8");
  cr_assert(d.flush().empty());
}

// Unicode 15, section 3.9, tables 3-8 to 3-11: one U+FFFD for each maximal subpart.
Test(text, ill_formed_bytes_are_replaced) {
  const std::map<std::string, int> cases = {
      {"\xc0\xaf", 2},
      {"\xe0\x80\xaf", 3},
      {"\xf0\x80\x80\xaf", 4},
      {"\xed\xa0\x80", 3},
      {"\xf4\x91\x92\x93", 4},
      {"\xff", 1},
      {"\x80\xbf", 2},
      {"\xe1\x80\xe2", 2},
      {"\xf0\x91\x92\xf1", 2},
      {"\xe1\x80", 1},
      {"\xf5", 1},
      {"\xc2", 1},
  };
  for (const auto& [bytes, n] : cases) {
    std::string expected = "<";
    for (int i = 0; i < n; ++i) expected += kBad;
    cr_expect(stream(ids_of("<" + bytes + ">")) == expected + ">", "%d of %zu bytes", n,
              bytes.size());
    cr_expect(stream(ids_of("<" + bytes)) == expected, "at the end");
  }
}

Test(text, only_the_first_space_is_dropped) {
  cr_assert(stream({257, 257}, true) == "word word");
  cr_assert(stream({256, 257, 257}, true) == "word word", "control tokens do not count");
  cr_assert(stream({257, 257}, false) == " word word");
  cr_assert(stream({'a', ' ', 'b'}, true) == "a b");
  cr_assert(stream({' ', ' ', 'b'}, true) == " b");
}

Test(text, a_stream_is_what_decode_says) {
  const auto file = GgufFile::open("models/tales-7m-f16.gguf");
  const auto tokenizer = *Tokenizer::from_gguf(*file);
  const auto fixture = test::read_json("tests/data/tales-7m-f16.json");
  for (const auto& item : fixture["tokenize"]) {
    Detokenizer detokenizer(tokenizer, true);
    std::string out;
    for (const int id : item["ids"]) out += detokenizer.push(id);
    out += detokenizer.flush();
    cr_expect(out == item["back"].get<std::string>(), "%s", item["text"].dump().c_str());
  }
}

Test(text, stop_strings_are_found_across_pieces) {
  bool stopped = false;
  cr_assert(match({"end"}, {"the e", "nd of"}, &stopped) == "the ||" && stopped);
  cr_assert(match({"end"}, {"the e", "ntry"}, &stopped) == "the |entry|" && !stopped);
  cr_assert(match({"end"}, {"the en"}, &stopped) == "the |en" && !stopped, "flushed at the end");
  cr_assert(match({"aab"}, {"aa", "a", "b", "c"}, &stopped) == "|a|||" && stopped);
  cr_assert(match({}, {"a", "b"}) == "a|b|");
  cr_assert(match({""}, {"a", "b"}, &stopped) == "a|b|" && !stopped, "empty ones are ignored");
  cr_assert(match({"x"}, {"axb", "c"}, &stopped) == "a||" && stopped, "then nothing");
}

Test(text, the_stop_string_that_is_complete_first_counts) {
  cr_assert(match({"abcd", "bc"}, {"abcd"}) == "a|");
  cr_assert(match({"bc", "abc"}, {"xabc"}) == "x|", "of two, the longer");
}

Test(text, stopping_does_not_depend_on_the_pieces) {
  std::mt19937_64 random(3);
  for (int round = 0; round < (test::light() ? 200 : 20000); ++round) {
    const auto word = [&](size_t most) {
      std::string text;
      for (size_t n = random() % most; n > 0; --n) text += static_cast<char>('a' + random() % 2);
      return text;
    };
    const std::vector<std::string> stops = {word(5), word(4), word(6)};
    const std::string text = word(24);
    std::vector<std::string> pieces, letters;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 6;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    for (const char c : text) letters.push_back(std::string(1, c));
    const auto shown = [&](const std::vector<std::string>& cut) {
      std::string out = match(stops, cut);
      std::erase(out, '|');
      return out;
    };
    cr_assert(shown({text}) == shown(pieces), "round %d", round);
    cr_assert(shown({text}) == shown(letters), "round %d", round);
  }
}
