// SPDX-License-Identifier: Apache-2.0
// 8-bit activations: what matmul multiplies quantized weights with (SLUICE_SDI_TYPE_A8).
#ifndef SLUICE_OPS_ACTIVATION_H
#define SLUICE_OPS_ACTIVATION_H

#include <cstdint>

namespace sluice {

inline constexpr uint32_t kA8Block = 32;  // values

// Value i is scale * q[i]. With amax the largest magnitude: scale = amax / 127 and q = x * (127 /
// amax) rounded to nearest even and held to +-127; both are zero where amax is below 2^-100.
struct BlockA8 {
  float scale;
  int8_t q[kA8Block];
};
static_assert(sizeof(BlockA8) == 36);

}  // namespace sluice

#endif  // SLUICE_OPS_ACTIVATION_H
