// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding. An angle is a whole number of 2^-64 turns: position times a phase
// increment, modulo one turn, without rounding at any position. The idea: numerically controlled
// oscillators.
#include <cmath>

#include "ops/kernels/constants.h"
#include "ops/op.h"

namespace sluice {
namespace {

struct CosSin {
  float cos, sin;
};

// The nearest quarter turn is taken off; what is left, at most an eighth of a turn either way, is
// cut to 32 bits, converted and goes through the polynomials.
CosSin rotation(uint64_t phase) {
  const auto quarter = static_cast<uint32_t>((phase + (uint64_t{1} << 61)) >> 62);
  const auto rest = static_cast<int64_t>(phase - (uint64_t{quarter} << 62));
  constexpr float kRadians = 6.283185307179586f * 0x1p-32f;
  const float x = static_cast<float>(static_cast<int32_t>(rest >> 32)) * kRadians;
  const float z = x * x;
  float s = std::fma(kSinPoly[0], z, kSinPoly[1]);
  s = std::fma(s, z, kSinPoly[2]);
  s = std::fma(s * z, x, x);
  float k = std::fma(kCosPoly[0], z, kCosPoly[1]);
  k = std::fma(k, z, kCosPoly[2]);
  k = std::fma(k, z * z, std::fma(-0.5f, z, 1.0f));
  switch (quarter & 3) {
    case 0:
      return {k, s};
    case 1:
      return {-s, k};
    case 2:
      return {-k, -s};
    default:
      return {s, -k};
  }
}

// One head: R rotated elements, the rest copied. `step` is the distance between two pairs' first
// elements, `gap` that between the elements of a pair.
void rotate_head(const float* x, const float* table, float* y, uint32_t n_rot, uint32_t head_dim,
                 bool halves) {
  const uint32_t n_pairs = n_rot / 2;
  const uint32_t step = halves ? 1 : 2;
  const uint32_t gap = halves ? n_pairs : 1;
  for (uint32_t i = 0; i < n_pairs; ++i) {
    const float c = table[2 * i], s = table[2 * i + 1];
    const float a = x[i * step], b = x[i * step + gap];
    y[i * step] = a * c - b * s;
    y[i * step + gap] = a * s + b * c;
  }
  for (uint32_t i = n_rot; i < head_dim; ++i) y[i] = x[i];
}

}  // namespace

Result<void> check_rope_table(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &phase = o.src[0]->desc;
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect(
      phase.type == SLUICE_SDI_TYPE_I64 && phase.rank == 1 && phase.rows == SLUICE_SDI_ROWS_FIXED,
      "phase increments i64[R/2]"));
  SLUICE_CHECK(expect(dst.rank == 2 && dst.rows == SLUICE_SDI_ROWS_TOKENS &&
                          dst.shape[0] == uint64_t{2} * phase.shape[0],
                      "a destination [R, tokens]"));
  SLUICE_CHECK(expect_positive(o, 1, true, "imm1 to be 0 or a magnitude above 0"));
  return expect(o.imm(0) == SLUICE_SDI_POSITION || o.imm(0) == SLUICE_SDI_CONTEXT,
                "imm0 to name a position array");
}

static uint32_t rope_table_pieces(const Operands& o, const RunContext& c) {
  return count_pieces(c.n_rows(*o.dst), 8, c.n_threads);
}

static void run_rope_table(const Operands& o, const RunContext& c, const Piece& piece) {
  const uint32_t n = c.n_rows(*o.dst);
  const uint32_t* position =
      o.imm(0) == SLUICE_SDI_CONTEXT ? c.step->context() : c.step->position();
  const auto* increment = reinterpret_cast<const uint64_t*>(o.src[0]->data);
  const float magnitude = o.imm(1) == 0 ? 1.0f : o.imm_f32(1);
  for (uint32_t i = piece.begin(n); i < piece.end(n); ++i) {
    auto* row = reinterpret_cast<float*>(o.dst->data + i * o.dst->row_stride());
    for (uint32_t p = 0; p < o.src[0]->desc.shape[0]; ++p) {
      const CosSin r = rotation(position[i] * increment[p]);
      row[2 * p] = r.cos * magnitude;
      row[2 * p + 1] = r.sin * magnitude;
    }
  }
}

Result<void> check_rope(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &table = o.src[1]->desc;
  for (const Tensor* t : {o.dst, o.src[1]}) SLUICE_CHECK(expect_f32(*t, "f32 operands"));
  SLUICE_CHECK(
      expect(dst.rank == 3 && dst.rows == SLUICE_SDI_ROWS_TOKENS, "a destination [D, H, tokens]"));
  SLUICE_CHECK(expect_like(*o.src[0], *o.dst, "an f32 source of the destination's shape"));
  SLUICE_CHECK(expect(table.rank == 2 && table.rows == SLUICE_SDI_ROWS_TOKENS &&
                          table.shape[0] % 2 == 0 && table.shape[0] <= dst.shape[0] &&
                          table.shape[1] == dst.shape[2],
                      "a table [R, tokens] with R even and at most D"));
  return expect(o.imm(0) == SLUICE_SDI_ROPE_ADJACENT || o.imm(0) == SLUICE_SDI_ROPE_HALVES,
                "imm0 to name a pairing");
}

static uint32_t rope_pieces(const Operands& o, const RunContext& c) {
  return count_pieces(uint64_t{c.n_rows(*o.dst)} * o.dst->desc.shape[1], 32, c.n_threads);
}

static void run_rope(const Operands& o, const RunContext& c, const Piece& piece) {
  const Tensor &dst = *o.dst, &src = *o.src[0], &table = *o.src[1];
  const uint32_t n_heads = dst.desc.shape[1];
  const uint32_t total = c.n_rows(dst) * n_heads;
  const bool halves = o.imm(0) == SLUICE_SDI_ROPE_HALVES;
  for (uint32_t i = piece.begin(total); i < piece.end(total); ++i) {
    const uint32_t token = i / n_heads, head = i % n_heads;
    const auto* x = src.data + token * src.row_stride() + head * src.desc.stride[0];
    auto* y = dst.data + token * dst.row_stride() + head * dst.desc.stride[0];
    rotate_head(reinterpret_cast<const float*>(x),
                reinterpret_cast<const float*>(table.data + token * table.row_stride()),
                reinterpret_cast<float*>(y), table.desc.shape[0], dst.desc.shape[0], halves);
  }
}

const OpCode kRopeTableCode = {rope_table_pieces, run_rope_table};
const OpCode kRopeCode = {rope_pieces, run_rope};

}  // namespace sluice
