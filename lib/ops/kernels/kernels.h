// SPDX-License-Identifier: Apache-2.0
// The kernels of one instruction set as a table of functions. Exact arithmetic: every table gives
// the same bits; scalar is the reference. No kernel allocates, locks, or reads past what it is
// told.
//
// Sums of products of floats ("dot16"): 16 accumulators, element i goes to accumulator i % 16 by
// fused multiply-add in ascending order, the operands padded with zeros to a multiple of 16; then
// one tree: l += l + 8, l += l + 4, l += l + 2, l += l + 1.
//
// Products of quantized weights with 8-bit activations: a sum that begins with +0 takes up the
// blocks of a row in ascending order. With w and x a block of each, x.q the activations' codes, [v]
// the f32 nearest to v (halves to even), fma(a, b, c) = [a * b + c], and sums without brackets
// exact integers:
//   Q4_0, Q5_0, Q8_0:  P = sum of c * x.q      c = q - 8, q - 16, q
//                      sum = fma([w.d * x.scale], [P], sum)
//   Q4_1, Q5_1:        P = sum of q * x.q, S = sum of x.q
//                      sum = fma([w.d * x.scale], [P], sum)
//                      sum = fma([w.m * x.scale], [S], sum)
//   Q3_K, Q6_K:        P = sum over groups j of s[j] * (sum over the group of c * x.q)
//                      c = q - 4, q - 32; s[j] = scale[j] - 32, scale[j]
//                      sum = fma([w.d * x.scale], [P], sum)
//   Q2_K, Q4_K, Q5_K:  P = sum over groups j of scale[j] * (sum over the group of q * x.q)
//                      M = sum over groups j of min[j] * (sum over the group of x.q)
//                      sum = fma([w.d * x.scale], [P], sum)
//                      sum = fma(-[w.dmin * x.scale], [M], sum)
// d, m and dmin are widened from f16, which is exact. P and M fit 32 bits. At the end y = sum, or
// with ADD y = [y + sum].
//
// Fast products: each 256 values of a row of weights of any such format are decoded and quantized
// again, as activations are (BlockA8K); with that block as w: sum = fma([w.scale * x.scale], [sum
// of w.q * x.q], sum). The same bits on every ISA, too.
//
// Fast products of float weights: both sides become bf16. BF(v) is 0 where |v| < 2^-40, a quiet NaN
// for a NaN, else v rounded to bf16, to nearest, halves to even. With w = BF(a row), x = BF(a
// column), padded with zeros to a multiple of 32, a sum that begins with +0 takes up each 32 values
// in ascending order: e = o = +0; for i = 0 .. 15: e = fma(w[2i], x[2i], e), o = fma(w[2i + 1],
// x[2i + 1], o); sum = [sum + [e + o]]. That is what TDPBF16PS does (Intel SDM vol. 2), which takes
// subnormals for zeros: but there are none, for all products are multiples of 2^-94. Nor is any sum
// -0, so the sign of what BF makes 0 is of no consequence. VDPBF16PS adds up in another order and
// is of no use here.
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
  uint32_t n;       // columns
  bool add;         // y = y + product
  uint32_t format;  // of W
  // Of W to values: for fast products.
  void (*decode)(const void* blocks, float* values, size_t n);
  size_t w_bytes256;   // bytes of 256 values of W
  size_t ahead;        // how far ahead of its use W is asked for, in bytes
  std::byte* packed;   // what the kernel's packing wrote, 64-byte aligned
  std::byte* scratch;  // the thread's own, 64-byte aligned
};

// Brings columns into the order that kernels want, with the sums that they need.
struct ColumnPacking {
  // Bytes of args.packed for n columns of k values or fewer.
  size_t (*bytes)(uint32_t k, uint32_t n);
  // Into how many pieces the work falls.
  uint32_t (*pieces)(uint32_t n);
  void (*pack)(const MatmulArgs& args, uint32_t piece);
};

struct MatmulKernel {
  uint32_t format;   // id of the weights' format
  const char* name;  // as shown to users
  // How X is packed before compute(), null: X is used as it stands. Formats that share a packing
  // share what it wrote.
  const ColumnPacking* packing;
  // Bytes of args.scratch that compute() needs for rows of k values.
  size_t (*scratch_bytes)(uint32_t k);
  // Rows [row0, row1) of W times all columns.
  void (*compute)(const MatmulArgs& args, uint32_t row0, uint32_t row1);
};

// One row of queries: a head of a token.
struct AttentionRow {
  const float* q;       // rotated by the token's position
  const float* q_sink;  // rotated by its place in the cache: for the first block
  float* out;
  uint32_t context;  // sees entries 0 .. context, or the last of them
  uint32_t skip;     // blocks behind the first that are no longer seen
};

// The first entry that a token sees through a window; 0: there is none.
static constexpr uint32_t first_in_window(uint32_t context, uint32_t window) {
  return window == 0 || window > context ? 0 : context + 1 - window;
}

inline constexpr uint32_t kAttentionRows = 32;  // most rows of one task

// How a type of cache keeps rows.
struct CacheKernel {
  uint32_t type;  // SLUICE_SDI_TYPE_*
  // n numbers, whole blocks of the type.
  void (*write)(const float* x, std::byte* row, uint32_t n);
  // Rows of n numbers in `slots` slots that lie `stride` bytes apart, back to f32, which is exact:
  // 16 rows of round_up16(n) floats, zeros where there is nothing.
  void (*widen)(const std::byte* rows, size_t stride, uint32_t n, uint32_t slots, float* out);
};
inline constexpr size_t kNumCaches = 3;

// Rows that share a KV head and a block table. For each block in order: the 16 scores dot16(q, k) *
// scale, or with a soft cap soft_cap * tanh(score / soft_cap); where their largest exceeds the
// running maximum, sum and output are scaled by exp(old - new); weights exp(score - maximum), zero
// for entries out of sight; the sum grows by their tree, the output by fused multiply-add in
// ascending order. At the end: output * (1 / sum).
struct AttentionTask {
  const AttentionRow* rows;
  uint32_t n_rows;
  const CacheKernel* k_cache;  // how keys are kept
  const CacheKernel* v_cache;
  const std::byte* k;  // this head's row in slot 0
  const std::byte* v;
  size_t k_stride;  // bytes from slot to slot
  size_t v_stride;
  const uint32_t* block_table;
  uint32_t head_dim;
  float scale;
  float soft_cap;   // 0: none
  uint32_t window;  // entries that a row sees, its own the last; 0: all
  float* scratch;   // attention_scratch(head_dim) floats, 64-byte aligned
};

static constexpr uint32_t round_up16(uint32_t n) { return (n + 15) / 16 * 16; }

static constexpr size_t attention_scratch(uint32_t head_dim) {
  // K and V of a block, K once more; and query, sink query and output of each row.
  return static_cast<size_t>(round_up16(head_dim)) * (16 * 3 + kAttentionRows * 3);
}

inline constexpr uint32_t kNumGlu = 2;

struct Kernels {
  const char* isa;
  // y = x * (1 / sqrt(dot16(x, x) / n + epsilon)) * weight
  void (*rms_norm)(const float* x, const float* weight, float* y, uint32_t n, float epsilon);
  // n a multiple of kA8Block
  void (*quantize)(const float* x, BlockA8* y, uint32_t n);
  // n a multiple of kA8KBlock
  void (*quantize_k)(const float* x, BlockA8K* y, uint32_t n);
  // y = gate / (1 + exp(-a)) * up, by imm0 of GLU: a = gate, or kGeluGate * gate * (1 + kGeluCube *
  // gate^2).
  void (*glu[kNumGlu])(const float* gate, const float* up, float* y, uint32_t n);
  // y = cap * tanh(x / cap)
  void (*softcap)(const float* x, float cap, float* y, uint32_t n);
  const CacheKernel* caches;  // kNumCaches
  void (*attention)(const AttentionTask& task);
  const MatmulKernel* matmul;  // one for each format that has weights
  size_t n_matmul;
  // Fast products: weights of any format with blocks, rows of whole 256 values, columns of
  // BlockA8K.
  MatmulKernel fast;
  // Fast products: weights of F32, F16 or BF16, rows of any length, columns of f32.
  MatmulKernel fast_floats;
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
extern const Kernels kKernelsAvxVnni;  // AVX2 with the dot products of AVX-VNNI
extern const Kernels kKernelsAvx512;
extern const Kernels kKernelsAmx;  // AVX-512 with AMX for fast products
extern const Kernels kKernelsNeon;
extern const Kernels kKernelsDotprod;  // NEON with sdot

// Null: no cache has this type.
const CacheKernel* find_cache(const Kernels& kernels, uint32_t type);
// Null: no kernel for this format.
const MatmulKernel* find_matmul(const Kernels& kernels, uint32_t format);
// The same for fast products.
const MatmulKernel* find_fast(const Kernels& kernels, uint32_t format);

}  // namespace sluice

#endif  // SLUICE_OPS_KERNELS_KERNELS_H
