// SPDX-License-Identifier: Apache-2.0
// Kernels for 64-bit ARM with the dot products of ARMv8.2. Internal linkage only: nothing compiled
// here may be linked into code that runs on lesser machines.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ops/kernels/blocks.h"
#include "ops/kernels/constants.h"
#include "ops/kernels/kernels.h"

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

#include "ops/kernels/neon/vector.inc"

#include "ops/kernels/simd.inc"

int32x4_t dot(int32x4_t sums, int8x16_t a, int8x16_t b) { return vdotq_s32(sums, a, b); }
constexpr const char* kMethod = "sdot 4x1, 1x16";

#include "ops/kernels/neon/formats.inc"
#include "ops/kernels/neon/products.inc"

}  // namespace

constinit const Kernels kKernelsDotprod =
    make_kernels("dotprod", kMatmul, {0, "plain", nullptr, fast_scratch, matmul_fast},
                 {0, "fmla 4x16", &kPackingBf16, bf16_scratch, matmul_bf16});

}  // namespace sluice
