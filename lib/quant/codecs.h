// SPDX-License-Identifier: Apache-2.0
// The decoders and encoders that the format table names; each pair is defined in its format's file.
// `n` counts values and is a multiple of the block size; neither pointer needs an alignment.
#ifndef SLUICE_QUANT_CODECS_H
#define SLUICE_QUANT_CODECS_H

#include <cstddef>

namespace sluice {

void decode_f32(const void* blocks, float* values, size_t n);
void encode_f32(const float* values, void* blocks, size_t n);
void decode_f16(const void* blocks, float* values, size_t n);
void encode_f16(const float* values, void* blocks, size_t n);
void decode_bf16(const void* blocks, float* values, size_t n);
void encode_bf16(const float* values, void* blocks, size_t n);
void decode_q8_0(const void* blocks, float* values, size_t n);
void encode_q8_0(const float* values, void* blocks, size_t n);

}  // namespace sluice

#endif  // SLUICE_QUANT_CODECS_H
