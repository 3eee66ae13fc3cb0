// SPDX-License-Identifier: Apache-2.0
// Q5_1: blocks of 32 values in 24 bytes: scale d (f16), min m (f16), fifth bits, nibbles; value = d
// * q + m.
#include <cstring>

#include "quant/codecs.h"
#include "quant/legacy.h"

namespace sluice {
namespace {

using legacy::kBlockSize;

struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t high[4];
  uint8_t nibbles[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

}  // namespace

void decode_q5_1(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t b = 0; b < n / kBlockSize; ++b) {
    BlockQ5_1 block;
    std::memcpy(&block, in + b * sizeof(block), sizeof(block));
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    uint8_t q[kBlockSize];
    legacy::get_codes(block.nibbles, block.high, q);
    float* out = values + b * kBlockSize;
    for (size_t i = 0; i < kBlockSize; ++i) out[i] = d * static_cast<float>(q[i]) + m;
  }
}

void encode_q5_1(const float* values, void* blocks, size_t n, const float* importance) {
  auto* out = static_cast<std::byte*>(blocks);
  const auto put = [&](size_t b, const legacy::Line& line, const int8_t* q) {
    BlockQ5_1 block;
    block.d = line.d;
    block.m = line.m;
    legacy::put_codes(q, block.nibbles, block.high);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  legacy::encode_affine(values, n, importance, 31, put);
}

}  // namespace sluice
