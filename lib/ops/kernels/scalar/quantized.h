// SPDX-License-Identifier: Apache-2.0
// Products of quantized weights in plain loops: the reference, as kernels.h states it.
#ifndef SLUICE_OPS_KERNELS_SCALAR_QUANTIZED_H
#define SLUICE_OPS_KERNELS_SCALAR_QUANTIZED_H

#include "ops/kernels/kernels.h"

namespace sluice::scalar {

void matmul_q4_0(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q4_1(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q5_0(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q5_1(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q8_0(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q2_k(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q3_k(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q4_k(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q5_k(const MatmulArgs& a, uint32_t row0, uint32_t row1);
void matmul_q6_k(const MatmulArgs& a, uint32_t row0, uint32_t row1);

}  // namespace sluice::scalar

#endif  // SLUICE_OPS_KERNELS_SCALAR_QUANTIZED_H
