// SPDX-License-Identifier: Apache-2.0
// binary16 and bfloat16 to and from binary32, in integer arithmetic: the same bits on every
// machine. Rounding is to nearest even; subnormals are kept; NaNs stay NaNs (quiet).
#ifndef SLUICE_CORE_F16_H
#define SLUICE_CORE_F16_H

#include <bit>
#include <cstdint>

namespace sluice {

// Without branches, so that loops of it become vectors.
constexpr float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7fff) << 13;
  // Exponents differ by 112; for subnormals and 0 the FPU moves the mantissa into place. Exact.
  const uint32_t number = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const uint32_t infinite = magnitude >= 0x0f800000 ? 0x7f800000 : 0;
  const uint32_t quiet = magnitude > 0x0f800000 ? 0x400000 : 0;
  return std::bit_cast<float>(sign | number | infinite | quiet);
}

constexpr uint16_t f32_to_f16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  }
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds past 65504
  if (magnitude < 0x38800000) {
    // Below 2^-14 the unit is 2^-24: adding 0.5 lines the mantissa up so that the FPU's own
    // nearest-even rounding drops what does not fit.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

constexpr float bf16_to_f32(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

constexpr uint16_t f32_to_bf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 64);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace sluice

#endif  // SLUICE_CORE_F16_H
