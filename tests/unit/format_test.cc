// SPDX-License-Identifier: Apache-2.0
// The format table, the conversions of 16-bit floats, and every format's encoder and decoder.
#include "quant/format.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/f16.h"
#include "support.h"

using namespace sluice;

TestSuite(format, .timeout = 60);

namespace {

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

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

// Values that a format gives come back from it unchanged, at any alignment and any count.
Test(format, decoded_values_encode_to_the_same_values) {
  std::mt19937_64 random(5);
  for (const Format& format : formats()) {
    if (!format.encode) continue;
    for (const size_t n_blocks : {0, 1, 2, 7, 33}) {
      const size_t n = n_blocks * format.block_size;
      std::vector<float> values(n), first(n), second(n);
      for (float& value : values)
        value = static_cast<float>(static_cast<int>(random() % 20001) - 10000) / 777;
      std::vector<std::byte> blocks(format.bytes(n) + 2);
      format.encode(values.data(), blocks.data() + 1, n);
      format.decode(blocks.data() + 1, first.data(), n);
      format.encode(first.data(), blocks.data() + 1, n);
      format.decode(blocks.data() + 1, second.data(), n);
      for (size_t i = 0; i < n; ++i) {
        cr_assert(same_bits(first[i], second[i]), "%s: value %zu", format.name, i);
        const float bound = format.id == 8 ? 13.0f / 254 + 0.01f : std::fabs(values[i]) / 256;
        cr_assert(std::fabs(first[i] - values[i]) <= bound, "%s: %g became %g", format.name,
                  static_cast<double>(values[i]), static_cast<double>(first[i]));
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
  find_format("Q8_0")->encode(values.data(), &block, 32);
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
