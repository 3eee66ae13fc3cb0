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

inline void put_codes(const uint8_t* q, uint8_t* nibbles, uint8_t* high = nullptr) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 16; ++i) {
    nibbles[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
    bits |= static_cast<uint32_t>(q[i] >> 4) << i | static_cast<uint32_t>(q[i + 16] >> 4)
                                                        << (i + 16);
  }
  if (high) std::memcpy(high, &bits, sizeof(bits));
}

inline void get_codes(const uint8_t* nibbles, const uint8_t* high, uint8_t* q) {
  uint32_t bits = 0;
  if (high) std::memcpy(&bits, high, sizeof(bits));
  for (size_t i = 0; i < 16; ++i) {
    q[i] = static_cast<uint8_t>((nibbles[i] & 15) | (bits >> i & 1) << 4);
    q[i + 16] = static_cast<uint8_t>(nibbles[i] >> 4 | (bits >> (i + 16) & 1) << 4);
  }
}

// value + 0.5 cut off, held to 0 .. top; no number and what is below has code 0.
inline uint8_t nearest(float value, int top) {
  const float up = value + 0.5f;
  if (!(up > 0)) return 0;
  return static_cast<uint8_t>(up < static_cast<float>(top) ? static_cast<int>(up) : top);
}

// Without importance: ggml's reference choice. The value of largest magnitude gets code 0, and d
// has its sign.
inline uint16_t plain_symmetric(const float* x, int half, uint8_t* q) {
  float largest = 0, magnitude = 0;
  for (size_t i = 0; i < kBlockSize; ++i) {
    const float m = x[i] < 0 ? -x[i] : x[i];
    if (magnitude < m) {
      magnitude = m;
      largest = x[i];
    }
  }
  const float d = largest / static_cast<float>(-half);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < kBlockSize; ++i) {
    q[i] = nearest(x[i] * inverse + static_cast<float>(half), 2 * half - 1);
  }
  return f32_to_f16(d);
}

// Least squares with the weights, then codes for the scale as it is stored.
inline uint16_t weighted_symmetric(const float* x, const float* w, int half, uint8_t* q) {
  const Search& s = search();
  const uint16_t d = f32_to_f16(s.symmetric(x, w, kBlockSize, -half, half - 1));
  int8_t codes[kBlockSize];
  s.symmetric_error(x, w, kBlockSize, -half, half - 1, f16_to_f32(d), codes);
  for (size_t i = 0; i < kBlockSize; ++i) q[i] = static_cast<uint8_t>(codes[i] + half);
  return d;
}

struct Line {
  uint16_t d, m;
};

// Without importance: ggml's reference choice, the range of the values in equal steps.
inline Line plain_affine(const float* x, int top, uint8_t* q) {
  float low = x[0], high = x[0];
  for (size_t i = 1; i < kBlockSize; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  const float d = (high - low) / static_cast<float>(top);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < kBlockSize; ++i) q[i] = nearest((x[i] - low) * inverse, top);
  return {f32_to_f16(d), f32_to_f16(low)};
}

// The min may have either sign here: the search, which wants it below zero, sees values that are
// moved by the largest one.
inline Line weighted_affine(const float* x, const float* w, int top, uint8_t* q) {
  float high = 0;
  for (size_t i = 0; i < kBlockSize; ++i) high = x[i] > high ? x[i] : high;
  float moved[kBlockSize];
  for (size_t i = 0; i < kBlockSize; ++i) moved[i] = x[i] - high;
  const Search& s = search();
  float scale = 0, min = 0;
  s.affine(moved, w, kBlockSize, top, &scale, &min);
  const Line line{f32_to_f16(scale), f32_to_f16(high - min)};
  s.affine_error(x, w, kBlockSize, top, f16_to_f32(line.d), -f16_to_f32(line.m), q);
  return line;
}

}  // namespace sluice::legacy

#endif  // SLUICE_QUANT_LEGACY_H
