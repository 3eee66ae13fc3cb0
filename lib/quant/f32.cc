// SPDX-License-Identifier: Apache-2.0
// F32: binary32 values as they are.
#include <cstring>

#include "quant/codecs.h"

namespace sluice {

void decode_f32(const void* blocks, float* values, size_t n) {
  if (n) std::memcpy(values, blocks, n * sizeof(float));
}

void encode_f32(const float* values, void* blocks, size_t n, const float* /*importance*/) {
  if (n) std::memcpy(blocks, values, n * sizeof(float));
}

}  // namespace sluice
