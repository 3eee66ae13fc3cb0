// SPDX-License-Identifier: Apache-2.0
// Rewriting models in another format, and synthetic models.
#include <cerrno>
#include <cmath>
#include <filesystem>

#include <sluice/engine.hpp>
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
  cr_assert((*report)[1].to == "F16" && (*report)[2].to == "F32" && (*report)[2].rmse == 0);

  const auto a = GgufFile::open(in), b = GgufFile::open(out);
  cr_assert(b.has_value(), "%s", why(b));
  cr_assert(same(*b->get_u64("general.file_type"), 7));
  cr_assert(same(*b->get_u64("general.quantization_version"), 2));
  cr_assert(*b->get_string("general.name") == "small");
  cr_assert(same(b->alignment(), 64));
  const auto before = a->data(*a->find_tensor("vector")),
             after = b->data(*b->find_tensor("vector"));
  cr_assert(std::equal(before.begin(), before.end(), after.begin(), after.end()));
  std::vector<std::byte> expected(204);
  find_format("Q8_0")->encode(
      reinterpret_cast<const float*>(a->data(*a->find_tensor("fits")).data()), expected.data(), 192,
      nullptr);
  const auto blocks = b->data(*b->find_tensor("fits"));
  cr_assert(std::equal(blocks.begin(), blocks.end(), expected.begin(), expected.end()));
}

Test(quantize, every_type_and_number_of_threads) {
  const TempDir dir;
  cr_assert(synthesize("tiny", "F32", dir.file("in")).has_value());
  for (const std::string& type : quantize_types()) {
    QuantizeOptions options{"COPY", {{"(attn|ffn)_[a-z]+[.]|token_embd", type}}, "", 1};
    options.overrides.insert(options.overrides.begin(), {"_norm", "F32"});
    const auto one = quantize(dir.file("in"), dir.file("one"), options);
    options.n_threads = 3;
    const auto many = quantize(dir.file("in"), dir.file("many"), options);
    cr_assert(one.has_value() && many.has_value(), "%s%s", why(one), why(many));
    cr_assert(read_file(dir.file("one")) == read_file(dir.file("many")), "%s", type.c_str());
    // The same as making it in that format at once.
    const auto direct = synthesize("tiny", type, dir.file("direct"));
    cr_assert(direct.has_value(), "%s", why(direct));
    const auto a = GgufFile::open(dir.file("one")), b = GgufFile::open(dir.file("direct"));
    for (const GgufTensor& tensor : a->tensors()) {
      const auto x = a->data(tensor), y = b->data(*b->find_tensor(tensor.name));
      cr_assert(std::equal(x.begin(), x.end(), y.begin(), y.end()), "%s %s", type.c_str(),
                tensor.name.c_str());
    }
  }
}

namespace {

// A llama of n layers whose matrices are 256 x 4, but for what the rules ask.
std::string write_llama(const TempDir& dir, uint32_t n_layers, uint32_t n_kv_heads, bool tied) {
  const std::string path = dir.file("llama.gguf");
  auto writer = GgufWriter::create(path, 32);
  writer->set_string("general.architecture", "llama");
  writer->set_u32("llama.block_count", n_layers);
  writer->set_u32("llama.attention.head_count", 8);
  writer->set_u32("llama.attention.head_count_kv", n_kv_heads);
  const uint64_t matrix[] = {256, 4}, vector[] = {256};
  uint32_t n = 0;
  const auto add = [&](const std::string& name, std::span<const uint64_t> shape) {
    cr_assert(writer->add_tensor(name + ".weight", 0, shape).has_value());
    n += shape.size() == 2 ? 1024 : 256;
  };
  add("token_embd", matrix);
  for (uint32_t i = 0; i < n_layers; ++i) {
    const std::string layer = fmt::format("blk.{}.", i);
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up",
                             "ffn_down", "attn_qkv"}) {
      add(layer + part, matrix);
    }
    add(layer + "attn_norm", vector);
  }
  add("output_norm", vector);
  if (!tied) add("output", matrix);
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = std::sin(static_cast<float>(i));
  cr_assert(writer->write(std::as_bytes(std::span(values))).has_value());
  cr_assert(writer->finish().has_value());
  return path;
}

// "Q4_K*14 Q6_K*2" for the matrices whose name holds `part`, in order.
std::string chosen(const std::vector<QuantizedTensor>& tensors, const std::string& part) {
  std::string out, last;
  int n = 0;
  const auto flush = [&] {
    if (n) out += fmt::format("{}{}*{}", out.empty() ? "" : " ", last, n);
  };
  for (const QuantizedTensor& t : tensors) {
    if (t.name.find(part) == std::string::npos) continue;
    if (t.to != last) flush(), n = 0, last = t.to;
    ++n;
  }
  flush();
  return out;
}

}  // namespace

// The choices of stock llama.cpp for these shapes; tests/e2e/test_peer.py asks itself.
Test(quantize, mixes_choose_by_tensor) {
  struct Case {
    const char *mix, *part, *expected;
  };
  const Case cases[] = {
      {"Q2_K", "attn_v", "Q4_K*16"},
      {"Q2_K", "ffn_down", "Q3_K*16"},
      {"Q2_K", "attn_output", "Q3_K*16"},
      {"Q2_K", "attn_q.", "Q2_K*16"},
      {"Q2_K", "token_embd", "Q2_K*1"},
      {"Q2_K", "output.weight", "Q3_K*16 Q6_K*1"},
      {"Q3_K_S", "attn_v", "Q3_K*16"},
      {"Q3_K_M", "attn_v", "Q5_K*2 Q4_K*14"},
      {"Q3_K", "ffn_down", "Q5_K*1 Q4_K*15"},
      {"Q3_K_M", "attn_qkv", "Q5_K*2 Q4_K*14"},
      {"Q4_K_S", "attn_qkv", "Q5_K*4 Q4_K*12"},
      {"Q3_K_L", "ffn_down", "Q5_K*16"},
      {"Q3_K_L", "attn_output", "Q5_K*16"},
      {"Q4_K_S", "attn_v", "Q5_K*4 Q4_K*12"},
      {"Q4_K_S", "ffn_down", "Q5_K*2 Q4_K*14"},
      {"Q4_K_M", "attn_v", "Q6_K*2 Q4_K*2 Q6_K*1 Q4_K*2 Q6_K*1 Q4_K*2 Q6_K*1 Q4_K*2 Q6_K*3"},
      {"q4_k", "ffn_up", "Q4_K*16"},
      {"Q5_K_M", "ffn_down", "Q6_K*2 Q5_K*2 Q6_K*1 Q5_K*2 Q6_K*1 Q5_K*2 Q6_K*1 Q5_K*2 Q6_K*3"},
      {"Q5_K_S", "ffn_down", "Q5_K*16"},
      {"Q6_K", "attn_v", "Q6_K*16"},
      {"Q4_0", "ffn_down", "Q4_0*16"},
      {"Q4_0", "output.weight", "Q4_0*16 Q6_K*1"},
      {"Q8_0", "output.weight", "Q8_0*17"},
      {"F16", "output.weight", "F16*17"},
      {"COPY", "", "F32*147"},
  };
  const TempDir dir;
  const std::string in = write_llama(dir, 16, 2, false);
  for (const Case& c : cases) {
    const auto report = quantize(in, dir.file("out"), c.mix);
    cr_assert(report.has_value(), "%s", why(report));
    cr_expect(same(chosen(*report, c.part), std::string(c.expected)), "%s %s", c.mix, c.part);
    cr_expect(c.mix == std::string_view("COPY") || chosen(*report, "norm") == "F32*17");
  }
  const std::string narrow = write_llama(dir, 4, 8, true);
  const auto report = quantize(narrow, dir.file("out"), "Q2_K");
  cr_expect(same(chosen(*report, "attn_v"), std::string("Q3_K*4")));
  cr_expect(same(chosen(*report, "token_embd"), std::string("Q6_K*1")), "tied");
}

Test(quantize, file_types_are_those_of_stock) {
  const TempDir dir;
  const std::string in = write_llama(dir, 1, 8, true);
  const std::pair<const char*, int> types[] = {
      {"F32", 0},     {"F16", 1},     {"Q4_0", 2},    {"Q4_1", 3},    {"Q8_0", 7},
      {"Q5_0", 8},    {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K_S", 11}, {"Q3_K_M", 12},
      {"Q3_K_L", 13}, {"Q4_K_S", 14}, {"Q4_K_M", 15}, {"Q5_K_S", 16}, {"Q5_K_M", 17},
      {"Q6_K", 18},   {"BF16", 32}};
  cr_assert(same(std::size(types) + 1, quantize_mixes().size()), "and COPY");
  for (const auto& [name, number] : types) {
    cr_assert(quantize(in, dir.file("out"), name).has_value());
    cr_expect(same(*GgufFile::open(dir.file("out"))->get_u64("general.file_type"), number));
  }
  cr_assert(quantize(in, dir.file("out"), "COPY").has_value());
  cr_expect(GgufFile::open(dir.file("out"))->find("general.file_type") == nullptr);
}

Test(quantize, rows_that_fit_no_block_get_the_nearest_format) {
  const TempDir dir;
  cr_assert(synthesize("tiny", "F32", dir.file("in")).has_value());  // rows of 96 and 160
  const std::pair<const char*, const char*> cases[] = {{"Q2_K", "Q4_0"},   {"Q3_K_S", "Q4_0"},
                                                       {"Q4_K_S", "Q5_0"}, {"Q5_K_S", "Q5_1"},
                                                       {"Q6_K", "Q8_0"},   {"Q4_1", "Q4_1"}};
  for (const auto& [mix, expected] : cases) {
    const auto report = quantize(dir.file("in"), dir.file("out"), mix);
    cr_expect(same(chosen(*report, "attn_q"), fmt::format("{}*2", expected)));
    cr_expect(same(chosen(*report, "token_embd"), std::string("Q8_0*1")), "Q6_K does not fit");
  }
}

Test(quantize, overrides_come_first) {
  const TempDir dir;
  const std::string in = write_llama(dir, 2, 8, true);
  const QuantizeOptions options{
      "Q4_0", {{"blk[.]1[.].*_v", "q8_0"}, {"attn_v", "F16"}, {"token", "Q5_K"}}, "", 1};
  const auto report = quantize(in, dir.file("out"), options);
  cr_assert(report.has_value(), "%s", why(report));
  cr_expect(same(chosen(*report, "attn_v"), std::string("F16*1 Q8_0*1")));
  cr_expect(same(chosen(*report, "token_embd"), std::string("Q5_K*1")));
  cr_expect(same(chosen(*report, "attn_k"), std::string("Q4_0*2")));
  QuantizeOptions bad{"Q4_0", {{"(", "Q8_0"}}, "", 1};
  cr_expect(is_error(quantize(in, dir.file("o"), bad), EINVAL, {"override (=Q8_0"}));
  bad.overrides = {{"x", "Q4_K_M"}};
  cr_expect(is_error(quantize(in, dir.file("o"), bad), EINVAL, {"Q4_K_M", "unknown type"}));
}

namespace {

// An importance matrix as llama.cpp writes it: the columns of attn_q, the first hundredfold.
void write_importance(const std::string& path, size_t n, float first, uint32_t n_counts = 1) {
  auto writer = GgufWriter::create(path, 32);
  writer->set_string("general.type", "imatrix");
  const uint64_t sums[] = {n}, counts[] = {n_counts};
  cr_assert(writer->add_tensor("blk.0.attn_q.weight.in_sum2", 0, sums).has_value());
  cr_assert(writer->add_tensor("blk.0.attn_q.weight.counts", 0, counts).has_value());
  std::vector<float> values(n, 10.0f);
  values[0] = first;
  cr_assert(writer->write(std::as_bytes(std::span(values))).has_value());
  const size_t padding = (32 - n * 4 % 32) % 32;
  cr_assert(writer->write(std::vector<std::byte>(padding)).has_value());
  const std::vector<float> count(n_counts, 10.0f);
  cr_assert(writer->write(std::as_bytes(std::span(count))).has_value());
  cr_assert(writer->finish().has_value());
}

// Squared error of column 0 of blk.0.attn_q.
double first_column_error(const std::string& in, const std::string& out) {
  const auto a = GgufFile::open(in), b = GgufFile::open(out);
  const GgufTensor& x = *a->find_tensor("blk.0.attn_q.weight");
  const GgufTensor& y = *b->find_tensor("blk.0.attn_q.weight");
  std::vector<float> values(1024), back(1024);
  find_format(x.type)->decode(a->data(x).data(), values.data(), 1024);
  find_format(y.type)->decode(b->data(y).data(), back.data(), 1024);
  double sum = 0;
  for (size_t i = 0; i < 1024; i += 256) {
    sum += (static_cast<double>(back[i]) - values[i]) * (static_cast<double>(back[i]) - values[i]);
  }
  return sum;
}

}  // namespace

Test(quantize, importance_weighs_columns) {
  const TempDir dir;
  const std::string in = write_llama(dir, 8, 8, true), im = dir.file("im"), out = dir.file("out");
  write_importance(im, 256, 1e6f);
  for (const char* mix : {"Q2_K", "Q3_K_S", "Q4_K_S", "Q6_K", "Q4_0", "Q5_1"}) {
    cr_assert(quantize(in, dir.file("plain"), QuantizeOptions{mix, {}, "", 1}).has_value());
    const auto report = quantize(in, out, QuantizeOptions{mix, {}, im, 1});
    cr_assert(report.has_value(), "%s", why(report));
    cr_expect(first_column_error(in, out) < 0.7 * first_column_error(in, dir.file("plain")), "%s",
              mix);
    cr_expect(same(chosen(*report, "ffn_down"), chosen(*report, "ffn_down")));
    if (mix == std::string_view("Q4_0")) {
      cr_expect(same(chosen(*report, "ffn_down"), std::string("Q4_1*1 Q4_0*7")));
    }
  }
  const auto with = [&](const std::string& path) {
    return quantize(in, out, QuantizeOptions{"Q4_K", {}, path, 1});
  };
  cr_expect(is_error(with(in), EBADMSG, {"no importance matrix"}));
  cr_expect(is_error(with(dir.file("none")), ENOENT, {"none"}));
  write_importance(im, 128, 1);
  cr_expect(is_error(with(im), EINVAL, {"attn_q", "256 columns", "128"}));
  write_importance(im, 256, NAN);
  cr_expect(is_error(with(im), EBADMSG, {"in_sum2", "nan"}));
  write_importance(im, 256, 1, 2);
  cr_expect(is_error(with(im), EBADMSG, {"one count"}));
}

Test(quantize, errors_leave_no_file) {
  const TempDir dir;
  const std::string in = write_model(dir), out = dir.file("out.gguf");
  cr_assert(
      is_error(quantize(in, out, "Q9"), EINVAL, {"'Q9'", "F32, F16, BF16, Q8_0, Q6_K, Q5_K_M"}));
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

// Found in one of several chunks, while other threads are at work on those behind it.
Test(quantize, errors_name_the_value_in_a_large_tensor) {
  const TempDir dir;
  const std::string in = dir.file("in.gguf"), out = dir.file("out.gguf");
  const uint64_t shape[] = {1024, 1024};
  std::vector<float> values(1024 * 1024, 0.5f);
  values[500000] = -INFINITY;
  auto writer = GgufWriter::create(in);
  cr_assert(writer->add_tensor("large", 0, shape).has_value());
  cr_assert(writer->write(std::as_bytes(std::span(values))).has_value());
  cr_assert(writer->finish().has_value());
  for (const unsigned n_threads : {1, 2, 5}) {
    cr_assert(is_error(quantize(in, out, "Q4_K_M", n_threads), EBADMSG,
                       {"'large'", "value 500000 is -inf"}));
    cr_assert(!std::filesystem::exists(out));
  }
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

namespace {

std::vector<float> tensor_values(const GgufFile& file, const std::string& name) {
  const GgufTensor& t = *file.find_tensor(name);
  std::vector<float> out(t.n_elements());
  find_format(t.type)->decode(file.data(t).data(), out.data(), out.size());
  return out;
}

// Squares of what the first layer's attention is given: the normed embeddings of these tokens.
std::vector<double> expected_squares(const GgufFile& model, std::span<const int32_t> ids) {
  const auto table = tensor_values(model, "token_embd.weight");
  const auto norm = tensor_values(model, "blk.0.attn_norm.weight");
  const double epsilon = *model.get_f64("llama.attention.layer_norm_rms_epsilon");
  std::vector<double> sums(norm.size());
  for (const int32_t id : ids) {
    const float* x = table.data() + static_cast<size_t>(id) * norm.size();
    double square = 0;
    for (size_t i = 0; i < norm.size(); ++i) square += double{x[i]} * x[i];
    const double scale = 1 / std::sqrt(square / static_cast<double>(norm.size()) + epsilon);
    for (size_t i = 0; i < norm.size(); ++i) sums[i] += std::pow(x[i] * scale * norm[i], 2);
  }
  return sums;
}

}  // namespace

Test(quantize, importance_is_collected) {
  const TempDir dir;
  const std::string path = dir.file("m.gguf"), out = dir.file("im"), again = dir.file("again");
  for (const char* type : {"F16", "Q8_0"}) {
    cr_assert(synthesize("tiny", type, path).has_value());
    const auto model = Model::load(path);
    cr_assert(model.has_value(), "%s", why(model));
    std::string text;
    for (int i = 0; i < 200; ++i) text += static_cast<char>('a' + i * 7 % 26);
    ImportanceOptions options;
    options.chunk = 32;
    options.max_chunks = 3;
    options.n_threads = 2;
    const auto report = collect_importance(*model, text, out, options);
    cr_assert(report.has_value(), "%s", why(report));
    cr_expect(same(report->n_chunks, 3u) && same(report->n_tokens, 96u));
    const auto file = GgufFile::open(out), weights = GgufFile::open(path);
    cr_assert(file && weights);
    const auto ids = (*model)->tokenizer()->encode(text, true);
    std::vector<int32_t> used(ids.begin(), ids.begin() + 96);
    used[32] = used[64] = ids[0];  // each chunk begins anew
    const auto expected = expected_squares(*weights, used);
    const auto sums = tensor_values(*file, "blk.0.attn_k.weight.in_sum2");
    cr_assert(same(sums.size(), expected.size()));
    for (size_t i = 0; i < sums.size(); ++i) {
      cr_expect(std::fabs(sums[i] - expected[i]) <= 1e-4 * expected[i], "%s: column %zu", type, i);
    }
    cr_expect(same(tensor_values(*file, "blk.0.attn_k.weight.counts")[0], 96.0f));
    cr_expect(file->find_tensor("output.weight.in_sum2") == nullptr);
    // The bits do not depend on threads and instruction set, and quantize() takes the file.
    options.n_threads = 1;
    options.isa = "scalar";
    cr_assert(collect_importance(*model, text, again, options).has_value());
    cr_expect(same(test::read_file(again), test::read_file(out)));
    cr_expect(quantize(path, dir.file("q"), QuantizeOptions{"Q4_0", {}, out, 1}).has_value());
    options.output = true;
    cr_assert(collect_importance(*model, text, again, options).has_value());
    cr_expect(same(report->n_tensors + 1, GgufFile::open(again)->tensors().size() / 2));
    options.chunk = 1000;
    cr_expect(is_error(collect_importance(*model, text, out, options), EINVAL, {"1000"}));
    options.chunk = 1;
    cr_expect(is_error(collect_importance(*model, text, out, options), EINVAL, {"chunks of 1"}));
  }
}
