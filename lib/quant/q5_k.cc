// SPDX-License-Identifier: Apache-2.0
// Q5_K: blocks of 256 values in 176 bytes: as Q4_K, with the codes' fifth bits before the nibbles:
// that of value i is bit i / 32 of byte i % 32.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/scales.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 256;

struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t nibbles[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

int code(const BlockQ5_K& block, size_t i) {
  const int low = block.nibbles[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
  return low + (block.high[i % 32] >> (i / 32) & 1) * 16;
}

}  // namespace

void decode_q5_k(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ5_K block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    uint8_t scales[8], mins[8];
    get_scales(block.scales, scales, mins);
    for (size_t i = 0; i < kBlockSize; ++i) {
      const float scale = d * static_cast<float>(scales[i / 32]);
      const float min = dmin * static_cast<float>(mins[i / 32]);
      values[b * kBlockSize + i] = scale * static_cast<float>(code(block, i)) - min;
    }
  }
}

void encode_q5_k(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    const float* w = importance ? importance + b * kBlockSize : nullptr;
    BlockQ5_K block{};
    AffineBlock found;
    encode_affine(values + b * kBlockSize, w, 32, 31, 63, found);
    block.d = found.d;
    block.dmin = found.dmin;
    put_scales(found.scale, found.min, block.scales);
    for (size_t i = 0; i < kBlockSize; ++i) {
      const int q = found.q[i];
      block.nibbles[i / 64 * 32 + i % 32] |= static_cast<uint8_t>((q & 15) << (i / 32 % 2 * 4));
      block.high[i % 32] |= static_cast<uint8_t>(q >> 4 << (i / 32));
    }
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace sluice
