// SPDX-License-Identifier: Apache-2.0
// Rewrites a GGUF file with its matrices in another format. Everything else is kept as it is;
// general.file_type and general.quantization_version follow, with llama.cpp's numbers.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "model/tensor_stream.h"
#include "quant/format.h"

namespace sluice {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of ggml's block layouts

bool same_file(const std::string& a, const std::string& b) {
  struct stat first, second;
  return a == b || (stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
                    first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

// The format that a tensor gets; its own where it is no matrix or its rows do not fit.
const Format& choose_format(const GgufTensor& tensor, const Format& wanted) {
  const Format& own = *find_format(tensor.type);
  uint32_t n_dims = 0;  // a vector written with rank 2 is still a vector
  for (const uint64_t dim : tensor.shape) n_dims += dim > 1;
  if (n_dims < 2 || !own.decode || tensor.shape[0] % wanted.block_size != 0) return own;
  return wanted;
}

Result<QuantizedTensor> rewrite(const GgufFile& in, const GgufTensor& tensor, const Format& to,
                                TensorStream& stream) {
  const Format& from = *find_format(tensor.type);
  const auto bytes = in.data(tensor);
  QuantizedTensor done;
  done.name = tensor.name;
  done.from = from.name;
  done.to = to.name;
  done.n_elements = tensor.n_elements();
  done.bytes_in = tensor.n_bytes;
  done.bytes_out = to.bytes(tensor.n_elements());
  if (to.id == from.id) {
    SLUICE_CHECK(stream.copy(bytes));
    return done;
  }
  const auto fill = [&](uint64_t first, std::span<float> values) {
    from.decode(bytes.data() + from.bytes(first), values.data(), values.size());
  };
  const std::string subject = fmt::format("{}: tensor '{}'", in.path(), tensor.name);
  SLUICE_TRY(const double squared_error,
             stream.encode(to, done.n_elements, tensor.n_bytes, true, subject, fill));
  done.rmse = std::sqrt(squared_error / static_cast<double>(done.n_elements));
  return done;
}

}  // namespace

std::vector<std::string> quantize_types() {
  std::vector<std::string> names;
  for (const Format& format : formats()) {
    if (format.encode) names.emplace_back(format.name);
  }
  return names;
}

Result<std::vector<QuantizedTensor>> quantize(const std::string& in_path, const std::string& out,
                                              std::string_view type, unsigned n_threads,
                                              const Progress& progress) {
  const Format* wanted = find_format(type);
  if (!wanted || !wanted->encode) {
    return fail(EINVAL, fmt::format("unknown type '{}', expected one of {}", type,
                                    fmt::join(quantize_types(), ", ")));
  }
  if (same_file(in_path, out)) {
    return fail(EINVAL, fmt::format("{}: input and output are the same file", out));
  }
  SLUICE_TRY(const GgufFile in, GgufFile::open(in_path));
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(out, static_cast<uint32_t>(in.alignment())));
  for (const auto& [key, value] : in.metadata()) writer.set(key, value);
  writer.set_u32("general.file_type", static_cast<uint32_t>(wanted->file_type));
  writer.set_u32("general.quantization_version", kQuantizationVersion);

  uint64_t total = 0;
  for (const GgufTensor& tensor : in.tensors()) {
    total += tensor.n_bytes;
    SLUICE_CHECK(writer.add_tensor(tensor.name, choose_format(tensor, *wanted).id,
                                   std::span(tensor.shape).first(tensor.rank)));
  }
  TensorStream stream(writer, n_threads, total, progress);
  std::vector<QuantizedTensor> done;
  for (const GgufTensor& tensor : in.tensors()) {
    SLUICE_TRY(QuantizedTensor one, rewrite(in, tensor, choose_format(tensor, *wanted), stream));
    done.push_back(std::move(one));
  }
  SLUICE_CHECK(writer.finish());
  return done;
}

}  // namespace sluice
