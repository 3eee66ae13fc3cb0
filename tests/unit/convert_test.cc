// SPDX-License-Identifier: Apache-2.0
// The readers of model folders: what valid files hold, and that each fault of a file is an error
// that names the file and what was expected.
#include <cerrno>
#include <cstring>

#include "convert/json_file.h"
#include "convert/pickle.h"
#include "convert/source.h"
#include "convert/vocabulary.h"
#include "convert/zip.h"
#include "model_files.h"
#include "support.h"

using namespace sluice;
using namespace sluice::hf;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(convert, .timeout = 60);

namespace {

const std::string kPath = "folder/file";
using Parts = std::initializer_list<std::string_view>;

std::span<const std::byte> bytes_of(const std::string& file) {
  return {reinterpret_cast<const std::byte*>(file.data()), file.size()};
}

// The first place where `from` stands; there must be one.
std::string with(std::string file, const std::string& from, const std::string& to) {
  const size_t at = file.find(from);
  cr_assert(at != std::string::npos, "nothing to replace: %s", from.c_str());
  return file.replace(at, from.size(), to);
}

// A change to a valid file, and the error that it makes.
struct Fault {
  std::string from, to;
  int code;
  Parts parts;
};

Result<SourceTensors> safetensors(const std::string& header) {
  static std::string file;  // what the result looks at
  file = test::safetensors_of(header, std::string(24, 'x') + std::string(8, 'y'));
  return read_safetensors(bytes_of(file), kPath);
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Test(convert, safetensors_are_read) {
  const auto read = safetensors(test::kSafetensorsHeader);
  cr_assert(read.has_value(), "%s", why(read));
  cr_assert(same(read->size(), 2), "__metadata__ is no tensor");
  const SourceTensor &a = read->at("a.weight"), &b = read->at("b");
  cr_expect(a.format == find_format("F32") && b.format == find_format("BF16"));
  cr_expect(a.shape == std::vector<uint64_t>({2, 3}) && b.shape == std::vector<uint64_t>({4}));
  cr_expect(text_of(a.data) == std::string(24, 'x') && text_of(b.data) == std::string(8, 'y'));
  cr_expect(a.path == kPath);
  // A type that there is no format for is read all the same: who needs the tensor complains.
  const auto other =
      safetensors(with(test::kSafetensorsHeader, R"(BF16","shape":[4])", R"(I64","shape":[1])"));
  cr_assert(other.has_value(), "%s", why(other));
  cr_expect(other->at("b").format == nullptr && other->at("b").type == "I64");
}

Test(convert, faults_of_safetensors_have_names) {
  const Fault faults[] = {
      {"BF16", "F4", EBADMSG, {"folder/file", "'b'", "unknown dtype 'F4'"}},
      {R"("dtype":"BF16")", R"("dtype":7)", EBADMSG, {"b.dtype", "7"}},
      {"[4]", "[3]", EBADMSG, {"'b'", "8 bytes", "expected 6", "BF16 [3]"}},
      {"[4]", "[-4]", EBADMSG, {"b.shape", "whole numbers"}},
      {"[4]", "[1,1,1,1,1,1,1,1,4]", EBADMSG, {"b.shape", "at most 8"}},
      {"[4]", "[4294967296,4294967296,4]", EBADMSG, {"'b'", "too large"}},
      {"[24,32]", "[24,33]", EBADMSG, {"'b'", "ends at byte 33", "32 bytes"}},
      {"[24,32]", "[32,24]", EBADMSG, {"b.data_offsets", "a begin and an end"}},
      {"[24,32]", "[24]", EBADMSG, {"b.data_offsets", "a begin and an end"}},
      {R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]})",
       R"("b":null)",
       EBADMSG,
       {"'b'", "null, expected an object"}},
      {"{\"__m", "[\"__m", EBADMSG, {"folder/file", "not valid JSON"}},
  };
  for (const Fault& f : faults) {
    const auto read = safetensors(with(test::kSafetensorsHeader, f.from, f.to));
    cr_expect(is_error(read, f.code, f.parts), "%s", f.to.c_str());
  }
  const std::string whole = test::safetensors();
  cr_expect(is_error(read_safetensors(bytes_of(whole.substr(0, 7)), kPath), EBADMSG,
                     {"folder/file", "7 bytes", "at least the 8"}));
  cr_expect(is_error(read_safetensors(bytes_of(whole.substr(0, 40)), kPath), EBADMSG,
                     {"a header of", "at most 32"}));
  std::string huge = whole;
  std::memset(huge.data(), 0xff, 8);
  cr_expect(is_error(read_safetensors(bytes_of(huge), kPath), EBADMSG,
                     {"a header of 18446744073709551615"}));
}

Test(convert, a_state_dict_is_read) {
  const std::string pickle = test::state_dict();
  const auto read = read_state_dict(bytes_of(pickle), kPath);
  cr_assert(read.has_value(), "%s", why(read));
  cr_assert(same(read->size(), 2));
  const PickledTensor &a = (*read)[0], &b = (*read)[1];
  cr_expect(a.name == "a" && b.name == "b" && a.storage == "0" && b.storage == "0");
  cr_expect(same(a.n_storage, 8) && same(a.offset, 0) && same(b.offset, 6));
  cr_expect(a.shape == std::vector<uint64_t>({2, 3}) && a.strides == std::vector<uint64_t>({3, 1}));
  cr_expect(b.shape == std::vector<uint64_t>({2}));
  cr_expect(std::string_view(a.type->safetensors) == "F32");
}

// Nothing is executed, whatever a pickle asks for.
Test(convert, faults_of_pickles_have_names) {
  const std::string rebuild = "ctorch._utils\n_rebuild_tensor_v2\n";
  const Fault faults[] = {
      {rebuild, "cos\nsystem\n", ENOTSUP, {"folder/file", "global os.system", "OrderedDict"}},
      {"FloatStorage", "Tensor", ENOTSUP, {"global torch.Tensor"}},
      {"\x80\x02", "\x80\x04", ENOTSUP, {"offset 0", "protocol 4, expected 2"}},
      {"K\x08tQ", "K\x08i", ENOTSUP, {"opcode 0x69"}},
      {"K\x08tQ", "NtQ", EBADMSG, {"no storage of torch"}},
      {"K\x08tQ", "QtQ", EBADMSG, {"no storage of torch"}},
      {"K\2K\3\x86", "NK\3\x86", EBADMSG, {"other things than a storage"}},
      {"h\2)R", "h\7)R", EBADMSG, {"nothing is remembered under 7"}},
      {"h\2)R", "K\1)R", EBADMSG, {"a call of what is no function"}},
      {"u}", "Nu}", EBADMSG, {"a key without a value"}},
      {"Rub.", "Ru.", EBADMSG, {"no dict"}},
      {"Rub.", "Rub", EBADMSG, {"an opcode"}},
  };
  for (const Fault& f : faults) {
    const std::string pickle = with(test::state_dict(), f.from, f.to);
    cr_expect(is_error(read_state_dict(bytes_of(pickle), kPath), f.code, f.parts), "%s",
              f.to.c_str());
  }
  const std::string long_text = std::string("\x80\x02X\xff\xff\xff\x7f", 7) + "abc";
  cr_expect(is_error(read_state_dict(bytes_of(long_text), kPath), EBADMSG,
                     {"offset 2", "2147483647 bytes", "3 are left"}));
}

Test(convert, torch_files_are_read) {
  for (const bool zip64 : {false, true}) {
    const std::string file = test::torch_file(zip64);
    const auto read = read_torch(bytes_of(file), kPath);
    cr_assert(read.has_value(), "%s", why(read));
    cr_expect(same(read->size(), 2));
    cr_expect(same(read->at("a").data.size(), 24) && same(read->at("b").data.size(), 8));
    // Both are parts of one storage.
    cr_expect(read->at("b").data.data() == read->at("a").data.data() + 24);
  }
}

Test(convert, faults_of_torch_files_have_names) {
  using Entries = std::vector<std::pair<std::string, std::string>>;
  const std::string pickle = test::state_dict(), data(32, 'x');
  const struct {
    Entries entries;
    int code;
    Parts parts;
  } cases[] = {
      {{{"m/other", ""}}, EBADMSG, {"folder/file", "no zip entry 'data.pkl'"}},
      {{{"m/data.pkl", pickle}, {"n/data.pkl", pickle}}, EBADMSG, {"two zip entries 'data.pkl'"}},
      {{{"m/data.pkl", pickle}}, EBADMSG, {"'a'", "no zip entry 'm/data/0'"}},
      {{{"m/data.pkl", pickle}, {"m/data/0", data + "x"}},
       EBADMSG,
       {"'a'", "33 bytes", "8 elements of 4"}},
      {{{"m/data.pkl", pickle}, {"m/data/0", data}, {"m/byteorder", "big"}},
       ENOTSUP,
       {"'big'", "'little'"}},
      {{{"m/data.pkl", with(pickle, "K\3K\1\x86", "K\1K\2\x86")}, {"m/data/0", data}},
       ENOTSUP,
       {"'a'", "strides [1, 2]", "shape [2, 3]"}},
      {{{"m/data.pkl", with(pickle, "K\2K\3\x86K\3K\1\x86", "K\3K\3\x86K\3K\1\x86")},
        {"m/data/0", data}},
       EBADMSG,
       {"'a'", "9 elements from 0 on", "has 8"}},
      {{{"m/data.pkl", with(pickle, test::pickled("b"), test::pickled("a"))}, {"m/data/0", data}},
       EBADMSG,
       {"two tensors 'a'"}},
  };
  for (const auto& c : cases) {
    const std::string file = test::zip_of(c.entries, false);
    cr_expect(is_error(read_torch(bytes_of(file), kPath), c.code, c.parts), "case %td", &c - cases);
  }
  const std::string file = test::torch_file(false);
  cr_expect(is_error(read_torch(bytes_of(file.substr(0, 10)), kPath), EBADMSG,
                     {"too short for a zip file"}));
  cr_expect(is_error(read_torch(bytes_of(file.substr(0, file.size() - 1)), kPath), EBADMSG,
                     {"no zip file", "PyTorch"}));
}

Test(convert, sentencepiece_models_are_read) {
  const std::string file = test::sentencepiece();
  const auto read = read_sentencepiece(bytes_of(file), kPath, 8);
  cr_assert(read.has_value(), "%s", why(read));
  cr_expect(read->model == "llama" && read->add_space_prefix == true);
  cr_assert(same(read->tokens.size(), 8), "as many as the embedding has rows");
  cr_expect(read->tokens[3] == "a" && read->types[3] == TokenType::kNormal &&
            read->scores[3] == -1.5);
  cr_expect(read->types[0] == TokenType::kUnknown && read->types[2] == TokenType::kByte);
  cr_expect(read->types[7] == TokenType::kUnused);
}

Test(convert, faults_of_sentencepiece_models_have_names) {
  const std::string file = test::sentencepiece();
  cr_expect(is_error(read_sentencepiece(bytes_of(file), kPath, 5), EBADMSG,
                     {"folder/file", "more pieces than the 5 rows"}));
  const Fault faults[] = {
      {"<0x41>", "<0x4g>", EBADMSG, {"piece 2", "'<0x4g>'", "'<0x41>'"}},
      {std::string("\x12\x02\x18\x02", 4),
       std::string("\x12\x02\x18\x01", 4),
       ENOTSUP,
       {"model type 1", "expected 2"}},
      {"\x18\x06", "\x18\x07", EBADMSG, {"a piece of type 7", "1 to 6"}},
      {std::string("\x0a\x0e\x0a\x05<unk>", 9),
       std::string("\x0a\x7f\x0a\x05<unk>", 9),
       EBADMSG,
       {"127 bytes", "are left"}},
  };
  for (const Fault& f : faults) {
    const std::string spoiled = with(file, f.from, f.to);
    cr_expect(is_error(read_sentencepiece(bytes_of(spoiled), kPath, 8), f.code, f.parts));
  }
  cr_expect(is_error(read_sentencepiece({}, kPath, 8), EBADMSG, {"no pieces"}));
  cr_expect(is_error(read_sentencepiece(bytes_of("GGUF"), kPath, 8), EBADMSG,
                     {"no SentencePiece model"}));
}

namespace {

Result<VocabularyData> tokenizer(const std::string& text, uint32_t n_vocab = 8) {
  SLUICE_TRY(const JsonObject json, JsonObject::parse(text, kPath));
  return read_tokenizer_json(json, n_vocab);
}

}  // namespace

Test(convert, tokenizers_are_read) {
  const auto level = tokenizer(test::byte_level());
  cr_assert(level.has_value(), "%s", why(level));
  cr_expect(level->model == "gpt2" && !level->pre.empty());
  cr_expect(level->tokens[2] == "ab" && level->tokens[5] == "<|x|>");
  cr_expect(level->types[5] == TokenType::kControl && level->types[7] == TokenType::kUnused);
  cr_expect(level->merges == std::vector<std::string>({"a b", "a b"}));
  cr_expect(level->add_bos == true);

  const auto fallback = tokenizer(test::byte_fallback());
  cr_assert(fallback.has_value(), "%s", why(fallback));
  cr_expect(fallback->model == "llama" && fallback->merges.empty());
  cr_expect(fallback->types[0] == TokenType::kUnknown && fallback->types[1] == TokenType::kByte);
  cr_expect(fallback->scores[4] == 0 && fallback->scores[2] < -1e9, "the first merge is the best");
}

Test(convert, faults_of_tokenizers_have_names) {
  const std::string level = test::byte_level(), fallback = test::byte_fallback();
  const Fault of_level[] = {
      {R"("type":"BPE")",
       R"("type":"Unigram")",
       ENOTSUP,
       {"folder/file", "model.type", "Unigram", "BPE"}},
      {R"("ab":2)", R"("ab":8)", EBADMSG, {"model.vocab.ab is 8", "an id below 8"}},
      {R"("ab":2)", R"("ab":1)", EBADMSG, {"model.vocab.b", "that no other has"}},
      {R"("merges":[)", R"("merges":["ab",)", EBADMSG, {"model.merges", "element 0", "two texts"}},
      {R"("merges":["a b",["a","b"]])",
       R"("merges":7)",
       EBADMSG,
       {"model.merges is 7", "an array"}},
      {R"("type":"NFC")", R"("type":"Lowercase")", ENOTSUP, {"Lowercase", "NFC"}},
      {R"("individual_digits":true)",
       R"("individual_digits":false)",
       ENOTSUP,
       {"individual_digits"}},
      {R"("add_prefix_space":false)", R"("add_prefix_space":true)", ENOTSUP, {"add_prefix_space"}},
      {R"("type":"Digits")", R"("type":"Whitespace")", ENOTSUP, {"Whitespace", "ByteLevel"}},
      {R"("id":5)", R"("id":-5)", EBADMSG, {"id is -5"}},
  };
  for (const Fault& f : of_level) {
    cr_expect(is_error(tokenizer(with(level, f.from, f.to)), f.code, f.parts), "%s", f.to.c_str());
  }
  const Fault of_fallback[] = {
      {R"("split":false)", R"("split":true)", ENOTSUP, {"split", "false"}},
      {R"(["a","b"])", R"(["b","a"])", EBADMSG, {"merges", "not 'ba'"}},
      {R"({"String":" "})", R"({"String":"x"})", ENOTSUP, {"content"}},
      {R"("type":"Replace")", R"("type":"Strip")", ENOTSUP, {"Strip", "Prepend"}},
  };
  for (const Fault& f : of_fallback) {
    cr_expect(is_error(tokenizer(with(fallback, f.from, f.to)), f.code, f.parts), "%s",
              f.to.c_str());
  }
  cr_expect(is_error(tokenizer("[]"), EBADMSG, {"an array of 0, expected an object"}));
  cr_expect(is_error(tokenizer("{"), EBADMSG, {"not valid JSON"}));
  cr_expect(is_error(tokenizer("{}"), EBADMSG, {"model is absent, expected an object"}));
}

Test(convert, members_of_json_are_held_to_their_types) {
  const auto json =
      JsonObject::parse(R"({"n":3,"r":0.5,"b":true,"t":"x","none":null,"o":{"n":-1}})", kPath);
  cr_assert(json.has_value(), "%s", why(json));
  cr_expect(same(json->number("n", 1, 3).value_or(0), 3));
  cr_expect(is_error(json->number("n", 4, 5), EBADMSG, {"folder/file: key n is 3", "4 to 5"}));
  cr_expect(is_error(json->number("r", 0, 5), EBADMSG, {"key r is 0.5"}));
  cr_expect(is_error(json->number("none", 0, 5), ENOENT, {"folder/file: no key none"}));
  cr_expect(same(json->number_or("none", 0, 5, 4).value_or(0), 4));
  cr_expect(json->real("n", 0, 9).value_or(0) == 3.0, "whole numbers are real ones");
  cr_expect(is_error(json->real("t", 0, 9), EBADMSG, {"key t"}));
  cr_expect(is_error(json->flag_or("n", false), EBADMSG, {"key n is 3"}));
  cr_expect(is_error(json->text("b"), EBADMSG, {"key b is true"}));
  const auto inner = json->object("o");
  cr_assert(inner.has_value() && inner->has_value());
  cr_expect(is_error((*inner)->number("n", 0, 5), EBADMSG, {"key o.n is -1"}));
  cr_expect(is_error(json->object("t"), EBADMSG, {"key t"}));
  cr_expect(
      is_error(JsonObject::open("/nonexistent/config.json"), ENOENT, {"/nonexistent/config.json"}));
}
