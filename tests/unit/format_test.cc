// SPDX-License-Identifier: Apache-2.0
// The format table, the conversions of 16-bit floats, and every format's encoder and decoder.
#include "quant/format.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "core/f16.h"
#include "guarded.h"
#include "quant/search.h"
#include "support.h"

using namespace sluice;
using sluice::test::Guarded;
using Side = Guarded::Side;

TestSuite(format, .timeout = 60);

namespace {

// The value of binary16 bits by the definition, without the code under test.
double f16_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double magnitude =
      exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

Test(format, every_f16_value_survives) {
  int bad = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = f16_to_f32(bits);
    if ((i & 0x7c00) == 0x7c00) {
      const bool nan = (i & 0x3ff) != 0;
      if (std::isnan(value) != nan || (!nan && !std::isinf(value))) ++bad;
      if (!nan && f32_to_f16(value) != bits) ++bad;
    } else if (value != f16_value(bits) || f32_to_f16(value) != bits) {
      ++bad;
    }
  }
  cr_assert(same(bad, 0));
}

Test(format, f16_rounds_to_nearest_even) {
  int bad = 0;
  for (uint32_t i = 0; i < 0x7bff; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const double middle = (f16_value(low) + f16_value(high)) / 2;  // exact in f32 as well
    const auto tie = static_cast<float>(middle);
    const uint16_t even = i % 2 ? high : low;
    if (f32_to_f16(tie) != even || f32_to_f16(-tie) != (even | 0x8000)) ++bad;
    if (f32_to_f16(std::nextafter(tie, 0.0f)) != low) ++bad;
    if (f32_to_f16(std::nextafter(tie, 1e9f)) != high) ++bad;
  }
  cr_assert(same(bad, 0));
  cr_assert(same(f32_to_f16(65519.0f), 0x7bff));
  cr_assert(same(f32_to_f16(65520.0f), 0x7c00), "rounds past the largest value");
  cr_assert(same(f32_to_f16(1e30f), 0x7c00));
  cr_assert(same(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00));
  const uint16_t nan = f32_to_f16(std::bit_cast<float>(0x7f800001u));
  cr_assert((nan & 0x7c00) == 0x7c00 && (nan & 0x3ff) != 0, "NaN became 0x%04x", nan);
}

Test(format, bf16_rounds_and_keeps_nan) {
  int bad = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = bf16_to_f32(bits);
    if (std::bit_cast<uint32_t>(value) != i << 16) ++bad;
    const bool nan = (i & 0x7f80) == 0x7f80 && (i & 0x7f) != 0;
    if (nan != std::isnan(bf16_to_f32(f32_to_bf16(value)))) ++bad;
    if (!nan && f32_to_bf16(value) != bits) ++bad;
  }
  cr_assert(same(bad, 0));
  cr_assert(same(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80), "tie to even, down");
  cr_assert(same(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82), "tie to even, up");
  cr_assert(same(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81));
  cr_assert(same(f32_to_bf16(std::bit_cast<float>(0x7f7fffffu)), 0x7f80), "overflows");
  cr_assert(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

Test(format, the_table_is_consistent) {
  for (const Format& format : formats()) {
    cr_assert(find_format(format.id) == &format, "%s: its number is used twice", format.name);
    cr_assert(find_format(std::string_view(format.name)) == &format);
    cr_assert(format.block_size > 0 && format.block_bytes > 0);
    cr_assert((format.decode == nullptr) == (format.encode == nullptr));
    cr_assert((format.file_type >= 0) == (format.encode != nullptr), "%s", format.name);
    cr_assert(same(format.bytes(format.block_size * 3), format.block_bytes * 3));
  }
  cr_assert(find_format("q8_0") == find_format(8u), "case does not matter");
  cr_assert(find_format("Q8") == nullptr);
  cr_assert(find_format(4u) == nullptr);
}

namespace {

// SplitMix64 over a counter (Steele, Lea and Flood, 2014), as what made tests/data/ used it.
uint64_t hash(uint64_t v) {
  v += 0x9e3779b97f4a7c15;
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
  v = (v ^ v >> 27) * 0x94d049bb133111eb;
  return v ^ v >> 31;
}

// Bell-shaped, with a standard deviation of about 0.036.
float bell(uint64_t i) {
  float sum = 0;
  for (uint64_t k = 0; k < 4; ++k) {
    sum += static_cast<float>(static_cast<int>(hash(i * 4 + k) >> 48) - 32768);
  }
  return sum * 0x1p-20f;
}

float some_weight(uint64_t i) {
  return 0.25f + static_cast<float>(hash(i ^ 0x5555) >> 56) * 0x1p-5f;
}

double weighted_error(const Format& format, const std::byte* blocks, const std::vector<float>& x,
                      const float* w) {
  std::vector<float> decoded(x.size());
  format.decode(blocks, decoded.data(), x.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double rest = static_cast<double>(decoded[i]) - x[i];
    sum += (w ? w[i] : 1.0) * rest * rest;
  }
  return sum;
}

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

}  // namespace

// Blocks of arbitrary bits and what ggml's dequantize_row_* made of them, to the bit.
Test(format, decoding_equals_ggml) {
  const auto cases = test::read_json("tests/data/quantized-blocks.json");
  cr_assert(same(cases.size(), 10));
  for (const auto& one : cases) {
    const Format& format = *find_format(one["format"].get<std::string>());
    const auto bytes = from_hex(one["blocks"]);
    const std::string expected = one["values"];
    const size_t n = expected.size() / 8;
    cr_assert(same(bytes.size(), format.bytes(n)));
    for (const Side side : {Side::kBack, Side::kFront}) {
      const Guarded blocks(bytes.size(), side), values(n * sizeof(float), side);
      std::memcpy(blocks.bytes(), bytes.data(), bytes.size());
      format.decode(blocks.bytes(), values.floats(), n);
      for (size_t i = 0; i < n; ++i) {
        const auto bits = static_cast<uint32_t>(std::stoul(expected.substr(i * 8, 8), nullptr, 16));
        const float value = values.floats()[i];
        const bool equal = std::isnan(std::bit_cast<float>(bits))
                               ? std::isnan(value)
                               : std::bit_cast<uint32_t>(value) == bits;
        cr_assert(equal, "%s: value %zu is %a", format.name, i, static_cast<double>(value));
      }
    }
  }
}

// The same values, encoded by ggml_quantize_chunk: never a larger error, and the same bytes where
// both choose the same way.
Test(format, encoding_is_no_worse_than_ggml) {
  const size_t n = 65536;
  std::vector<float> x(n), w(n);
  for (size_t i = 0; i < n; ++i) x[i] = bell(i), w[i] = some_weight(i % 1024);
  for (const auto& one : test::read_json("tests/data/quantized-blocks.json")) {
    const Format& format = *find_format(one["format"].get<std::string>());
    std::vector<std::byte> blocks(format.bytes(n));
    format.encode(x.data(), blocks.data(), n, nullptr);
    const double error = weighted_error(format, blocks.data(), x, nullptr);
    cr_expect(error <= one["error"].get<double>() * (1 + 1e-8), "%s: %g", format.name, error);
    cr_expect(error > one["error"].get<double>() * 0.5, "%s: %g", format.name, error);
    if (format.block_size == 32) {
      uint64_t fnv = 0xcbf29ce484222325;
      for (const std::byte b : blocks) fnv = (fnv ^ static_cast<uint64_t>(b)) * 0x100000001b3;
      cr_expect(same(fmt::format("{:016x}", fnv), one["fnv1a"].get<std::string>()));
    }
    format.encode(x.data(), blocks.data(), n, w.data());
    const double weighted = weighted_error(format, blocks.data(), x, w.data());
    const double theirs = one["weighted_error"].get<double>() * (1 + 1e-8);
    cr_expect(weighted <= theirs, "%s: %g", format.name, weighted);
  }
}

// A weight of nothing leaves a value to chance, a large one pulls the codes towards it.
Test(format, importance_counts) {
  for (const Format& format : formats()) {
    if (!format.encode || format.block_size == 1 || format.id == 8) continue;
    const size_t n = 256 * 8;
    std::vector<float> x(n), w(n);
    for (size_t i = 0; i < n; ++i) x[i] = bell(i), w[i] = i % 4 == 0 ? 100.0f : 0.01f;
    std::vector<std::byte> plain(format.bytes(n)), weighted(format.bytes(n));
    format.encode(x.data(), plain.data(), n, nullptr);
    format.encode(x.data(), weighted.data(), n, w.data());
    cr_expect(weighted_error(format, weighted.data(), x, w.data()) <
                  0.8 * weighted_error(format, plain.data(), x, w.data()),
              "%s", format.name);
    std::fill(w.begin(), w.end(), 0.0f);
    format.encode(x.data(), weighted.data(), n, w.data());
    cr_expect(std::isfinite(weighted_error(format, weighted.data(), x, nullptr)));
  }
}

// Encoding is a function of the block alone: any alignment, any count, unmapped pages at both ends.
Test(format, encoding_stays_within_its_blocks) {
  for (const Format& format : formats()) {
    if (!format.encode) continue;
    for (const size_t n_blocks : {0, 1, 2, 7}) {
      const size_t n = n_blocks * format.block_size;
      for (const Side side : {Side::kBack, Side::kFront}) {
        const Guarded x(n * sizeof(float), side), w(n * sizeof(float), side);
        const Guarded blocks(format.bytes(n), side);
        for (size_t i = 0; i < n; ++i) x.floats()[i] = bell(i), w.floats()[i] = 1;
        format.encode(x.floats(), blocks.bytes(), n, w.floats());
        format.encode(x.floats(), blocks.bytes(), n, nullptr);
        for (size_t b = 0; b < n_blocks; ++b) {
          std::vector<std::byte> alone(format.block_bytes + 1);
          std::vector<float> values(x.floats() + b * format.block_size,
                                    x.floats() + (b + 1) * format.block_size);
          format.encode(values.data(), alone.data() + 1, format.block_size, nullptr);
          cr_assert(std::memcmp(alone.data() + 1, blocks.bytes() + b * format.block_bytes,
                                format.block_bytes) == 0,
                    "%s: block %zu", format.name, b);
        }
      }
    }
  }
}

// Values whose codes are exact are kept, whatever the format: zeros, and a constant of the grid.
Test(format, easy_values_survive) {
  for (const Format& format : formats()) {
    if (!format.encode) continue;
    std::vector<float> x(256, 0.0f), back(256);
    std::vector<std::byte> blocks(format.bytes(256));
    for (const float constant : {0.0f, -1.0f, 1.0f}) {
      std::fill(x.begin(), x.end(), constant);
      format.encode(x.data(), blocks.data(), 256, nullptr);
      format.decode(blocks.data(), back.data(), 256);
      for (const float value : back) {
        cr_assert(std::fabs(value - constant) < 0.002f, "%s: %g became %g", format.name,
                  static_cast<double>(constant), static_cast<double>(value));
      }
    }
  }
}

// Whatever comes in, encoders end and stay within the block.
Test(format, encoders_take_values_that_are_no_numbers) {
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(),
                       3e38f,
                       -3e38f,
                       1e-45f,
                       1e-38f};
  for (const Format& format : formats()) {
    if (!format.encode) continue;
    for (const float special : odd) {
      const Guarded x(256 * sizeof(float)), w(256 * sizeof(float)), blocks(format.bytes(256));
      std::vector<float> back(256);
      for (size_t i = 0; i < 256; ++i) x.floats()[i] = bell(i), w.floats()[i] = 1;
      for (const size_t at : {0, 17, 255}) x.floats()[at] = special;
      for (const float* weights :
           {static_cast<const float*>(nullptr), static_cast<const float*>(w.floats())}) {
        format.encode(x.floats(), blocks.bytes(), 256, weights);
        format.decode(blocks.bytes(), back.data(), 256);
      }
      std::fill(x.floats(), x.floats() + 256, special);
      format.encode(x.floats(), blocks.bytes(), 256, nullptr);
      w.floats()[3] = special;
      format.encode(x.floats(), blocks.bytes(), 256, w.floats());
    }
  }
}

namespace {

// What the searches make of some groups, byte by byte.
struct SearchResults {
  AffineFit affine{};
  AffinePlace affine_place{};
  SymmetricFit symmetric{};
  SymmetricPlace symmetric_place{};
  int8_t codes[3][512] = {};
  float low = 0, high = 0;
};

SearchResults search_with(const Search& s, const std::vector<float>& x, const float* w, int group) {
  SearchResults r;
  Batch batch;
  batch.take(x.data(), w, 14, group);  // two are left empty
  s.fit_affine(batch, 15, r.affine);
  for (int i = 0; i < kBatch; ++i) r.affine_place.d[i] = r.affine_place.dmin[i] = 1e-3f;
  s.place_affine(batch, 15, 63, r.affine, r.affine_place);
  s.fit_symmetric(batch, 4, r.symmetric);
  for (float& d : r.symmetric_place.d) d = -1e-3f;
  s.place_symmetric(batch, 4, 32, r.symmetric, r.symmetric_place);
  const int n = 16 * group;
  s.codes_nearest(x.data(), n, -4, 3, 80.0f, 0.01f, r.codes[0]);
  s.codes_up(x.data(), n, 15, 100.0f, -0.05f, 0.25f, r.codes[1]);
  s.codes_away(x.data(), n, 1500.0f, r.codes[2]);
  s.extremes(x.data(), n, &r.low, &r.high);
  return r;
}

}  // namespace

// Files must not depend on the machine that made them.
Test(format, searches_give_the_same_bits_on_every_instruction_set) {
  const auto builds = search_builds();
  for (const int group : {16, 32}) {
    for (int round = 0; round < 50; ++round) {
      const auto n = static_cast<size_t>(16 * group);
      std::vector<float> x(n), w(n);
      for (size_t i = 0; i < n; ++i) {
        x[i] = bell(i + static_cast<size_t>(round) * n), w[i] = some_weight(i);
        if (round % 5 == 1) x[i] = std::round(x[i] * 64) / 64;  // ties
        if (round % 5 == 2 && i % 16 < 8) x[i] = 0;
      }
      for (const float* weights : {static_cast<const float*>(nullptr), std::as_const(w).data()}) {
        const SearchResults expected = search_with(*builds[0].search, x, weights, group);
        cr_assert(expected.affine.scale[3] > 0 && expected.symmetric.scale[3] != 0);
        for (const SearchBuild& build : builds) {
          if (!build.usable) continue;
          const SearchResults got = search_with(*build.search, x, weights, group);
          cr_assert(std::memcmp(&got, &expected, sizeof(got)) == 0, "%s, groups of %d, round %d",
                    build.name, group, round);
        }
      }
    }
  }
}

namespace {

struct Q8Block {
  uint16_t d;
  int8_t q[32];
};

Q8Block encode_q8(const std::vector<float>& values) {
  Q8Block block;
  find_format("Q8_0")->encode(values.data(), &block, 32, nullptr);
  return block;
}

}  // namespace

Test(format, q8_0_known_answers) {
  std::vector<float> values(32, 0.0f);
  Q8Block block = encode_q8(values);
  cr_assert(same(block.d, 0), "zeros have scale 0");
  for (const int8_t q : block.q) cr_assert(same(q, 0));

  // Largest 127: scale 1, the codes are the rounded values, halves away from zero.
  values[0] = -127.0f;
  values[1] = 0.5f;
  values[2] = -0.5f;
  values[3] = 0.49999997f;
  values[4] = 2.5f;
  values[5] = 126.5f;
  values[31] = 100.4f;
  block = encode_q8(values);
  cr_assert(same(block.d, 0x3c00));
  const int8_t expected[] = {-127, 1, -1, 0, 3, 127};
  for (size_t i = 0; i < std::size(expected); ++i) cr_assert(same(block.q[i], expected[i]));
  cr_assert(same(block.q[31], 100));

  // Of a zero of either sign the codes and the scale are 0.
  values.assign(32, -0.0f);
  cr_assert(same(encode_q8(values).d, 0));

  // The codes come from the scale before it is rounded to f16: 1/3 of 127 is no f16 value.
  std::fill(values.begin(), values.end(), 1.0f / 3);
  block = encode_q8(values);
  cr_assert(same(block.q[7], 127));
  cr_assert(same(block.d, f32_to_f16((1.0f / 3) / 127.0f)));
}

Test(format, q8_0_takes_values_that_are_no_numbers) {
  std::vector<float> values(32, 1.0f);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  Q8Block block = encode_q8(values);
  cr_assert(same(block.q[3], 0));
  cr_assert(same(block.q[4], 127), "a NaN does not spoil its neighbours");
  values[3] = std::numeric_limits<float>::infinity();
  block = encode_q8(values);
  cr_assert(same(block.d, 0x7c00));
  // A scale whose inverse is infinite.
  std::fill(values.begin(), values.end(), 1e-43f);
  block = encode_q8(values);
  cr_assert(same(block.d, 0));
}
