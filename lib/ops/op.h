// SPDX-License-Identifier: Apache-2.0
// What an operation is: a row in one table with its name, its operands, its rules and its code.
#ifndef SLUICE_OPS_OP_H
#define SLUICE_OPS_OP_H

#include <bit>
#include <cstdint>
#include <string>

#include <sluice/result.hpp>

#include "ops/kernels/kernels.h"
#include "ops/list.h"
#include "ops/step.h"

namespace sluice {

// A tensor of a loaded list: checked against its segment, address resolved.
struct Tensor {
  TensorDesc desc;
  std::byte* data = nullptr;
  uint64_t extent = 0;  // bytes from the first to behind the last
  bool writable = false;
  bool readable = true;

  uint32_t rows() const { return desc.rank == 0 ? 0 : desc.shape[desc.rank - 1]; }
  size_t row_stride() const { return desc.stride[desc.rank < 2 ? 0 : desc.rank - 2]; }
};

// The tensors of one command, null where there is none.
struct Operands {
  const Command* command = nullptr;
  const Tensor* dst = nullptr;
  const Tensor* src[5] = {};
  uint32_t imm(int i) const { return command->imm[i]; }
  float imm_f32(int i) const { return std::bit_cast<float>(command->imm[i]); }
};

// What a thread has at hand while it runs its share of a command.
struct RunContext {
  const Kernels* kernels;
  const Step* step;
  const MatmulKernel* matmul;  // of this command, if it is a MATMUL
  std::byte* packed;           // shared by all threads
  float* scratch;              // this thread's own
  unsigned n_threads;

  // Rows of the tensor in this step.
  uint32_t n_rows(const Tensor& t) const {
    switch (t.desc.rows) {
      case SLUICE_SDI_ROWS_TOKENS:
        return step->n_tokens();
      case SLUICE_SDI_ROWS_OUTPUTS:
        return step->n_outputs();
      default:
        return t.rows();
    }
  }
};

// A piece of a command: number `index` of `count`.
struct Piece {
  uint32_t index, count;
  // Its even share of n things: [begin, end).
  uint32_t begin(uint32_t n) const { return static_cast<uint32_t>(uint64_t{n} * index / count); }
  uint32_t end(uint32_t n) const {
    return static_cast<uint32_t>(uint64_t{n} * (index + 1) / count);
  }
};

// Into how many pieces to cut n things, `least` of which are worth a thread's trouble: few enough
// to be cheap, enough that a thread that is held up leaves work to the others.
uint32_t count_pieces(uint64_t n, uint64_t least, unsigned n_threads);

// The two halves of running a command: how many pieces a step makes of it, and doing one of them.
struct OpCode {
  uint32_t (*pieces)(const Operands& o, const RunContext& c);
  void (*run)(const Operands& o, const RunContext& c, const Piece& piece);
};

inline constexpr uint32_t kMaxHeadDim = 1024;

struct Op {
  const char* name;
  uint8_t n_src;
  // Types, shapes and row counts of the operands; the message completes "command 3 (rope): ".
  Result<void> (*check)(const Operands& o);
  OpCode code;
  uint16_t flags = 0;       // SLUICE_SDI_FLAG_* that it knows
  bool in_place = false;    // dst may be the very tensor that a source is
  uint8_t n_imm = 0;        // immediates that it uses; the others are 0
  bool has_caches = false;  // its operands of 16 bits are caches
};

// Null: no such operation.
const Op* find_op(uint16_t op);

// Rules that several operations share. `what` names the operand in the message.
Result<void> expect(bool holds, const char* what);
Result<void> expect_f32(const Tensor& t, const char* what);
// f32 of the same rank, shape and kind of rows.
Result<void> expect_like(const Tensor& t, const Tensor& other, const char* what);
// An immediate that is a finite f32 above 0, or, if that may be, all bits 0 for none.
Result<void> expect_positive(const Operands& o, int imm, bool or_none, const char* what);

Result<void> check_embed(const Operands& o);
Result<void> check_select(const Operands& o);
Result<void> check_rms_norm(const Operands& o);
Result<void> check_quantize(const Operands& o);
Result<void> check_matmul(const Operands& o);
Result<void> check_rope_table(const Operands& o);
Result<void> check_rope(const Operands& o);
Result<void> check_kv_write(const Operands& o);
Result<void> check_attention(const Operands& o);
Result<void> check_glu(const Operands& o);
Result<void> check_add(const Operands& o);
Result<void> check_softcap(const Operands& o);

extern const OpCode kEmbedCode, kSelectCode, kRmsNormCode, kQuantizeCode, kMatmulCode,
    kRopeTableCode, kRopeCode, kKvWriteCode, kAttentionCode, kGluCode, kAddCode, kSoftcapCode;
// Packs a matmul's columns, before it.
extern const OpCode kPackCode;

}  // namespace sluice

#endif  // SLUICE_OPS_OP_H
