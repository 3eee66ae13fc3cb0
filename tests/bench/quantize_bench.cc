// SPDX-License-Identifier: Apache-2.0
// quantize-bench LIBDIR PAIRS [FORMAT...]: how many values a second one thread turns into each
// format, by our encoders and by ggml_quantize_chunk of a stock llama.cpp, in turns, without and
// with an importance for every column; and the squared errors that either leaves. Prints JSON.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "quant/format.h"
#include "tests/bench/stock.h"

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

// Columns are those of a common model; the matrix stays in the second-level cache.
constexpr int64_t kRows = 32, kColumns = 2048, kValues = kRows * kColumns;
// One measurement takes at least this long, so that the clock and a lost slice do not matter.
constexpr double kLeastSeconds = 0.02;

// The shape of trained weights: normal, and a few that are far out.
std::vector<float> some_weights() {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> weights(kValues);
  for (float& w : weights) w = normal(random) * (random() % 200 ? 1.0f : 4.0f);
  return weights;
}

std::vector<float> some_importance() {
  std::mt19937 random(6);
  std::exponential_distribution<float> exponential(1);
  std::vector<float> importance(kColumns);
  for (float& x : importance) x = 0.05f + exponential(random);
  return importance;
}

double values_per_second(const std::function<void()>& encode) {
  int n = 0;
  double seconds = 0;
  const auto start = Clock::now();
  do {
    encode();
    ++n;
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } while (seconds < kLeastSeconds);
  return static_cast<double>(kValues) * n / seconds;
}

// Squared errors of the encoded matrix, each times its column's importance if there is one.
double error(const sluice::Format& format, const std::vector<uint8_t>& blocks,
             const std::vector<float>& weights, const float* importance) {
  std::vector<float> decoded(weights.size());
  format.decode(blocks.data(), decoded.data(), decoded.size());
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double d = double{decoded[i]} - weights[i];
    sum += d * d * (importance ? importance[i % kColumns] : 1.0);
  }
  return sum;
}

class Encoders {
 public:
  explicit Encoders(const char* folder)
      : libraries_(folder, {"libggml-base"}),
        quantize_chunk_(libraries_.call<size_t(int, const float*, void*, int64_t, int64_t, int64_t,
                                               const float*)>("ggml_quantize_chunk")) {}

  Json measure(const sluice::Format& format, bool with_importance, int pairs) const {
    const float* importance = with_importance ? importance_.data() : nullptr;
    std::vector<uint8_t> ours(format.bytes(kValues)), theirs(ours.size());
    const auto encode_ours = [&] {
      const size_t row_bytes = format.bytes(kColumns);
      for (int64_t r = 0; r < kRows; ++r) {
        format.encode(&weights_[r * kColumns], &ours[r * row_bytes], kColumns, importance);
      }
    };
    const auto encode_theirs = [&] {
      const size_t n = quantize_chunk_(static_cast<int>(format.id), weights_.data(), theirs.data(),
                                       0, kRows, kColumns, importance);
      if (n != theirs.size()) peer::die(std::string(format.name) + ": wrote another size");
    };
    encode_theirs();  // warm
    Json of_ours = Json::array(), of_theirs = Json::array();
    for (int pair = 0; pair < pairs; ++pair) {
      of_ours.push_back(values_per_second(encode_ours));
      of_theirs.push_back(values_per_second(encode_theirs));
    }
    return {{"format", format.name},
            {"importance", with_importance},
            {"sluice", of_ours},
            {"stock", of_theirs},
            {"sluice_error", error(format, ours, weights_, importance)},
            {"stock_error", error(format, theirs, weights_, importance)}};
  }

 private:
  peer::Libraries libraries_;
  size_t (*quantize_chunk_)(int, const float*, void*, int64_t, int64_t, int64_t, const float*);
  std::vector<float> weights_ = some_weights(), importance_ = some_importance();
};

int run(int argc, char** argv) {
  const Encoders encoders(argv[1]);
  std::vector<const sluice::Format*> wanted;
  for (int i = 3; i < argc; ++i) {
    wanted.push_back(sluice::find_format(std::string_view(argv[i])));
    if (!wanted.back() || !wanted.back()->encode || wanted.back()->block_size == 1) {
      std::fprintf(stderr, "quantize-bench: %s: expected a format with blocks\n", argv[i]);
      return 2;
    }
  }
  for (const sluice::Format& format : sluice::formats()) {
    if (argc == 3 && format.encode && format.block_size > 1) wanted.push_back(&format);
  }
  Json rows = Json::array();
  for (const sluice::Format* format : wanted) {
    for (const bool importance : {false, true}) {
      rows.push_back(encoders.measure(*format, importance, std::atoi(argv[2])));
    }
  }
  std::printf("%s\n", rows.dump(1).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || std::atoi(argv[2]) < 1) {
    std::fprintf(stderr, "usage: quantize-bench LIBDIR PAIRS [FORMAT...]\n");
    return 2;
  }
  return run(argc, argv);
}
