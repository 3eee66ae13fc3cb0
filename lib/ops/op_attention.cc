// SPDX-License-Identifier: Apache-2.0
// kv_write and paged attention. A task is a KV head and some consecutive tokens of one sequence,
// whose query rows share each block of keys and values while it is in the nearest cache.
#include <algorithm>

#include "ops/op.h"

namespace sluice {
namespace {

// f16 [D, slots] or [D, heads, slots] in whole blocks.
Result<void> check_cache(const Tensor& t, uint16_t rank) {
  const TensorDesc& d = t.desc;
  SLUICE_CHECK(
      expect(d.type == SLUICE_SDI_TYPE_F16 && d.rank == rank && d.rows == SLUICE_SDI_ROWS_FIXED,
             "an f16 cache"));
  SLUICE_CHECK(expect(d.shape[rank - 1] % SLUICE_SDI_BLOCK_TOKENS == 0, "a cache of whole blocks"));
  return expect(reinterpret_cast<uintptr_t>(t.data) % alignof(uint16_t) == 0 &&
                    d.stride[0] % alignof(uint16_t) == 0 && d.stride[1] % alignof(uint16_t) == 0,
                "an aligned cache");
}

// Walks the tasks of a step in a fixed order; every thread walks all of them and runs those whose
// number it draws from the shared counter.
struct TaskShape {
  uint32_t n_kv_heads;
  uint32_t group;           // query heads to a KV head
  uint32_t heads_per_task;  // of those
  uint32_t tokens_per_task;
};

struct Task {
  uint32_t token, n_tokens, kv_head, head, n_heads;
};

template <typename Run>
void for_each_task(const RunContext& c, const TaskShape& shape, Run run) {
  uint32_t number = 0;
  uint32_t mine = c.next->fetch_add(1, std::memory_order_relaxed);
  const uint32_t* sequence = c.step->sequence();
  const uint32_t n_tokens = c.step->n_tokens();
  for (uint32_t token = 0; token < n_tokens;) {
    uint32_t n = 1;
    while (n < shape.tokens_per_task && token + n < n_tokens &&
           sequence[token + n] == sequence[token]) {
      ++n;
    }
    for (uint32_t kv = 0; kv < shape.n_kv_heads; ++kv) {
      for (uint32_t h = 0; h < shape.group; h += shape.heads_per_task, ++number) {
        if (number != mine) continue;
        run(Task{token, n, kv, kv * shape.group + h,
                 std::min(shape.heads_per_task, shape.group - h)});
        mine = c.next->fetch_add(1, std::memory_order_relaxed);
      }
    }
    token += n;
  }
}

const float* head_row(const Tensor& t, uint32_t token, uint32_t head) {
  return reinterpret_cast<const float*>(t.data + token * t.row_stride() + head * t.desc.stride[0]);
}

}  // namespace

Result<void> check_kv_write(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &src = o.src[0]->desc;
  SLUICE_CHECK(check_cache(*o.dst, 2));
  SLUICE_CHECK(expect_f32(*o.src[0], "an f32 source"));
  return expect(src.rank == 2 && src.rows == SLUICE_SDI_ROWS_TOKENS && src.shape[0] == dst.shape[0],
                "a source [D, tokens]");
}

void run_kv_write(const Operands& o, const RunContext& c) {
  const uint32_t n = c.n_rows(*o.src[0]);
  for (uint32_t i = c.begin(n); i < c.end(n); ++i) {
    const int32_t slot = c.step->slot()[i];
    if (slot == SLUICE_SDI_NO_SLOT) continue;
    const auto* x = reinterpret_cast<const float*>(o.src[0]->data + i * o.src[0]->row_stride());
    std::byte* y = o.dst->data + static_cast<size_t>(slot) * o.dst->row_stride();
    c.kernels->to_f16(x, reinterpret_cast<uint16_t*>(y), o.dst->desc.shape[0]);
  }
}

Result<void> check_attention(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &k = o.src[2]->desc, &v = o.src[3]->desc;
  for (const Tensor* t : {o.dst, o.src[0], o.src[1]}) {
    SLUICE_CHECK(expect_f32(*t, "f32 queries and destination"));
    const TensorDesc& d = t->desc;
    SLUICE_CHECK(expect(d.rank == 3 && d.rows == SLUICE_SDI_ROWS_TOKENS &&
                            d.shape[0] == dst.shape[0] && d.shape[1] == dst.shape[1] &&
                            d.shape[2] == dst.shape[2],
                        "queries and destination [D, H, tokens]"));
  }
  SLUICE_CHECK(check_cache(*o.src[2], 3));
  SLUICE_CHECK(check_cache(*o.src[3], 3));
  SLUICE_CHECK(expect(k.shape[0] == dst.shape[0] && v.shape[0] == dst.shape[0] &&
                          k.shape[1] == v.shape[1] && k.shape[2] == v.shape[2],
                      "key and value caches [D, KV heads, slots]"));
  SLUICE_CHECK(expect(dst.shape[0] <= kMaxHeadDim, "heads of at most 1024 elements"));
  return expect(dst.shape[1] % k.shape[1] == 0, "query heads a multiple of KV heads");
}

void run_attention(const Operands& o, const RunContext& c) {
  const Tensor &dst = *o.dst, &k = *o.src[2], &v = *o.src[3];
  TaskShape shape;
  shape.n_kv_heads = k.desc.shape[1];
  shape.group = dst.desc.shape[1] / shape.n_kv_heads;
  shape.heads_per_task = std::min(shape.group, kAttentionRows);
  shape.tokens_per_task = kAttentionRows / shape.heads_per_task;

  AttentionTask task{};
  task.k_stride = k.row_stride() / sizeof(uint16_t);
  task.v_stride = v.row_stride() / sizeof(uint16_t);
  task.head_dim = dst.desc.shape[0];
  task.scale = o.imm_f32(0);
  task.scratch = c.scratch;
  for_each_task(c, shape, [&](const Task& t) {
    AttentionRow rows[kAttentionRows];
    task.rows = rows;
    task.n_rows = 0;
    for (uint32_t i = t.token; i < t.token + t.n_tokens; ++i) {
      for (uint32_t h = t.head; h < t.head + t.n_heads; ++h) {
        rows[task.n_rows++] = {head_row(*o.src[0], i, h), head_row(*o.src[1], i, h),
                               const_cast<float*>(head_row(dst, i, h)), c.step->context()[i],
                               c.step->skip()[i]};
      }
    }
    task.k = reinterpret_cast<const uint16_t*>(k.data + t.kv_head * k.desc.stride[0]);
    task.v = reinterpret_cast<const uint16_t*>(v.data + t.kv_head * v.desc.stride[0]);
    task.block_table = c.step->block_table(c.step->sequence()[t.token]);
    c.kernels->attention(task);
  });
}

}  // namespace sluice
