// SPDX-License-Identifier: Apache-2.0
// Q4_0: blocks of 32 values in 18 bytes: scale d (f16), nibbles; value = d * (q - 8).
#include <cstring>

#include "quant/codecs.h"
#include "quant/legacy.h"

namespace sluice {
namespace {

using legacy::kBlockSize;

struct BlockQ4_0 {
  uint16_t d;
  uint8_t nibbles[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

}  // namespace

void decode_q4_0(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ4_0 block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d);
    uint8_t q[kBlockSize];
    legacy::get_codes(block.nibbles, nullptr, q);
    float* out = values + b * kBlockSize;
    for (size_t i = 0; i < kBlockSize; ++i) out[i] = d * static_cast<float>(q[i] - 8);
  }
}

void encode_q4_0(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  legacy::encode_symmetric(values, n, importance, 8, [&](size_t b, uint16_t d, const int8_t* q) {
    BlockQ4_0 block;
    block.d = d;
    legacy::put_codes(q, block.nibbles);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  });
}

}  // namespace sluice
