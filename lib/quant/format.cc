// SPDX-License-Identifier: Apache-2.0
// The format table: one line a format, in the order of GGUF's numbers. Layouts and numbers:
// github.com/ggml-org/ggml, docs/gguf.md; file types as llama.cpp writes general.file_type.
#include "quant/format.h"

#include <sluice_sdi.h>

#include "quant/codecs.h"

namespace sluice {
namespace {

constexpr uint32_t kF32 = SLUICE_SDI_TYPE_F32;
constexpr uint32_t kA8 = SLUICE_SDI_TYPE_A8;
constexpr uint32_t kA8K = SLUICE_SDI_TYPE_A8K;

// id, name, values and bytes of a block, activations, decode, encode, file type
constexpr Format kFormats[] = {
    {SLUICE_SDI_TYPE_F32, "F32", 1, 4, kF32, decode_f32, encode_f32, 0},
    {SLUICE_SDI_TYPE_F16, "F16", 1, 2, kF32, decode_f16, encode_f16, 1},
    {SLUICE_SDI_TYPE_Q4_0, "Q4_0", 32, 18, kA8, decode_q4_0, encode_q4_0, 2},
    {SLUICE_SDI_TYPE_Q4_1, "Q4_1", 32, 20, kA8, decode_q4_1, encode_q4_1, 3},
    {SLUICE_SDI_TYPE_Q5_0, "Q5_0", 32, 22, kA8, decode_q5_0, encode_q5_0, 8},
    {SLUICE_SDI_TYPE_Q5_1, "Q5_1", 32, 24, kA8, decode_q5_1, encode_q5_1, 9},
    {SLUICE_SDI_TYPE_Q8_0, "Q8_0", 32, 34, kA8, decode_q8_0, encode_q8_0, 7},
    {SLUICE_SDI_TYPE_Q2_K, "Q2_K", 256, 84, kA8K, decode_q2_k, encode_q2_k, 10},
    {SLUICE_SDI_TYPE_Q3_K, "Q3_K", 256, 110, kA8K, decode_q3_k, encode_q3_k, 11},
    {SLUICE_SDI_TYPE_Q4_K, "Q4_K", 256, 144, kA8K, decode_q4_k, encode_q4_k, 14},
    {SLUICE_SDI_TYPE_Q5_K, "Q5_K", 256, 176, kA8K, decode_q5_k, encode_q5_k, 16},
    {SLUICE_SDI_TYPE_Q6_K, "Q6_K", 256, 210, kA8K, decode_q6_k, encode_q6_k, 18},
    {SLUICE_SDI_TYPE_I64, "I64", 1, 8, kF32, nullptr, nullptr, -1},
    {SLUICE_SDI_TYPE_BF16, "BF16", 1, 2, kF32, decode_bf16, encode_bf16, 32},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format* find_format(uint32_t id) {
  for (const Format& format : kFormats) {
    if (format.id == id) return &format;
  }
  return nullptr;
}

const Format* find_format(std::string_view name) {
  for (const Format& format : kFormats) {
    if (same_name(format.name, name)) return &format;
  }
  return nullptr;
}

}  // namespace sluice
