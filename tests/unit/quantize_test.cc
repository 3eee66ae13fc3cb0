// SPDX-License-Identifier: Apache-2.0
// Rewriting models in another format, and synthetic models.
#include <cerrno>
#include <cmath>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>
#include <sluice/text.hpp>

#include "quant/format.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::read_file;
using sluice::test::TempDir;
using sluice::test::why;

TestSuite(quantize, .timeout = 100);

namespace {

// A matrix that Q8_0 fits, one that it does not fit, and a vector.
std::string write_model(const TempDir& dir, float special = 1.0f) {
  const std::string path = dir.file("in.gguf");
  auto writer = GgufWriter::create(path, 64);
  writer->set_string("general.name", "small");
  writer->set_u32("general.file_type", 0);
  const uint64_t fits[] = {64, 3}, odd[] = {40, 2}, vector[] = {32};
  cr_assert(writer->add_tensor("fits", 0, fits).has_value());
  cr_assert(writer->add_tensor("odd", 0, odd).has_value());
  cr_assert(writer->add_tensor("vector", 0, vector).has_value());
  std::vector<float> values(192 + 80 + 32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  values[70] = special;
  cr_assert(writer->write(std::as_bytes(std::span(values))).has_value());
  cr_assert(writer->finish().has_value());
  return path;
}

}  // namespace

Test(quantize, matrices_change_and_the_rest_stays) {
  const TempDir dir;
  const std::string in = write_model(dir), out = dir.file("out.gguf");
  const auto report = quantize(in, out, "q8_0");
  cr_assert(report.has_value(), "%s", why(report));
  cr_assert(same(report->size(), 3));
  const QuantizedTensor& fits = (*report)[0];
  cr_assert(fits.name == "fits" && fits.from == "F32" && fits.to == "Q8_0");
  cr_assert(fits.n_elements == 192 && fits.bytes_in == 768 && fits.bytes_out == 204);
  cr_assert(fits.rmse > 0.0005 && fits.rmse < 0.005, "%g", fits.rmse);
  cr_assert((*report)[1].to == "F32" && (*report)[2].to == "F32" && (*report)[1].rmse == 0);

  const auto a = GgufFile::open(in), b = GgufFile::open(out);
  cr_assert(b.has_value(), "%s", why(b));
  cr_assert(same(*b->get_u64("general.file_type"), 7));
  cr_assert(same(*b->get_u64("general.quantization_version"), 2));
  cr_assert(*b->get_string("general.name") == "small");
  cr_assert(same(b->alignment(), 64));
  for (const char* name : {"odd", "vector"}) {
    const auto before = a->data(*a->find_tensor(name)), after = b->data(*b->find_tensor(name));
    cr_assert(std::equal(before.begin(), before.end(), after.begin(), after.end()), "%s", name);
  }
  std::vector<std::byte> expected(204);
  find_format("Q8_0")->encode(
      reinterpret_cast<const float*>(a->data(*a->find_tensor("fits")).data()), expected.data(),
      192);
  const auto blocks = b->data(*b->find_tensor("fits"));
  cr_assert(std::equal(blocks.begin(), blocks.end(), expected.begin(), expected.end()));
}

Test(quantize, every_type_and_number_of_threads) {
  const TempDir dir;
  cr_assert(synthesize("tiny", "F32", dir.file("in")).has_value());
  for (const std::string& type : quantize_types()) {
    const auto one = quantize(dir.file("in"), dir.file("one"), type, 1);
    const auto many = quantize(dir.file("in"), dir.file("many"), type, 3);
    cr_assert(one.has_value() && many.has_value(), "%s%s", why(one), why(many));
    cr_assert(read_file(dir.file("one")) == read_file(dir.file("many")), "%s", type.c_str());
    // The same as making it in that format at once.
    cr_assert(synthesize("tiny", type, dir.file("direct")).has_value());
    const auto a = GgufFile::open(dir.file("one")), b = GgufFile::open(dir.file("direct"));
    for (const GgufTensor& tensor : a->tensors()) {
      const auto x = a->data(tensor), y = b->data(*b->find_tensor(tensor.name));
      cr_assert(std::equal(x.begin(), x.end(), y.begin(), y.end()), "%s %s", type.c_str(),
                tensor.name.c_str());
    }
  }
}

Test(quantize, errors_leave_no_file) {
  const TempDir dir;
  const std::string in = write_model(dir), out = dir.file("out.gguf");
  cr_assert(is_error(quantize(in, out, "Q9"), EINVAL, {"'Q9'", "F32, F16, Q8_0, BF16"}));
  cr_assert(is_error(quantize(in, out, "I64"), EINVAL, {"'I64'"}));
  cr_assert(is_error(quantize(in, in, "Q8_0"), EINVAL, {"same file"}));
  cr_assert(is_error(quantize(dir.file("none"), out, "Q8_0"), ENOENT, {"none"}));
  cr_assert(is_error(quantize(in, "/nonexistent/o", "F16"), ENOENT, {"/nonexistent/o"}));
  const auto cancel = [](uint64_t, uint64_t) { return false; };
  cr_assert(is_error(quantize(in, out, "Q8_0", 1, cancel), ECANCELED, {}));
  cr_assert(same(dir.n_files(), 1));

  write_model(dir, NAN);
  cr_assert(is_error(quantize(in, out, "Q8_0"), EBADMSG, {"'fits'", "value 70 is nan"}));
  write_model(dir, 70000.0f);
  cr_assert(is_error(quantize(in, out, "F16"), ERANGE, {"'fits'", "value 70 is 70000", "F16"}));
  cr_assert(quantize(in, out, "BF16").has_value());
  write_model(dir, 1e9f);
  cr_assert(is_error(quantize(in, out, "Q8_0"), ERANGE, {"'fits'", "Q8_0"}));
}

Test(quantize, progress_counts_up_to_the_total) {
  const TempDir dir;
  const std::string in = write_model(dir);
  uint64_t last = 0, all = 0;
  bool rising = true;
  const auto progress = [&](uint64_t done, uint64_t total) {
    rising = rising && done >= last && done <= total;
    last = done;
    all = total;
    return true;
  };
  cr_assert(quantize(in, dir.file("out"), "F16", 2, progress).has_value());
  cr_assert(rising && last == all && all == (192 + 80 + 32) * 4);
  last = 0;
  cr_assert(synthesize("tiny", "Q8_0", dir.file("s"), 1, progress).has_value());
  cr_assert(rising && last == all);
}

Test(quantize, a_synthetic_model_is_whole) {
  const TempDir dir;
  cr_assert(synthesize("tiny", "Q8_0", dir.file("a")).has_value());
  const auto file = GgufFile::open(dir.file("a"));
  cr_assert(file.has_value(), "%s", why(file));
  cr_assert(*file->get_string("general.architecture") == "llama");
  const auto tokenizer = Tokenizer::from_gguf(*file);
  cr_assert(tokenizer.has_value(), "%s", why(tokenizer));
  cr_assert(same((*tokenizer)->n_vocab(), *file->get_u64("llama.vocab_size")));
  const std::string text = "Any text, na\xc3\xafve or not.";
  cr_assert(*(*tokenizer)->decode((*tokenizer)->encode(text, true)) == text);
  for (const GgufTensor& tensor : file->tensors()) {
    const Format& format = *find_format(tensor.type);
    std::vector<float> values(tensor.n_elements());
    format.decode(file->data(tensor).data(), values.data(), values.size());
    double squares = 0;
    for (const float value : values) squares += static_cast<double>(value) * value;
    const double rms = std::sqrt(squares / static_cast<double>(values.size()));
    cr_assert(rms > 0.01 && rms < 1.5, "%s: %g", tensor.name.c_str(), rms);
  }
  cr_assert(synthesize("tiny", "Q8_0", dir.file("b")).has_value());
  cr_assert(read_file(dir.file("a")) == read_file(dir.file("b")), "same seed, same file");
  cr_assert(synthesize("tiny", "Q8_0", dir.file("c"), 2).has_value());
  cr_assert(read_file(dir.file("a")) != read_file(dir.file("c")));
  cr_assert(is_error(synthesize("7b", "F16", dir.file("d")), EINVAL, {"'7b'", "1b, 0.5b, tiny"}));
  cr_assert(is_error(synthesize("tiny", "x", dir.file("d")), EINVAL, {"'x'"}));
}
