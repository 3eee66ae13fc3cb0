// SPDX-License-Identifier: Apache-2.0
// Q3_K: blocks of 256 values in 110 bytes: the codes' third bits, their low two bits, 16 scales of
// 6 bits, factor d (f16); value = d * (scale - 32) * (q - 4). Low bits lie as in Q2_K; the third
// bit of value i is bit i / 32 of byte i % 32. Scale j: its low four bits are in byte j % 8 (high
// nibble if j >= 8), its top two in byte 8 + j % 4 from bit j / 4 * 2 on.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 256;

struct BlockQ3_K {
  uint8_t high[32];
  uint8_t codes[64];
  uint8_t scales[12];
  uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

int scale(const BlockQ3_K& block, size_t j) {
  const int low = block.scales[j % 8] >> (j / 8 * 4) & 15;
  return low + (block.scales[8 + j % 4] >> (j / 4 * 2) & 3) * 16 - 32;
}

}  // namespace

void decode_q3_k(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ3_K block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d);
    for (size_t j = 0; j < 16; ++j) {
      const float s = d * static_cast<float>(scale(block, j));
      const uint8_t* codes = block.codes + j / 8 * 32 + j % 2 * 16;
      const uint8_t* high = block.high + j % 2 * 16;
      const size_t shift = j / 2 % 4 * 2, bit = j / 2;
      float* out = values + b * kBlockSize + j * 16;
      for (size_t i = 0; i < 16; ++i) {
        const int q = (codes[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4;
        out[i] = s * static_cast<float>(q);
      }
    }
  }
}

void encode_q3_k(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    const float* w = importance ? importance + b * kBlockSize : nullptr;
    BlockQ3_K block{};
    SymmetricBlock found;
    encode_symmetric(values + b * kBlockSize, w, 4, 32, found);
    block.d = found.d;
    for (size_t j = 0; j < 16; ++j) {
      const int s = found.scale[j] + 32;
      block.scales[j % 8] |= static_cast<uint8_t>((s & 15) << (j / 8 * 4));
      block.scales[8 + j % 4] |= static_cast<uint8_t>(s >> 4 << (j / 4 * 2));
    }
    for (size_t i = 0; i < kBlockSize; ++i) {
      const int q = found.q[i] + 4;
      block.codes[i / 128 * 32 + i % 32] |= static_cast<uint8_t>((q & 3) << (i / 32 % 4 * 2));
      block.high[i % 32] |= static_cast<uint8_t>(q >> 2 << (i / 32));
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace sluice
