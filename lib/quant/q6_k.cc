// SPDX-License-Identifier: Apache-2.0
// Q6_K: blocks of 256 values in 210 bytes: the codes' low nibbles, their high two bits, 16 scales
// (i8), factor d (f16); value = d * scale * (q - 32). For each 128 values 64 bytes of nibbles, the
// first 64 values in the low ones, and 32 bytes of high bits, where byte l has those of l, l + 32,
// l + 64, l + 96.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 256;

struct BlockQ6_K {
  uint8_t nibbles[128];
  uint8_t high[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

}  // namespace

void decode_q6_k(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ6_K block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d);
    for (size_t j = 0; j < 16; ++j) {
      const float scale = d * static_cast<float>(block.scales[j]);
      const uint8_t* nibbles = block.nibbles + j / 8 * 64 + j % 4 * 16;
      const uint8_t* high = block.high + j / 8 * 32 + j % 2 * 16;
      const size_t shift = j / 4 % 2 * 4, high_shift = j / 2 % 4 * 2;
      float* out = values + b * kBlockSize + j * 16;
      for (size_t i = 0; i < 16; ++i) {
        const int q = (nibbles[i] >> shift & 15) + (high[i] >> high_shift & 3) * 16 - 32;
        out[i] = scale * static_cast<float>(q);
      }
    }
  }
}

void encode_q6_k(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    const float* w = importance ? importance + b * kBlockSize : nullptr;
    BlockQ6_K block{};
    SymmetricBlock found;
    encode_symmetric(values + b * kBlockSize, w, 32, 128, found);
    block.d = found.d;
    std::memcpy(block.scales, found.scale, sizeof(block.scales));
    for (size_t i = 0; i < kBlockSize; ++i) {
      const int q = found.q[i] + 32;
      block.nibbles[i / 128 * 64 + i % 64] |= static_cast<uint8_t>((q & 15) << (i / 64 % 2 * 4));
      block.high[i / 128 * 32 + i % 32] |= static_cast<uint8_t>(q >> 4 << (i / 32 % 4 * 2));
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace sluice
