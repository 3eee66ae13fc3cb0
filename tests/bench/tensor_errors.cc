// SPDX-License-Identifier: Apache-2.0
// tensor-errors SOURCE FILE...: for every tensor of SOURCE the root mean square error that it has
// in each FILE, all decoded by one and the same decoder, whoever wrote them. Prints a JSON array.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sluice/gguf.hpp>
#include <string>
#include <vector>

#include "quant/format.h"

namespace {

using namespace sluice;
using Json = nlohmann::ordered_json;
constexpr uint64_t kChunk = 1 << 16;  // values at a time, a multiple of every block

[[noreturn]] void die(const std::string& message) {
  std::fprintf(stderr, "tensor-errors: %s\n", message.c_str());
  std::exit(1);
}

GgufFile open(const char* path) {
  Result<GgufFile> file = GgufFile::open(path);
  if (!file) die(file.error().message);
  return std::move(*file);
}

// Decodes a tensor a piece at a time.
class Reader {
 public:
  Reader(const GgufFile& file, const GgufTensor& tensor)
      : data_(file.data(tensor)), format_(find_format(tensor.type)) {
    if (!format_ || !format_->decode) die(tensor.name + ": expected a format with values");
  }
  const float* read(uint64_t first, uint64_t n) {
    values_.resize(n);
    format_->decode(data_.data() + format_->bytes(first), values_.data(), n);
    return values_.data();
  }

 private:
  std::span<const std::byte> data_;
  const Format* format_;
  std::vector<float> values_;
};

double rmse(Reader& exact, Reader& coded, uint64_t n_values) {
  double sum = 0;
  for (uint64_t first = 0; first < n_values; first += kChunk) {
    const uint64_t n = std::min(kChunk, n_values - first);
    const float *a = exact.read(first, n), *b = coded.read(first, n);
    double part = 0;
    for (uint64_t i = 0; i < n; ++i) part += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    sum += part;
  }
  return std::sqrt(sum / static_cast<double>(n_values));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: tensor-errors SOURCE FILE...\n");
    return 2;
  }
  const GgufFile source = open(argv[1]);
  std::vector<GgufFile> files;
  for (int i = 2; i < argc; ++i) files.push_back(open(argv[i]));
  Json rows = Json::array();
  for (const GgufTensor& tensor : source.tensors()) {
    Json row = {{"name", tensor.name}, {"type", Json::array()}, {"rmse", Json::array()}};
    for (const GgufFile& file : files) {
      const GgufTensor* coded = file.find_tensor(tensor.name);
      if (!coded || coded->shape != tensor.shape) {
        die(file.path() + ": " + tensor.name + ": expected a tensor of the source's shape");
      }
      Reader exact(source, tensor), other(file, *coded);
      row["type"].push_back(coded->type_name);
      row["rmse"].push_back(rmse(exact, other, tensor.n_elements()));
    }
    rows.push_back(row);
  }
  std::printf("%s\n", rows.dump(1).c_str());
  return 0;
}
