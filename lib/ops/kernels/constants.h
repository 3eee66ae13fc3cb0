// SPDX-License-Identifier: Apache-2.0
// The constants of exact arithmetic, shared by all kernels. Constants only: no function here, so
// that nothing is compiled for one ISA and linked into another.
#ifndef SLUICE_OPS_KERNELS_CONSTANTS_H
#define SLUICE_OPS_KERNELS_CONSTANTS_H

#include <cstddef>
#include <cstdint>

namespace sluice {

// exp(x): x is held to [kExpLow, kExpHigh]; n = x * log2(e) rounded to nearest even (by adding and
// taking away kRoundMagic); r = x - n * ln 2 in two steps; then 2^n * (1 + r + r^2 * p(r)).
// Polynomial: Cephes, expf.c.
inline constexpr float kExpLow = -87.0f;
inline constexpr float kExpHigh = 88.0f;
inline constexpr float kLog2e = 1.44269504088896341f;
inline constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
inline constexpr float kExpPoly[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                      4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

// GELU by tanh (arXiv:1606.08415) as a logistic function: 2 sqrt(2 / pi), and the cube's factor.
inline constexpr float kGeluGate = 1.59576912160573f;
inline constexpr float kGeluCube = 0.044715f;

// sin and cos for |x| <= pi / 4. Polynomials: Cephes, sinf.c.
inline constexpr float kSinPoly[3] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
inline constexpr float kCosPoly[3] = {2.443315711809948e-5f, -1.388731625493765e-3f,
                                      4.166664568298827e-2f};

// Activations below this magnitude quantize to zero: the reciprocal of their scale would overflow.
inline constexpr float kA8Smallest = 0x1p-100f;

// Floats below this magnitude are 0 in fast products of bf16: then nothing in them is subnormal.
inline constexpr float kBf16Smallest = 0x1p-40f;

// Rows of so many values and more come from memory, which reads one or two at a time the fastest;
// shorter ones are those of models that lie in a cache.
inline constexpr uint32_t kLongRow = 1024;

// How far ahead of its use memory is asked for, in bytes: what it takes to answer. For what one
// column or a few want of quantized weights there is MatmulArgs::ahead.
inline constexpr size_t kAhead = 8192;

}  // namespace sluice

#endif  // SLUICE_OPS_KERNELS_CONSTANTS_H
