// SPDX-License-Identifier: Apache-2.0
// BF16: the upper half of a binary32 value, rounded to nearest even.
#include <cstring>

#include "core/f16.h"
#include "quant/codecs.h"

namespace sluice {

void decode_bf16(const void* blocks, float* values, size_t n) {
  const auto* in = static_cast<const std::byte*>(blocks);
  for (size_t i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, in + i * sizeof(half), sizeof(half));
    values[i] = bf16_to_f32(half);
  }
}

void encode_bf16(const float* values, void* blocks, size_t n, const float* /*importance*/) {
  auto* out = static_cast<std::byte*>(blocks);
  for (size_t i = 0; i < n; ++i) {
    const uint16_t half = f32_to_bf16(values[i]);
    std::memcpy(out + i * sizeof(half), &half, sizeof(half));
  }
}

}  // namespace sluice
