// SPDX-License-Identifier: Apache-2.0
// The decoders and encoders that the format table names; each pair is defined in its format's file.
// `n` counts values and is a multiple of the block size; no pointer needs an alignment.
// `importance` has a weight for the squared error of each value; null: all alike.
#ifndef SLUICE_QUANT_CODECS_H
#define SLUICE_QUANT_CODECS_H

#include <cstddef>

namespace sluice {

void decode_f32(const void* blocks, float* values, size_t n);
void encode_f32(const float* values, void* blocks, size_t n, const float* importance);
void decode_f16(const void* blocks, float* values, size_t n);
void encode_f16(const float* values, void* blocks, size_t n, const float* importance);
void decode_bf16(const void* blocks, float* values, size_t n);
void encode_bf16(const float* values, void* blocks, size_t n, const float* importance);
void decode_q4_0(const void* blocks, float* values, size_t n);
void encode_q4_0(const float* values, void* blocks, size_t n, const float* importance);
void decode_q4_1(const void* blocks, float* values, size_t n);
void encode_q4_1(const float* values, void* blocks, size_t n, const float* importance);
void decode_q5_0(const void* blocks, float* values, size_t n);
void encode_q5_0(const float* values, void* blocks, size_t n, const float* importance);
void decode_q5_1(const void* blocks, float* values, size_t n);
void encode_q5_1(const float* values, void* blocks, size_t n, const float* importance);
void decode_q8_0(const void* blocks, float* values, size_t n);
void encode_q8_0(const float* values, void* blocks, size_t n, const float* importance);
void decode_q2_k(const void* blocks, float* values, size_t n);
void encode_q2_k(const float* values, void* blocks, size_t n, const float* importance);
void decode_q3_k(const void* blocks, float* values, size_t n);
void encode_q3_k(const float* values, void* blocks, size_t n, const float* importance);
void decode_q4_k(const void* blocks, float* values, size_t n);
void encode_q4_k(const float* values, void* blocks, size_t n, const float* importance);
void decode_q5_k(const void* blocks, float* values, size_t n);
void encode_q5_k(const float* values, void* blocks, size_t n, const float* importance);
void decode_q6_k(const void* blocks, float* values, size_t n);
void encode_q6_k(const float* values, void* blocks, size_t n, const float* importance);

}  // namespace sluice

#endif  // SLUICE_QUANT_CODECS_H
