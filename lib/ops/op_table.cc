// SPDX-License-Identifier: Apache-2.0
// The table of operations, in the order of their numbers, and the rules that they share.
#include <cerrno>

#include "ops/op.h"

namespace sluice {
namespace {

constexpr Op kOps[SLUICE_SDI_N_OPS] = {
    {},  // 0 is no operation
    {"embed", 1, check_embed, run_embed},
    {"rms_norm", 2, check_rms_norm, run_rms_norm, 0, true},
    {"quantize", 1, check_quantize, run_quantize},
    {"matmul", 2, check_matmul, run_matmul, SLUICE_SDI_FLAG_ADD},
    {"rope_table", 1, check_rope_table, run_rope_table},
    {"rope", 2, check_rope, run_rope, 0, true},
    {"kv_write", 1, check_kv_write, run_kv_write},
    {"attention", 4, check_attention, run_attention},
    {"swiglu", 2, check_swiglu, run_swiglu, 0, true},
    {"select", 1, check_select, run_select},
};

}  // namespace

const Op* find_op(uint16_t op) { return op == 0 || op >= SLUICE_SDI_N_OPS ? nullptr : &kOps[op]; }

Result<void> expect(bool holds, const char* what) {
  if (holds) return {};
  return fail(EINVAL, std::string("expected ") + what);
}

Result<void> expect_f32(const Tensor& t, const char* what) {
  return expect(t.desc.type == SLUICE_SDI_TYPE_F32 && t.data != nullptr &&
                    reinterpret_cast<uintptr_t>(t.data) % alignof(float) == 0 &&
                    t.desc.stride[0] % alignof(float) == 0 &&
                    t.desc.stride[1] % alignof(float) == 0 &&
                    t.desc.stride[2] % alignof(float) == 0,
                what);
}

}  // namespace sluice
