// SPDX-License-Identifier: Apache-2.0
// The GGUF writer: what it writes the reader reads, and misuse leaves no file behind.
#include <cerrno>

#include <sluice/gguf.hpp>

#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::read_file;
using sluice::test::TempDir;
using sluice::test::why;

TestSuite(gguf_writer, .timeout = 60);

namespace {

constexpr uint32_t kF32 = 0, kQ8 = 8;

std::shared_ptr<const GgufArray> array(GgufType type, auto elements) {
  auto made = std::make_shared<GgufArray>();
  made->element_type = type;
  made->elements = std::move(elements);
  return made;
}

std::vector<std::byte> pattern(size_t n) {
  std::vector<std::byte> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

// A file with every type, written in pieces of `piece` bytes.
void write_all_types(const std::string& path, uint32_t alignment, size_t piece) {
  auto writer = GgufWriter::create(path, alignment);
  cr_assert(writer.has_value(), "%s", why(writer));
  writer->set_u32("a.u32", 1);
  writer->set_u32("a.u32", 7);
  writer->set_f32("a.f32", 0.25f);
  writer->set_bool("a.bool", true);
  writer->set_string("a.string", "text");
  writer->set("a.i8", {GgufType::kI8, int64_t{-5}});
  writer->set("a.u64", {GgufType::kU64, UINT64_MAX});
  writer->set("a.f64", {GgufType::kF64, 1e300});
  const auto inner = array(GgufType::kI16, std::vector<int64_t>{-2, 3});
  writer->set("a.deep", {GgufType::kArray, array(GgufType::kArray, std::vector{inner, inner})});
  writer->set("a.flags", {GgufType::kArray, array(GgufType::kBool, std::vector<uint64_t>{1, 0})});
  writer->set("a.names", {GgufType::kArray, array(GgufType::kString, std::vector<std::string>{
                                                                         "x", "", "long enough"})});
  const uint64_t vector[] = {3}, matrix[] = {64, 3};
  cr_assert(writer->add_tensor("v", kF32, vector).has_value());
  cr_assert(writer->add_tensor("m", kQ8, matrix).has_value());
  const std::vector<std::byte> data = pattern(12 + 204);
  for (size_t at = 0; at < data.size(); at += piece) {
    const auto part = std::span(data).subspan(at, std::min(piece, data.size() - at));
    cr_assert(writer->write(part).has_value());
  }
  const auto done = writer->finish();
  cr_assert(done.has_value(), "%s", why(done));
}

}  // namespace

Test(gguf_writer, what_it_writes_the_reader_reads) {
  const TempDir dir;
  const std::string path = dir.file("a.gguf");
  for (const uint32_t alignment : {32u, 8u, 4096u}) {
    write_all_types(path, alignment, 50);
    const auto file = GgufFile::open(path);
    cr_assert(file.has_value(), "%s", why(file));
    cr_assert(same(file->alignment(), alignment));
    cr_assert(same(*file->get_u64("a.u32"), 7), "the second value replaced the first");
    cr_assert(same(*file->get_f64("a.f32"), 0.25));
    cr_assert(same(*file->get_f64("a.f64"), 1e300));
    cr_assert(*file->get_bool("a.bool") && *file->get_string("a.string") == "text");
    cr_assert(same(std::get<int64_t>(file->find("a.i8")->data), -5));
    cr_assert(same(*file->get_u64("a.u64"), UINT64_MAX));
    cr_assert((*file->get_strings("a.names"))[2] == "long enough");
    const auto& deep = std::get<std::shared_ptr<const GgufArray>>(file->find("a.deep")->data);
    const auto& inner =
        std::get<std::vector<std::shared_ptr<const GgufArray>>>(deep->elements)[1]->elements;
    cr_assert(std::get<std::vector<int64_t>>(inner) == std::vector<int64_t>({-2, 3}));

    const std::vector<std::byte> expected = pattern(12 + 204);
    const auto v = file->data(*file->find_tensor("v")), m = file->data(*file->find_tensor("m"));
    cr_assert(std::equal(v.begin(), v.end(), expected.begin(), expected.begin() + 12));
    cr_assert(std::equal(m.begin(), m.end(), expected.begin() + 12, expected.end()));
    cr_assert(same((file->file_size() - file->data_offset()) % alignment, 0));
  }
}

Test(gguf_writer, the_pieces_do_not_matter) {
  const TempDir dir;
  write_all_types(dir.file("a"), 32, 1000);
  for (const size_t piece : {1, 12, 13, 34}) {
    write_all_types(dir.file("b"), 32, piece);
    cr_assert(read_file(dir.file("a")) == read_file(dir.file("b")), "pieces of %zu bytes", piece);
  }
}

Test(gguf_writer, refuses_bad_tensors) {
  const TempDir dir;
  auto writer = GgufWriter::create(dir.file("a"));
  const uint64_t one[] = {1}, five[] = {1, 1, 1, 1, 1}, zero[] = {4, 0}, odd[] = {33};
  const uint64_t huge[] = {uint64_t{1} << 40, uint64_t{1} << 40};
  cr_assert(is_error(writer->add_tensor(std::string(64, 'n'), kF32, one), EINVAL, {"64 bytes"}));
  cr_assert(writer->add_tensor(std::string(63, 'n'), kF32, one).has_value());
  cr_assert(is_error(writer->add_tensor("", kF32, one), EINVAL, {"0 bytes"}));
  cr_assert(is_error(writer->add_tensor("t", 4, one), EINVAL, {"'t'", "unknown type 4"}));
  cr_assert(is_error(writer->add_tensor("t", kF32, {}), EINVAL, {"rank is 0"}));
  cr_assert(is_error(writer->add_tensor("t", kF32, five), EINVAL, {"rank is 5"}));
  cr_assert(is_error(writer->add_tensor("t", kF32, zero), EINVAL, {"dimension 1 is 0"}));
  cr_assert(is_error(writer->add_tensor("t", kQ8, odd), EINVAL, {"33 elements", "32"}));
  cr_assert(is_error(writer->add_tensor("t", kF32, huge), EINVAL, {"too large"}));
  cr_assert(writer->add_tensor("t", kF32, one).has_value());
  cr_assert(is_error(writer->add_tensor("t", kF32, one), EINVAL, {"'t'", "used before"}));
}

Test(gguf_writer, leaves_nothing_behind_unless_finished) {
  const TempDir dir;
  const uint64_t four[] = {4};
  {
    auto writer = GgufWriter::create(dir.file("a"));
    cr_assert(writer->add_tensor("t", kF32, four).has_value());
    cr_assert(writer->write(pattern(15)).has_value());
    cr_assert(is_error(writer->add_tensor("u", kF32, four), EINVAL, {"after the first data"}));
    cr_assert(is_error(writer->finish(), EINVAL, {"'t'", "15 of 16 bytes"}));
    cr_assert(is_error(writer->write(pattern(1)), EINVAL, {"failed before"}));
  }
  {
    auto writer = GgufWriter::create(dir.file("a"));
    cr_assert(writer->add_tensor("t", kF32, four).has_value());
    cr_assert(is_error(writer->write(pattern(17)), EINVAL, {"1 bytes more"}));
    cr_assert(!writer->finish().has_value());
  }
  {
    auto writer = GgufWriter::create(dir.file("a"));
    writer->set("k", {GgufType::kString, uint64_t{5}});
    cr_assert(is_error(writer->finish(), EINVAL, {"'k'", "string"}));
  }
  cr_assert(same(dir.n_files(), 0));
  cr_assert(is_error(GgufWriter::create(dir.file("a"), 24), EINVAL, {"24", "power of two"}));
  cr_assert(is_error(GgufWriter::create("/nonexistent/a"), ENOENT, {"/nonexistent/a"}));
}
