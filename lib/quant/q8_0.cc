// SPDX-License-Identifier: Apache-2.0
// Q8_0: blocks of 32 values in 34 bytes: scale d (f16), then q[32] (i8); value = d * q.
// Encoding gives the bytes of ggml's reference quantizer: q = round(x / d) with halves away from
// zero, by the inverse of the scale before it is rounded to f16.
#include <cstdint>
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr size_t kBlockSize = 32;

struct BlockQ8_0 {
  uint16_t d;
  int8_t q[kBlockSize];
};
static_assert(sizeof(BlockQ8_0) == 34);

}  // namespace

void decode_q8_0(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ8_0 block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d);
    float* out = values + b * kBlockSize;
    for (size_t i = 0; i < kBlockSize; ++i) out[i] = d * static_cast<float>(block.q[i]);
  }
}

void encode_q8_0(const float* values, void* blocks, size_t n, const float* /*importance*/) {
  auto* out = static_cast<std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    const float* x = values + b * kBlockSize;
    float low = 0, high = 0;
    search().extremes(x, kBlockSize, &low, &high);
    const float largest = high >= -low ? high : -low;
    const float d = largest / 127.0f;
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    BlockQ8_0 block;
    block.d = f32_to_f16(d);
    search().codes_away(x, kBlockSize, inverse, block.q);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace sluice
