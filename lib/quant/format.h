// SPDX-License-Identifier: Apache-2.0
// The table of tensor formats. A format is one file in this folder and one line in format.cc;
// reader, writer, quantizer, validator and kernels all learn of it from here.
#ifndef SLUICE_QUANT_FORMAT_H
#define SLUICE_QUANT_FORMAT_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

struct Format {
  uint32_t id;           // number in GGUF and in tensor descriptors
  const char* name;      // "Q8_0", as users write it
  uint32_t block_size;   // values in a block
  uint32_t block_bytes;  // bytes of a block
  uint32_t activation;   // SLUICE_SDI_TYPE_* that a matmul multiplies it with
  // Blocks to values and back. `n` is a multiple of block_size. Null where a format holds no
  // weights. Any bits decode to something, and any values encode to something. `importance`:
  // weights
  // >= 0 of the squared errors of the n values; null: all count alike.
  void (*decode)(const void* blocks, float* values, size_t n);
  void (*encode)(const float* values, void* blocks, size_t n, const float* importance);
  // general.file_type of a GGUF whose matrices have this format; -1: none.
  int32_t file_type;

  // Bytes of `n` values; n must be a multiple of block_size.
  size_t bytes(uint64_t n) const { return n / block_size * block_bytes; }
};

std::span<const Format> formats();
const Format* find_format(uint32_t id);            // null: not in the table
const Format* find_format(std::string_view name);  // case does not matter

}  // namespace sluice

#endif  // SLUICE_QUANT_FORMAT_H
