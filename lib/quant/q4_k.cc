// SPDX-License-Identifier: Apache-2.0
// Q4_K: blocks of 256 values in 144 bytes: factors d and dmin (f16), for each 32 values a scale and
// a min of 6 bits (see scales.h), nibbles; value = d * scale * q - dmin * min. 32 bytes hold 64
// values, those of the low nibbles first.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/scales.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 256;

struct BlockQ4_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t nibbles[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

}  // namespace

void decode_q4_k(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ4_K block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    uint8_t scales[8], mins[8];
    get_scales(block.scales, scales, mins);
    for (size_t j = 0; j < 8; ++j) {
      const float scale = d * static_cast<float>(scales[j]);
      const float min = dmin * static_cast<float>(mins[j]);
      const uint8_t* nibbles = block.nibbles + j / 2 * 32;
      const size_t shift = j % 2 * 4;
      float* out = values + b * kBlockSize + j * 32;
      for (size_t i = 0; i < 32; ++i) {
        out[i] = scale * static_cast<float>(nibbles[i] >> shift & 15) - min;
      }
    }
  }
}

void encode_q4_k(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  const auto put = [&](size_t b, const AffineBlock& found) {
    BlockQ4_K block{};
    block.d = found.d;
    block.dmin = found.dmin;
    put_scales(found.scale, found.min, block.scales);
    for (size_t i = 0; i < kBlockSize; ++i) {
      block.nibbles[i / 64 * 32 + i % 32] |= static_cast<uint8_t>(found.q[i] << (i / 32 % 2 * 4));
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  encode_affine(values, n, importance, {32, 15, 63}, put);
}

}  // namespace sluice
