// SPDX-License-Identifier: Apache-2.0
// Operations that work row by row: embed, select, rms_norm, quantize, glu, add,
// softcap.
#include <algorithm>
#include <cstring>

#include "ops/op.h"
#include "quant/format.h"

namespace sluice {
namespace {

float* row_f32(const Tensor& t, uint32_t row) {
  return reinterpret_cast<float*>(t.data + row * t.row_stride());
}

constexpr uint32_t kRowsWorth = 4;  // rows of a whole vector that are worth a thread's trouble
constexpr uint32_t kElementsWorth = 2048;  // elements that are

// Rows of the destination, whole.
uint32_t row_pieces(const Operands& o, const RunContext& c) {
  return count_pieces(c.n_rows(*o.dst), kRowsWorth, c.n_threads);
}

// Rows of the destination cut into units, so that a single row keeps all threads busy.
constexpr uint32_t kUnit = 256;
static_assert(kUnit % kA8Block == 0 && kUnit % kA8KBlock == 0);

uint32_t units_per_row(const Tensor& t) { return (t.desc.shape[0] + kUnit - 1) / kUnit; }

uint32_t unit_pieces(const Operands& o, const RunContext& c) {
  return count_pieces(uint64_t{c.n_rows(*o.dst)} * units_per_row(*o.dst), kElementsWorth / kUnit,
                      c.n_threads);
}

// Calls run(row, first element, elements) for the units of a piece, those of one row together.
template <typename Run>
void for_each_unit(const Operands& o, const RunContext& c, const Piece& piece, Run run) {
  const uint32_t per_row = units_per_row(*o.dst);
  const uint32_t total = c.n_rows(*o.dst) * per_row;
  const uint32_t end = piece.end(total);
  for (uint32_t i = piece.begin(total); i < end;) {
    const uint32_t row = i / per_row, unit = i % per_row;
    const uint32_t n_units = std::min(per_row - unit, end - i);
    const uint32_t first = unit * kUnit;
    run(row, first, std::min(n_units * kUnit, o.dst->desc.shape[0] - first));
    i += n_units;
  }
}

}  // namespace

Result<void> check_embed(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &table = o.src[0]->desc;
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect(dst.rank == 2 && dst.rows == SLUICE_SDI_ROWS_TOKENS, "dst[D, tokens]"));
  SLUICE_CHECK(expect(
      table.rank == 2 && table.rows == SLUICE_SDI_ROWS_FIXED && table.shape[0] == dst.shape[0],
      "a table [D, V]"));
  const Format* format = find_format(table.type);
  SLUICE_CHECK(expect(format && format->decode, "a table of a weight format"));
  return expect_positive(o, 0, true, "imm0 to be 0 or a scale above 0");
}

static void run_embed(const Operands& o, const RunContext& c, const Piece& piece) {
  const Tensor& table = *o.src[0];
  const Format* format = find_format(table.desc.type);
  const uint32_t n = c.n_rows(*o.dst), n_columns = o.dst->desc.shape[0];
  for (uint32_t i = piece.begin(n); i < piece.end(n); ++i) {
    float* row = row_f32(*o.dst, i);
    format->decode(table.data + c.step->token()[i] * table.row_stride(), row, n_columns);
    if (o.imm(0) == 0) continue;
    for (uint32_t j = 0; j < n_columns; ++j) row[j] = row[j] * o.imm_f32(0);
  }
}

Result<void> check_select(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &src = o.src[0]->desc;
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect_f32(*o.src[0], "an f32 source"));
  SLUICE_CHECK(expect(dst.rank == 2 && dst.rows == SLUICE_SDI_ROWS_OUTPUTS, "dst[D, outputs]"));
  return expect(src.rank == 2 && src.rows == SLUICE_SDI_ROWS_TOKENS && src.shape[0] == dst.shape[0],
                "a source [D, tokens]");
}

static void run_select(const Operands& o, const RunContext& c, const Piece& piece) {
  const uint32_t n = c.n_rows(*o.dst);
  for (uint32_t i = piece.begin(n); i < piece.end(n); ++i) {
    std::memcpy(row_f32(*o.dst, i), row_f32(*o.src[0], c.step->output()[i]),
                o.dst->desc.shape[0] * sizeof(float));
  }
}

Result<void> check_rms_norm(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &weight = o.src[1]->desc;
  for (const Tensor* t : {o.dst, o.src[1]}) SLUICE_CHECK(expect_f32(*t, "f32 operands"));
  SLUICE_CHECK(expect(dst.rank == 2 || dst.rank == 3, "a destination [D, N] or [D, H, N]"));
  SLUICE_CHECK(expect_like(*o.src[0], *o.dst, "an f32 source of the destination's shape"));
  return expect(
      weight.rank == 1 && weight.rows == SLUICE_SDI_ROWS_FIXED && weight.shape[0] == dst.shape[0],
      "a weight [D]");
}

// Rows of dimension 0: a token's, or those of its heads.
static uint32_t rows_per_token(const Operands& o) {
  return o.dst->desc.rank == 3 ? o.dst->desc.shape[1] : 1;
}

static uint32_t rms_norm_pieces(const Operands& o, const RunContext& c) {
  const uint64_t elements = uint64_t{c.n_rows(*o.dst)} * rows_per_token(o) * o.dst->desc.shape[0];
  return o.dst->desc.rank == 2 ? row_pieces(o, c)
                               : count_pieces(elements, kElementsWorth, c.n_threads);
}

static void run_rms_norm(const Operands& o, const RunContext& c, const Piece& piece) {
  const uint32_t n_heads = rows_per_token(o), n = c.n_rows(*o.dst) * n_heads;
  const auto* weight = reinterpret_cast<const float*>(o.src[1]->data);
  const auto row = [&](const Tensor& t, uint32_t i) {
    return reinterpret_cast<float*>(t.data + i / n_heads * t.row_stride() +
                                    i % n_heads * t.desc.stride[0]);
  };
  for (uint32_t i = piece.begin(n); i < piece.end(n); ++i) {
    c.kernels->rms_norm(row(*o.src[0], i), weight, row(*o.dst, i), o.dst->desc.shape[0],
                        o.imm_f32(0));
  }
}

Result<void> check_quantize(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &src = o.src[0]->desc;
  SLUICE_CHECK(expect(find_activation(dst.type), "an a8 or a8k destination"));
  SLUICE_CHECK(expect_f32(*o.src[0], "an f32 source"));
  return expect(dst.rank == 2 && src.rank == 2 && dst.rows == src.rows &&
                    dst.shape[0] == src.shape[0] && dst.shape[1] == src.shape[1],
                "dst and source [D, N] of one shape");
}

static void run_quantize(const Operands& o, const RunContext& c, const Piece& piece) {
  for_each_unit(o, c, piece, [&](uint32_t row, uint32_t first, uint32_t n) {
    const float* x = row_f32(*o.src[0], row) + first;
    std::byte* y = o.dst->data + row * o.dst->row_stride();
    if (o.dst->desc.type == SLUICE_SDI_TYPE_A8K) {
      c.kernels->quantize_k(x, reinterpret_cast<BlockA8K*>(y) + first / kA8KBlock, n);
    } else {
      c.kernels->quantize(x, reinterpret_cast<BlockA8*>(y) + first / kA8Block, n);
    }
  });
}

// f32 [D, N], the destination and as many sources.
static Result<void> check_elements(const Operands& o, int n_src) {
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect(o.dst->desc.rank == 2, "a destination [D, N]"));
  for (int i = 0; i < n_src; ++i) {
    SLUICE_CHECK(expect_like(*o.src[i], *o.dst, "f32 sources of the destination's shape"));
  }
  return {};
}

Result<void> check_glu(const Operands& o) {
  SLUICE_CHECK(check_elements(o, 2));
  return expect(o.imm(0) < kNumGlu, "imm0 to name an activation");
}

static void run_glu(const Operands& o, const RunContext& c, const Piece& piece) {
  for_each_unit(o, c, piece, [&](uint32_t row, uint32_t first, uint32_t n) {
    c.kernels->glu[o.imm(0)](row_f32(*o.src[0], row) + first, row_f32(*o.src[1], row) + first,
                             row_f32(*o.dst, row) + first, n);
  });
}

// A source [D] whose elements every row gets.
static bool is_bias(const Tensor& t) { return t.desc.rank == 1; }

Result<void> check_add(const Operands& o) {
  SLUICE_CHECK(check_elements(o, 1));
  const TensorDesc& d = o.src[1]->desc;
  if (!is_bias(*o.src[1])) return check_elements(o, 2);
  SLUICE_CHECK(expect_f32(*o.src[1], "f32 sources"));
  return expect(d.rows == SLUICE_SDI_ROWS_FIXED && d.shape[0] == o.dst->desc.shape[0],
                "a second source [D, N] or [D]");
}

static void run_add(const Operands& o, const RunContext& c, const Piece& piece) {
  for_each_unit(o, c, piece, [&](uint32_t row, uint32_t first, uint32_t n) {
    const float* a = row_f32(*o.src[0], row) + first;
    const float* b = row_f32(*o.src[1], is_bias(*o.src[1]) ? 0 : row) + first;
    float* y = row_f32(*o.dst, row) + first;
    for (uint32_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
  });
}

Result<void> check_softcap(const Operands& o) {
  SLUICE_CHECK(check_elements(o, 1));
  return expect_positive(o, 0, false, "imm0 to be a cap above 0");
}

static void run_softcap(const Operands& o, const RunContext& c, const Piece& piece) {
  for_each_unit(o, c, piece, [&](uint32_t row, uint32_t first, uint32_t n) {
    c.kernels->softcap(row_f32(*o.src[0], row) + first, o.imm_f32(0), row_f32(*o.dst, row) + first,
                       n);
  });
}

const OpCode kEmbedCode = {row_pieces, run_embed};
const OpCode kSelectCode = {row_pieces, run_select};
const OpCode kRmsNormCode = {rms_norm_pieces, run_rms_norm};
const OpCode kQuantizeCode = {unit_pieces, run_quantize};
const OpCode kGluCode = {unit_pieces, run_glu};
const OpCode kAddCode = {unit_pieces, run_add};
const OpCode kSoftcapCode = {unit_pieces, run_softcap};

}  // namespace sluice
