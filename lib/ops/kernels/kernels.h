// SPDX-License-Identifier: Apache-2.0
// The kernels of one instruction set as a table of functions. Exact arithmetic: every table gives
// the same bits; scalar is the reference. No kernel allocates, locks, or reads past what it is
// told.
//
// Sums of products of floats ("dot16"): 16 accumulators, element i goes to accumulator i % 16 by
// fused multiply-add in ascending order, the operands padded with zeros to a multiple of 16; then
// one tree: l += l + 8, l += l + 4, l += l + 2, l += l + 1.
#ifndef SLUICE_OPS_KERNELS_KERNELS_H
#define SLUICE_OPS_KERNELS_KERNELS_H

#include <cstddef>
#include <cstdint>

#include "ops/activation.h"

namespace sluice {

// A product y[M,N] = W[K,M] x X[K,N] (fastest dimension first); strides in bytes.
struct MatmulArgs {
  const std::byte* w;
  size_t w_stride;
  const std::byte* x;
  size_t x_stride;
  std::byte* y;  // f32
  size_t y_stride;
  uint32_t k;
  uint32_t n;         // columns
  bool add;           // y = y + product
  std::byte* packed;  // what pack() wrote, 64-byte aligned
};

struct MatmulKernel {
  uint32_t format;   // id of the weights' format
  const char* name;  // as shown to users
  // Columns that are packed together before compute(); 0: X is used as it stands.
  uint32_t pack_columns;
  // Fewest columns for which packing is used.
  uint32_t pack_from;
  size_t (*packed_group_bytes)(uint32_t k);
  // Packs columns [group * pack_columns, ...) of X into its place in args.packed.
  void (*pack)(const MatmulArgs& args, uint32_t group);
  // Rows [row0, row1) of W times all columns.
  void (*compute)(const MatmulArgs& args, uint32_t row0, uint32_t row1);
};

// One row of queries: a head of a token.
struct AttentionRow {
  const float* q;       // rotated by the token's position
  const float* q_sink;  // rotated by its place in the cache: for the first block
  float* out;
  uint32_t context;  // sees entries 0 .. context
  uint32_t skip;     // blocks behind the first that are no longer seen
};

inline constexpr uint32_t kAttentionRows = 32;  // most rows of one task

// Rows that share a KV head and a block table. For each block in order: the 16 scores dot16(q, k) *
// scale; where their largest exceeds the running maximum, sum and output are scaled by exp(old -
// new); weights exp(score - maximum), zero for entries out of sight; the sum grows by their tree,
// the output by fused multiply-add in ascending order. At the end: output * (1 / sum).
struct AttentionTask {
  const AttentionRow* rows;
  uint32_t n_rows;
  const uint16_t* k;  // f16, this head's first element in slot 0
  const uint16_t* v;
  size_t k_stride;  // elements from slot to slot
  size_t v_stride;
  const uint32_t* block_table;
  uint32_t head_dim;
  float scale;
  float* scratch;  // attention_scratch(head_dim) floats, 64-byte aligned
};

static constexpr uint32_t round_up16(uint32_t n) { return (n + 15) / 16 * 16; }

static constexpr size_t attention_scratch(uint32_t head_dim) {
  // K and V of a block, and query, sink query and output of each row.
  return static_cast<size_t>(round_up16(head_dim)) * (16 * 2 + kAttentionRows * 3);
}

struct Kernels {
  const char* isa;
  // y = x * (1 / sqrt(dot16(x, x) / n + epsilon)) * weight
  void (*rms_norm)(const float* x, const float* weight, float* y, uint32_t n, float epsilon);
  // n a multiple of kA8Block
  void (*quantize)(const float* x, BlockA8* y, uint32_t n);
  // n a multiple of kA8KBlock
  void (*quantize_k)(const float* x, BlockA8K* y, uint32_t n);
  // y = gate / (1 + exp(-gate)) * up
  void (*swiglu)(const float* gate, const float* up, float* y, uint32_t n);
  void (*to_f16)(const float* x, uint16_t* y, uint32_t n);
  void (*attention)(const AttentionTask& task);
  const MatmulKernel* matmul;  // one for each format that has weights
  size_t n_matmul;
};

// Instruction sets in rising order of preference; `usable` asks the CPU and the system.
struct Isa {
  const char* name;
  bool (*usable)();
  const Kernels* kernels;
};
extern const Isa kIsas[];
extern const size_t kNumIsas;

extern const Kernels kKernelsScalar;
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;

// Null: no kernel for this format.
const MatmulKernel* find_matmul(const Kernels& kernels, uint32_t format);

}  // namespace sluice

#endif  // SLUICE_OPS_KERNELS_KERNELS_H
