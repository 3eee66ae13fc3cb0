// SPDX-License-Identifier: Apache-2.0
// The 12 bytes in which Q4_K and Q5_K keep eight scales and eight mins of 6 bits: bytes 0-3 and 4-7
// hold the first four scales and mins, and in their two topmost bits those of the last four, whose
// low nibbles are in bytes 8-11, the scale's in the lower half.
#ifndef SLUICE_QUANT_SCALES_H
#define SLUICE_QUANT_SCALES_H

#include <cstddef>
#include <cstdint>

namespace sluice {

inline void get_scales(const uint8_t* packed, uint8_t* scales, uint8_t* mins) {
  for (size_t j = 0; j < 4; ++j) {
    scales[j] = packed[j] & 63;
    mins[j] = packed[4 + j] & 63;
    scales[4 + j] = static_cast<uint8_t>((packed[8 + j] & 15) | packed[j] >> 6 << 4);
    mins[4 + j] = static_cast<uint8_t>(packed[8 + j] >> 4 | packed[4 + j] >> 6 << 4);
  }
}

inline void put_scales(const uint8_t* scales, const uint8_t* mins, uint8_t* packed) {
  for (size_t j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scales[j] | scales[4 + j] >> 4 << 6);
    packed[4 + j] = static_cast<uint8_t>(mins[j] | mins[4 + j] >> 4 << 6);
    packed[8 + j] = static_cast<uint8_t>((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

}  // namespace sluice

#endif  // SLUICE_QUANT_SCALES_H
