// SPDX-License-Identifier: Apache-2.0
// The table of operations, in the order of their numbers, and the rules that they share.
#include <algorithm>
#include <cerrno>
#include <limits>

#include "ops/op.h"

namespace sluice {
namespace {

const Op kOps[SLUICE_SDI_N_OPS] = {
    {},  // 0 is no operation
    {"embed", 1, check_embed, kEmbedCode, 0, false, 1},
    {"rms_norm", 2, check_rms_norm, kRmsNormCode, 0, true, 1},
    {"quantize", 1, check_quantize, kQuantizeCode},
    {"matmul", 2, check_matmul, kMatmulCode, SLUICE_SDI_FLAG_ADD | SLUICE_SDI_FLAG_FAST},
    {"rope_table", 1, check_rope_table, kRopeTableCode, 0, false, 2},
    {"rope", 2, check_rope, kRopeCode, 0, true, 1},
    {"kv_write", 1, check_kv_write, kKvWriteCode, 0, false, 0, true},
    {"attention", 4, check_attention, kAttentionCode, 0, false, 3, true},
    {"glu", 2, check_glu, kGluCode, 0, true, 1},
    {"select", 1, check_select, kSelectCode},
    {"add", 2, check_add, kAddCode, 0, true},
    {"softcap", 1, check_softcap, kSoftcapCode, 0, true, 1},
};

}  // namespace

const Op* find_op(uint16_t op) { return op == 0 || op >= SLUICE_SDI_N_OPS ? nullptr : &kOps[op]; }

uint32_t count_pieces(uint64_t n, uint64_t least, unsigned n_threads) {
  constexpr unsigned kPiecesPerThread = 4;
  const uint64_t worth = (n + least - 1) / least;
  return static_cast<uint32_t>(std::min<uint64_t>(worth, uint64_t{n_threads} * kPiecesPerThread));
}

Result<void> expect(bool holds, const char* what) {
  if (holds) return {};
  return fail(EINVAL, std::string("expected ") + what);
}

Result<void> expect_positive(const Operands& o, int imm, bool or_none, const char* what) {
  if (or_none && o.imm(imm) == 0) return {};
  return expect(o.imm_f32(imm) > 0.0f && o.imm_f32(imm) <= std::numeric_limits<float>::max(), what);
}

Result<void> expect_like(const Tensor& t, const Tensor& other, const char* what) {
  const TensorDesc &a = t.desc, &b = other.desc;
  return expect(a.type == SLUICE_SDI_TYPE_F32 && a.rank == b.rank && a.rows == b.rows &&
                    std::equal(a.shape, a.shape + 4, b.shape),
                what);
}

Result<void> expect_f32(const Tensor& t, const char* what) {
  return expect(t.desc.type == SLUICE_SDI_TYPE_F32, what);
}

}  // namespace sluice
