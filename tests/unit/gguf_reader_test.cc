// SPDX-License-Identifier: Apache-2.0
// The GGUF reader: every metadata type, and every kind of file that must be refused, with the key
// or tensor, the offset and the reason in the message.
#include <cerrno>
#include <chrono>
#include <cmath>
#include <limits>

#include <sluice/gguf.hpp>

#include "gguf_builder.h"
#include "support.h"

using namespace sluice;
using sluice::test::GgufBuilder;
using sluice::test::is_error;
using sluice::test::TempDir;
using sluice::test::why;
using sluice::test::write_file;

TestSuite(gguf_reader, .timeout = 60);

namespace {

constexpr uint32_t kF32 = 0, kF16 = 1, kQ8 = 8, kI64 = 27;

GgufBuilder every_scalar() {
  GgufBuilder b;
  b.header(0, 12);
  b.key("a.u8", GgufType::kU8).u8(200);
  b.key("a.i8", GgufType::kI8).put<int8_t>(-100);
  b.key("a.u16", GgufType::kU16).put<uint16_t>(60000);
  b.key("a.i16", GgufType::kI16).put<int16_t>(-30000);
  b.key("a.u32", GgufType::kU32).u32(4000000000u);
  b.key("a.i32", GgufType::kI32).put<int32_t>(-2000000000);
  b.key("a.u64", GgufType::kU64).u64(UINT64_MAX);
  b.key("a.i64", GgufType::kI64).put<int64_t>(INT64_MIN);
  b.key("a.f32", GgufType::kF32).put(1.5f);
  b.key("a.f64", GgufType::kF64).put(-2.25);
  b.key("a.bool", GgufType::kBool).u8(1);
  b.key("a.string", GgufType::kString).text("text");
  return b;
}

template <typename T>
const T& elements(const GgufFile& file, std::string_view key) {
  const auto& array = std::get<std::shared_ptr<const GgufArray>>(file.find(key)->data);
  return std::get<T>(array->elements);
}

}  // namespace

Test(gguf_reader, every_scalar_type) {
  const GgufBuilder b = every_scalar();
  const auto file = b.open();
  cr_assert(file.has_value(), "%s", why(file));
  cr_assert(same(file->metadata().size(), 12));
  cr_assert(same(*file->get_u64("a.u8"), 200));
  cr_assert(same(*file->get_u64("a.u16"), 60000));
  cr_assert(same(*file->get_u64("a.u32"), 4000000000u));
  cr_assert(same(*file->get_u64("a.u64"), UINT64_MAX));
  cr_assert(same(std::get<int64_t>(file->find("a.i8")->data), -100));
  cr_assert(same(std::get<int64_t>(file->find("a.i16")->data), -30000));
  cr_assert(same(std::get<int64_t>(file->find("a.i32")->data), -2000000000));
  cr_assert(same(std::get<int64_t>(file->find("a.i64")->data), INT64_MIN));
  cr_assert(same(*file->get_f64("a.f32"), 1.5));
  cr_assert(same(*file->get_f64("a.f64"), -2.25));
  cr_assert(same(*file->get_f64("a.i8"), -100.0), "integers are numbers too");
  cr_assert(*file->get_bool("a.bool"));
  cr_assert(*file->get_string("a.string") == "text");
  cr_assert(file->find("a.i8")->type == GgufType::kI8, "the type is kept beside the value");
}

Test(gguf_reader, typed_access_says_what_is_wrong) {
  const GgufBuilder b = every_scalar();
  const auto file = b.open();
  cr_assert(is_error(file->get_u64("b"), ENOENT, {"test.gguf", "'b'", "missing"}));
  cr_assert(is_error(file->get_u64("a.i8"), EBADMSG, {"'a.i8'", "-100"}));
  cr_assert(is_error(file->get_u64("a.f32"), EBADMSG, {"'a.f32'", "f32", "an integer"}));
  cr_assert(is_error(file->get_bool("a.u8"), EBADMSG, {"'a.u8'", "u8", "bool"}));
  cr_assert(is_error(file->get_string("a.bool"), EBADMSG, {"'a.bool'", "string"}));
  cr_assert(is_error(file->get_strings("a.string"), EBADMSG, {"'a.string'", "an array"}));
  cr_assert(is_error(file->get_f64("a.string"), EBADMSG, {"'a.string'", "number"}));
}

Test(gguf_reader, every_array_type_and_nesting) {
  GgufBuilder b;
  b.header(0, 6);
  b.key("bytes", GgufType::kArray).array(GgufType::kU8, 3).u8(1).u8(2).u8(255);
  b.key("ints", GgufType::kArray).array(GgufType::kI16, 2).put<int16_t>(-1).put<int16_t>(7);
  b.key("floats", GgufType::kArray).array(GgufType::kF32, 2).put(0.5f).put(-3.0f);
  b.key("flags", GgufType::kArray).array(GgufType::kBool, 2).u8(0).u8(1);
  b.key("names", GgufType::kArray).array(GgufType::kString, 3).text("x").text("").text("yz");
  b.key("deep", GgufType::kArray).array(GgufType::kArray, 2);
  b.array(GgufType::kU32, 1).u32(9).array(GgufType::kArray, 1).array(GgufType::kString, 0);
  const auto file = b.open();
  cr_assert(file.has_value(), "%s", why(file));
  cr_assert(elements<std::vector<uint64_t>>(*file, "bytes") == std::vector<uint64_t>({1, 2, 255}));
  cr_assert(elements<std::vector<int64_t>>(*file, "ints") == std::vector<int64_t>({-1, 7}));
  cr_assert(elements<std::vector<double>>(*file, "floats") == std::vector<double>({0.5, -3}));
  cr_assert(elements<std::vector<uint64_t>>(*file, "flags") == std::vector<uint64_t>({0, 1}));
  const auto names = file->get_strings("names");
  cr_assert(names->size() == 3 && (*names)[2] == "yz");
  const auto& deep = elements<std::vector<std::shared_ptr<const GgufArray>>>(*file, "deep");
  cr_assert(same(deep.size(), 2));
  cr_assert(same(deep[0]->size(), 1));
  cr_assert(is_error(file->get_strings("bytes"), EBADMSG, {"'bytes'", "array of u8", "strings"}));
}

Test(gguf_reader, tensors_and_their_data) {
  GgufBuilder b;
  b.header(3, 1).key("general.alignment", GgufType::kU32).u32(64);
  b.tensor("b", {32, 2}, kQ8, 0).tensor("a", {3}, kF32, 128).tensor("c", {2, 3, 4, 5}, kF16, 192);
  b.pad(64);
  const uint64_t data = b.size();
  b.zeros(128).put(1.0f).put(2.0f).put(3.0f).pad(64).zeros(240);
  const auto file = b.open();
  cr_assert(file.has_value(), "%s", why(file));
  cr_assert(same(file->alignment(), 64));
  cr_assert(same(file->data_offset(), data));
  cr_assert(same(file->file_size(), b.size()), "no padding is needed behind the last tensor");
  cr_assert(same(file->tensors().size(), 3));
  const GgufTensor* a = file->find_tensor("a");
  cr_assert(a != nullptr && a->rank == 1 && a->shape[0] == 3 && a->n_bytes == 12);
  float values[3];
  std::memcpy(values, file->data(*a).data(), sizeof(values));
  cr_assert(values[0] == 1 && values[2] == 3);
  const GgufTensor* c = file->find_tensor("c");
  cr_assert(same(c->n_elements(), 120));
  cr_assert(same(file->find_tensor("b")->n_bytes, 68));
  cr_assert(std::string_view(file->find_tensor("b")->type_name) == "Q8_0");
  cr_assert(file->find_tensor("d") == nullptr && file->find_tensor("") == nullptr);
}

namespace {

struct BadFile {
  const char* name;
  void (*build)(GgufBuilder& b);
  const char* parts[3];
};

GgufBuilder& one_key(GgufBuilder& b) { return b.header(0, 1); }
GgufBuilder& one_tensor(GgufBuilder& b) { return b.header(1, 0); }
// A name length, and nothing behind it.
void key_length(GgufBuilder& b, uint64_t length) { one_key(b).u64(length).zeros(16); }
void alignment(GgufBuilder& b, uint32_t value) {
  one_key(b).key("general.alignment", GgufType::kU32).u32(value);
}

const BadFile kBadFiles[] = {
    {"empty", [](GgufBuilder&) {}, {"header", "offset 0", "expected 4 bytes, 0 are left"}},
    {"magic",
     [](GgufBuilder& b) { b.header(0, 0, 3, 0x464c4547); },
     {"offset 0", "0x464c4547", "GGUF"}},
    {"version 2",
     [](GgufBuilder& b) { b.header(0, 0, 2); },
     {"offset 4", "version is 2", "expected 3; convert"}},
    {"version 4",
     [](GgufBuilder& b) { b.header(0, 0, 4); },
     {"offset 4", "version is 4", "expected 3"}},
    {"big endian",
     [](GgufBuilder& b) { b.header(0, 0, 0x03000000); },
     {"big-endian", "offset 4", ""}},
    {"header cut",
     [](GgufBuilder& b) { b.u32(0x46554747).u32(3).u64(0).u32(0); },
     {"offset 16", "number of metadata keys", "4 are left"}},
    {"too many keys",
     [](GgufBuilder& b) { b.header(0, UINT64_MAX); },
     {"18446744073709551615 metadata keys", "0 bytes are left", "offset 24"}},
    {"too many tensors",
     [](GgufBuilder& b) { b.header(uint64_t{1} << 60, 0).zeros(64); },
     {"1152921504606846976 tensors", "64 bytes are left", ""}},
    {"key length",
     [](GgufBuilder& b) { key_length(b, UINT64_MAX); },
     {"metadata key 1 of 1", "offset 24", "length of 18446744073709551615"}},
    {"empty key",
     [](GgufBuilder& b) { key_length(b, 0); },
     {"metadata key 1 of 1", "0 bytes", "expected 1 to 65535"}},
    {"value type",
     [](GgufBuilder& b) { one_key(b).text("k").u32(13).u64(0); },
     {"'k'", "offset 33", "type is 13, expected 0 to 12"}},
    {"value cut",
     [](GgufBuilder& b) { one_key(b).key("k", GgufType::kU64).u32(1); },
     {"'k'", "offset 37", "4 are left"}},
    {"bool of 2",
     [](GgufBuilder& b) { one_key(b).key("k", GgufType::kBool).u8(2); },
     {"'k'", "offset 37", "a bool is 2"}},
    {"string length",
     [](GgufBuilder& b) { one_key(b).key("k", GgufType::kString).u64(100).u8(0); },
     {"'k'", "length of 100", "1 are left"}},
    {"array length",
     [](GgufBuilder& b) {
       one_key(b).key("k", GgufType::kArray).array(GgufType::kString, uint64_t{1} << 61).zeros(99);
     },
     {"'k'", "2305843009213693952 array elements", "99 bytes are left"}},
    {"array element type",
     [](GgufBuilder& b) { one_key(b).key("k", GgufType::kArray).u32(99).u64(0); },
     {"'k'", "array elements is 99", "offset 37"}},
    {"array string cut",
     [](GgufBuilder& b) {
       one_key(b).key("k", GgufType::kArray).array(GgufType::kString, 2).text("ab").u64(5);
     },
     {"'k'", "length of 5", "0 are left"}},
    {"nesting",
     [](GgufBuilder& b) {
       one_key(b).key("k", GgufType::kArray);
       for (int i = 0; i < 99; ++i) b.array(GgufType::kArray, 1);
       b.zeros(12);
     },
     {"'k'", "nested more than 8 deep", ""}},
    {"duplicate key",
     [](GgufBuilder& b) {
       b.header(0, 3)
           .key("k", GgufType::kU8)
           .u8(0)
           .key("l", GgufType::kU8)
           .u8(1)
           .key("k", GgufType::kU8)
           .u8(2);
     },
     {"'k'", "offset 52", "used before"}},
    {"alignment 0",
     [](GgufBuilder& b) { alignment(b, 0); },
     {"'general.alignment' is 0", "power of two", ""}},
    {"alignment 48",
     [](GgufBuilder& b) { alignment(b, 48); },
     {"'general.alignment' is 48", "power of two", ""}},
    {"alignment type",
     [](GgufBuilder& b) { one_key(b).key("general.alignment", GgufType::kU64).u64(32); },
     {"'general.alignment' has type u64", "expected u32", ""}},
    {"name of 64 bytes",
     [](GgufBuilder& b) {
       one_tensor(b).tensor(std::string(64, 'n'), {1}, kF32, 0).pad().zeros(4);
     },
     {"tensor 1 of 1", "offset 24", "64 bytes, expected 1 to 63"}},
    {"rank 0",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {}, kF32, 0).zeros(64); },
     {"tensor 't'", "rank is 0", "offset 33"}},
    {"rank 5",
     [](GgufBuilder& b) {
       one_tensor(b).tensor("t", {1, 1, 1, 1, 1}, kF32, 0).zeros(64);
     },
     {"tensor 't'", "rank is 5, expected 1 to 4", ""}},
    {"dimension 0",
     [](GgufBuilder& b) {
       one_tensor(b).tensor("t", {4, 0}, kF32, 0).zeros(64);
     },
     {"tensor 't'", "dimension 1 is 0", "offset 45"}},
    {"elements overflow",
     [](GgufBuilder& b) {
       one_tensor(b).tensor("t", {uint64_t{1} << 40, uint64_t{1} << 40}, kF32, 0).zeros(64);
     },
     {"tensor 't'", "elements overflows", "1099511627776"}},
    {"bytes overflow",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {uint64_t{1} << 62}, kF32, 0).zeros(64); },
     {"tensor 't'", "blocks of 4 bytes overflows", ""}},
    {"unknown type",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {32}, 99, 0).zeros(64); },
     {"tensor 't'", "type is 99", "Q8_0 (8)"}},
    {"row length",
     [](GgufBuilder& b) {
       one_tensor(b).tensor("t", {33, 32}, kQ8, 0).zeros(4096);
     },
     {"tensor 't'", "33 elements", "multiple of 32 for Q8_0"}},
    {"offset unaligned",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {4}, kF32, 8).zeros(64); },
     {"tensor 't'", "data offset is 8", "multiple of 32"}},
    {"offset with a gap",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {4}, kF32, 32).zeros(96); },
     {"tensor 't'", "data offset is 32", "expected 0"}},
    {"offsets overlap",
     [](GgufBuilder& b) {
       b.header(2, 0).tensor("t", {40}, kF32, 0).tensor("u", {4}, kF32, 32).zeros(512);
     },
     {"tensor 'u'", "data offset is 32", "expected 160"}},
    {"data cut",
     [](GgufBuilder& b) {
       b.header(2, 0).tensor("t", {8}, kF32, 0).tensor("u", {8}, kI64, 32).pad().zeros(32 + 63);
     },
     {"tensor 'u'", "64 bytes", "beyond the end"}},
    {"no data",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {8}, kF32, 0); },
     {"tensor 't'", "beyond the end", "offset 24"}},
    {"huge tensor",
     [](GgufBuilder& b) { one_tensor(b).tensor("t", {uint64_t{1} << 60}, kF32, 0).zeros(99); },
     {"tensor 't'", "beyond the end", ""}},
    {"sum overflows",
     [](GgufBuilder& b) {
       b.header(4, 0);
       for (uint64_t i = 0; i < 4; ++i)
         b.tensor(std::string(1, static_cast<char>('a' + i)), {uint64_t{1} << 59, 3}, kF32,
                  i * 6917529027641081856u);
       b.zeros(99);
     },
     {"tensor 'c'", "overflow", ""}},
    {"duplicate tensor",
     [](GgufBuilder& b) {
       b.header(2, 0).tensor("t", {8}, kF32, 0).tensor("t", {8}, kF32, 32).pad().zeros(64);
     },
     {"tensor 't'", "used before", "offset 57"}},
    {"tensor cut",
     [](GgufBuilder& b) { one_tensor(b).text("t").u32(2).u64(32).u64(1).u32(0); },
     {"tensor 't'", "the data offset", "0 are left"}},
};

}  // namespace

Test(gguf_reader, bad_files_are_refused) {
  for (const BadFile& bad : kBadFiles) {
    GgufBuilder b;
    bad.build(b);
    const auto file = b.open();
    cr_expect(is_error(file, EBADMSG, {"test.gguf: ", bad.parts[0], bad.parts[1], bad.parts[2]}),
              "%s", bad.name);
  }
}

// Cut anywhere, a valid file is refused and never read past its end.
Test(gguf_reader, every_truncation_is_refused) {
  GgufBuilder b = every_scalar();
  GgufBuilder whole;
  whole.header(2, 13);
  for (size_t i = 24; i < b.size(); ++i) whole.put(b.bytes()[i]);
  whole.key("names", GgufType::kArray).array(GgufType::kString, 2).text("one").text("two");
  whole.tensor("t", {4, 2}, kF32, 0).tensor("u", {32}, kQ8, 32).pad().zeros(32 + 34);
  cr_assert(whole.open().has_value(), "%s", why(whole.open()));
  for (size_t n = 0; n < whole.size(); ++n) {
    // A copy of just that size, so that a sanitizer sees the first byte behind it.
    const std::vector<std::byte> part(whole.bytes().begin(),
                                      whole.bytes().begin() + static_cast<ptrdiff_t>(n));
    const auto file = GgufFile::from_memory(part, "part");
    cr_assert(!file.has_value() && file.error().code == EBADMSG, "cut to %zu bytes", n);
  }
}

Test(gguf_reader, messages_escape_what_the_file_says) {
  GgufBuilder b;
  b.header(0, 1).key(std::string("a\n\x1b[31m") + std::string(500, 'x'), GgufType::kBool).u8(9);
  const auto file = b.open();
  cr_assert(is_error(file, EBADMSG, {"'a\\x0a\\x1b[31mxxx", "xxx...'"}));
  cr_assert(file.error().message.size() < 300);
}

Test(gguf_reader, large_vocabularies_are_fast) {
  const size_t n = test::light() ? 10000 : 300000;
  GgufBuilder b;
  b.header(0, 2).key("tokens", GgufType::kArray).array(GgufType::kString, n);
  for (size_t i = 0; i < n; ++i) b.text("token " + std::to_string(i));
  b.key("scores", GgufType::kArray).array(GgufType::kF32, n);
  for (size_t i = 0; i < n; ++i) b.put(-static_cast<float>(i));
  const auto start = std::chrono::steady_clock::now();
  const auto file = b.open();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  cr_assert(file.has_value());
  cr_assert((*file->get_strings("tokens"))[n - 1] == "token " + std::to_string(n - 1));
  cr_assert(took.count() < 1.0);
}

Test(gguf_reader, opens_files) {
  const TempDir dir;
  cr_assert(is_error(GgufFile::open(dir.file("none.gguf")), ENOENT, {"none.gguf"}));
  cr_assert(is_error(GgufFile::open("/tmp"), EISDIR, {"/tmp"}));
  write_file(dir.file("empty"), "");
  cr_assert(is_error(GgufFile::open(dir.file("empty")), EBADMSG, {"/empty", "offset 0"}));
  auto file = GgufFile::open("models/tales-7m-f16.gguf");
  cr_assert(file.has_value(), "%s", why(file));
  cr_assert(same(file->file_size(), std::filesystem::file_size("models/tales-7m-f16.gguf")));
  const GgufFile moved = std::move(*file);
  cr_assert(*moved.get_string("general.architecture") == "llama");
  cr_assert(same(moved.tensors().size(), 74));
}

Test(gguf_reader, memory_must_be_aligned) {
  const GgufBuilder b = every_scalar();
  std::vector<std::byte> shifted(b.size() + 1);
  std::copy(b.bytes().begin(), b.bytes().end(), shifted.begin() + 1);
  cr_assert(
      (is_error(GgufFile::from_memory(std::span(shifted).subspan(1), "m"), EINVAL, {"aligned"})));
}
