// SPDX-License-Identifier: Apache-2.0
// 8-bit activations: what matmul multiplies quantized weights with, in blocks as long as theirs.
#ifndef SLUICE_OPS_ACTIVATION_H
#define SLUICE_OPS_ACTIVATION_H

#include <linux/types.h>

#include <cstddef>
#include <cstdint>

#include "sluice_sdi.h"

namespace sluice {

inline constexpr uint32_t kA8Block = 32;    // values
inline constexpr uint32_t kA8KBlock = 256;  // values

// Value i is scale * q[i]. With amax the largest magnitude: scale = amax / 127 and q = x * (127 /
// amax) rounded to nearest even and held to +-127; both are zero where amax is below 2^-100. NaNs
// do not count for amax; their codes are -127.
struct BlockA8 {
  float scale;
  int8_t q[kA8Block];
};
static_assert(sizeof(BlockA8) == 36);

// The same over 256 values.
struct BlockA8K {
  float scale;
  int8_t q[kA8KBlock];
};
static_assert(sizeof(BlockA8K) == 260);

// A kind of quantized activations, as tensor descriptors name it.
struct Activation {
  uint32_t type;         // SLUICE_SDI_TYPE_*
  uint32_t block_size;   // values
  uint32_t block_bytes;  // bytes

  // Bytes of a row of n values, the last block counted whole.
  constexpr uint64_t row_bytes(uint64_t n) const {
    return (n + block_size - 1) / block_size * block_bytes;
  }
};

inline constexpr Activation kActivations[] = {
    {SLUICE_SDI_TYPE_A8, kA8Block, sizeof(BlockA8)},
    {SLUICE_SDI_TYPE_A8K, kA8KBlock, sizeof(BlockA8K)},
};
inline constexpr size_t kNumActivations = sizeof(kActivations) / sizeof(kActivations[0]);

// Null: no such kind.
constexpr const Activation* find_activation(uint32_t type) {
  for (const Activation& kind : kActivations) {
    if (kind.type == type) return &kind;
  }
  return nullptr;
}

}  // namespace sluice

#endif  // SLUICE_OPS_ACTIVATION_H
