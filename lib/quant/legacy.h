// SPDX-License-Identifier: Apache-2.0
// What Q4_0, Q4_1, Q5_0 and Q5_1 share: 32 codes in 16 bytes of nibbles (values 0-15 in the low
// ones, 16-31 in the high ones) and, with five bits, the topmost bit of value i as bit i of a word.
#ifndef SLUICE_QUANT_LEGACY_H
#define SLUICE_QUANT_LEGACY_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/f16.h"
#include "quant/search.h"

namespace sluice::legacy {

inline constexpr size_t kBlockSize = 32;

// Eight codes at a time, in the bytes of a word.
inline void put_codes(const int8_t* q, uint8_t* nibbles, uint8_t* high = nullptr) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (size_t i = 0; i < 16; i += 8) {
    uint64_t first, second;
    std::memcpy(&first, q + i, sizeof(first));
    std::memcpy(&second, q + i + 16, sizeof(second));
    const uint64_t packed = (first & kOnes * 15) | (second & kOnes * 15) << 4;
    std::memcpy(nibbles + i, &packed, sizeof(packed));
    if (!high) continue;
    // The product gathers the lowest bits of eight bytes in the topmost byte.
    constexpr uint64_t kGather = 0x0102040810204080;
    high[i / 8] = static_cast<uint8_t>((first >> 4 & kOnes) * kGather >> 56);
    high[2 + i / 8] = static_cast<uint8_t>((second >> 4 & kOnes) * kGather >> 56);
  }
}

inline void get_codes(const uint8_t* nibbles, const uint8_t* high, uint8_t* q) {
  uint32_t bits = 0;
  if (high) std::memcpy(&bits, high, sizeof(bits));
  for (size_t i = 0; i < 16; ++i) {
    q[i] = static_cast<uint8_t>((nibbles[i] & 15) | (bits >> i & 1) << 4);
    q[i + 16] = static_cast<uint8_t>(nibbles[i] >> 4 | (bits >> (i + 16) & 1) << 4);
  }
}

struct Line {
  uint16_t d, m;
};

// The value of the largest magnitude; of two, the first.
inline float largest(const float* x) {
  float low = 0, high = 0;
  search().extremes(x, kBlockSize, &low, &high);
  if (high != -low) return high > -low ? high : low;
  size_t i = 0;
  while (i + 1 < kBlockSize && x[i] != low && x[i] != high) ++i;
  return high > 0 ? x[i] : 0;
}

// Without importance: ggml's reference choice. The value of largest magnitude gets code 0, and d
// has its sign.
inline uint16_t plain_symmetric(const float* x, int half, int8_t* q) {
  const float d = largest(x) / static_cast<float>(-half);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  search().codes_up(x, kBlockSize, 2 * half - 1, inverse, 0, static_cast<float>(half), q);
  return f32_to_f16(d);
}

// Without importance: ggml's reference choice, the range of the values in equal steps.
inline Line plain_affine(const float* x, int top, int8_t* q) {
  float low = x[0], high = x[0];
  search().extremes(x, kBlockSize, &low, &high);
  for (size_t i = 0; low == 0 && i < kBlockSize; ++i) {  // of zeros of both signs, the first
    if (x[i] == 0) {
      low = x[i];
      break;
    }
  }
  const float d = (high - low) / static_cast<float>(top);
  search().codes_up(x, kBlockSize, top, d != 0 ? 1.0f / d : 0.0f, low, 0, q);
  return {f32_to_f16(d), f32_to_f16(low)};
}

// Blocks that a batch of the search holds, a group each.
inline size_t batch_blocks(size_t left) { return left < kBatch ? left : kBatch; }

// Calls put(block's index, its d, its codes from 0 on) for n values.
template <typename Put>
void encode_symmetric(const float* x, size_t n, const float* importance, int half, Put put) {
  int8_t q[kBlockSize];
  const size_t n_blocks = n / kBlockSize;
  for (size_t b = 0; !importance && b < n_blocks; ++b) {
    const uint16_t d = plain_symmetric(x + b * kBlockSize, half, q);
    put(b, d, q);
  }
  // Least squares with the weights, then codes for the scale as it is stored.
  for (size_t b = 0; importance && b < n_blocks; b += kBatch) {
    const size_t n_here = batch_blocks(n_blocks - b);
    Batch batch;
    batch.take(x + b * kBlockSize, importance + b * kBlockSize, static_cast<int>(n_here),
               kBlockSize);
    SymmetricFit fit;
    search().fit_symmetric(batch, half, fit);
    for (size_t i = 0; i < n_here; ++i) {
      const uint16_t d = f32_to_f16(fit.scale[i]);
      const float scale = f16_to_f32(d);
      search().codes_nearest(x + (b + i) * kBlockSize, kBlockSize, -half, half - 1,
                             scale != 0 ? 1.0f / scale : 0.0f, 0, q);
      for (int8_t& code : q) code = static_cast<int8_t>(code + half);
      put(b + i, d, q);
    }
  }
}

// The same with a min.
template <typename Put>
void encode_affine(const float* x, size_t n, const float* importance, int top, Put put) {
  int8_t q[kBlockSize];
  const size_t n_blocks = n / kBlockSize;
  for (size_t b = 0; !importance && b < n_blocks; ++b) {
    const Line line = plain_affine(x + b * kBlockSize, top, q);
    put(b, line, q);
  }
  // The min may have either sign here: the search, which wants it below zero, sees values that are
  // moved by the largest one.
  for (size_t b = 0; importance && b < n_blocks; b += kBatch) {
    const size_t n_here = batch_blocks(n_blocks - b);
    float moved[kBatch * kBlockSize], high[kBatch];
    for (size_t i = 0; i < n_here; ++i) {
      const float* values = x + (b + i) * kBlockSize;
      float low = 0;
      high[i] = 0;
      search().extremes(values, kBlockSize, &low, &high[i]);
      for (size_t j = 0; j < kBlockSize; ++j) moved[i * kBlockSize + j] = values[j] - high[i];
    }
    Batch batch;
    batch.take(moved, importance + b * kBlockSize, static_cast<int>(n_here), kBlockSize);
    AffineFit fit;
    search().fit_affine(batch, top, fit);
    for (size_t i = 0; i < n_here; ++i) {
      const Line line{f32_to_f16(fit.scale[i]), f32_to_f16(high[i] - fit.min[i])};
      const float scale = f16_to_f32(line.d);
      search().codes_nearest(x + (b + i) * kBlockSize, kBlockSize, 0, top,
                             scale > 0 ? 1.0f / scale : 0.0f, -f16_to_f32(line.m), q);
      put(b + i, line, q);
    }
  }
}

}  // namespace sluice::legacy

#endif  // SLUICE_QUANT_LEGACY_H
