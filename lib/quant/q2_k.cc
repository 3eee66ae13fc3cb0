// SPDX-License-Identifier: Apache-2.0
// Q2_K: blocks of 256 values in 84 bytes: for each 16 values a byte of scale (low nibble) and min
// (high), 2-bit codes, then factors d and dmin (f16) of the scales and mins; value = d * scale * q
// - dmin * min. 32 bytes hold 128 values: byte l has those of l, l + 32, l + 64 and l + 96, lowest
// bits first.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 256;

struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t codes[64];
  uint16_t d, dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

}  // namespace

void decode_q2_k(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ2_K block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    for (size_t j = 0; j < 16; ++j) {
      const uint8_t s = block.scales[j];
      const float scale = d * static_cast<float>(s & 15), min = dmin * static_cast<float>(s >> 4);
      const uint8_t* codes = block.codes + j / 8 * 32 + j % 2 * 16;
      const size_t shift = j / 2 % 4 * 2;
      float* out = values + b * kBlockSize + j * 16;
      for (size_t i = 0; i < 16; ++i) {
        out[i] = scale * static_cast<float>(codes[i] >> shift & 3) - min;
      }
    }
  }
}

void encode_q2_k(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  const auto put = [&](size_t b, const AffineBlock& found) {
    BlockQ2_K block{};
    block.d = found.d;
    block.dmin = found.dmin;
    for (size_t j = 0; j < 16; ++j) {
      block.scales[j] = static_cast<uint8_t>(found.scale[j] | found.min[j] << 4);
    }
    for (size_t i = 0; i < kBlockSize; ++i) {
      block.codes[i / 128 * 32 + i % 32] |= static_cast<uint8_t>(found.q[i] << (i / 32 % 4 * 2));
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  encode_affine(values, n, importance, {16, 3, 15}, put);
}

}  // namespace sluice
