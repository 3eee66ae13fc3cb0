// SPDX-License-Identifier: Apache-2.0
// Where the parts of a quantized weight block lie, in bytes from its beginning. Layouts are those
// of lib/quant; docs/quantization.md describes them. Constants only: nothing here is compiled into
// code.
#ifndef SLUICE_OPS_KERNELS_BLOCKS_H
#define SLUICE_OPS_KERNELS_BLOCKS_H

#include <cstddef>

namespace sluice {

// Blocks of 32 values: d * (q - kOffset), or d * q + m. kSigned: q is an i8.
struct LayoutQ4_0 {
  static constexpr size_t kBytes = 18, kD = 0, kNibbles = 2;
  static constexpr int kOffset = 8;
  static constexpr bool kMin = false, kSigned = false;
};
struct LayoutQ4_1 {
  static constexpr size_t kBytes = 20, kD = 0, kM = 2, kNibbles = 4;
  static constexpr int kOffset = 0;
  static constexpr bool kMin = true, kSigned = false;
};
struct LayoutQ5_0 {
  static constexpr size_t kBytes = 22, kD = 0, kHigh = 2, kNibbles = 6;
  static constexpr int kOffset = 16;
  static constexpr bool kMin = false, kSigned = false;
};
struct LayoutQ5_1 {
  static constexpr size_t kBytes = 24, kD = 0, kM = 2, kHigh = 4, kNibbles = 8;
  static constexpr int kOffset = 0;
  static constexpr bool kMin = true, kSigned = false;
};
struct LayoutQ8_0 {
  static constexpr size_t kBytes = 34, kD = 0, kCodes = 2;
  static constexpr int kOffset = 0;
  static constexpr bool kMin = false, kSigned = true;
};

// Blocks of 256 values: d * scale * (q - kOffset) - dmin * min. kGroup values share a scale.
struct LayoutQ2_K {
  static constexpr size_t kBytes = 84, kScales = 0, kCodes = 16, kD = 80, kDmin = 82;
  static constexpr int kOffset = 0, kGroup = 16;
  static constexpr bool kMin = true, kSigned = false;
};
struct LayoutQ3_K {
  static constexpr size_t kBytes = 110, kHigh = 0, kCodes = 32, kScales = 96, kD = 108;
  static constexpr int kOffset = 4, kGroup = 16;
  static constexpr bool kMin = false, kSigned = false;
};
struct LayoutQ4_K {
  static constexpr size_t kBytes = 144, kD = 0, kDmin = 2, kScales = 4, kNibbles = 16;
  static constexpr int kOffset = 0, kGroup = 32;
  static constexpr bool kMin = true, kSigned = false;
};
struct LayoutQ5_K {
  static constexpr size_t kBytes = 176, kD = 0, kDmin = 2, kScales = 4, kHigh = 16, kNibbles = 48;
  static constexpr int kOffset = 0, kGroup = 32;
  static constexpr bool kMin = true, kSigned = false;
};
struct LayoutQ6_K {
  static constexpr size_t kBytes = 210, kNibbles = 0, kHigh = 128, kScales = 192, kD = 208;
  static constexpr int kOffset = 32, kGroup = 16;
  static constexpr bool kMin = false, kSigned = false;
};

}  // namespace sluice

#endif  // SLUICE_OPS_KERNELS_BLOCKS_H
