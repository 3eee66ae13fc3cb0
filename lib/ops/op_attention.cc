// SPDX-License-Identifier: Apache-2.0
// kv_write and paged attention. A task is a KV head and some consecutive tokens of one sequence,
// whose query rows share each block of keys and values while it is in the nearest cache.
#include <algorithm>

#include "ops/op.h"

namespace sluice {
namespace {

// [D, slots] or [D, heads, slots] in whole blocks.
Result<void> check_cache(const Tensor& t, uint16_t rank) {
  const TensorDesc& d = t.desc;
  // Every table of kernels has the same types.
  SLUICE_CHECK(expect(
      find_cache(kKernelsScalar, d.type) && d.rank == rank && d.rows == SLUICE_SDI_ROWS_FIXED,
      "a cache of F16, BF16 or Q8_0"));
  return expect(d.shape[rank - 1] % SLUICE_SDI_BLOCK_TOKENS == 0, "a cache of whole blocks");
}

// How a step is cut into tasks.
struct TaskShape {
  uint32_t n_kv_heads;
  uint32_t group;           // query heads to a KV head
  uint32_t heads_per_task;  // of those
  uint32_t tokens_per_task;
  uint32_t tasks_per_tokens() const {
    return n_kv_heads * ((group + heads_per_task - 1) / heads_per_task);
  }
};

TaskShape task_shape(const Operands& o) {
  TaskShape shape;
  shape.n_kv_heads = o.src[2]->desc.shape[1];
  shape.group = o.dst->desc.shape[1] / shape.n_kv_heads;
  shape.heads_per_task = std::min(shape.group, kAttentionRows);
  shape.tokens_per_task = kAttentionRows / shape.heads_per_task;
  return shape;
}

// Consecutive tokens of one sequence, as many as a task takes: the length of the run from `token`.
uint32_t run_length(const Step& step, uint32_t token, uint32_t most) {
  uint32_t n = 1;
  while (n < most && token + n < step.n_tokens() &&
         step.sequence()[token + n] == step.sequence()[token]) {
    ++n;
  }
  return n;
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

static uint32_t kv_write_pieces(const Operands& o, const RunContext& c) {
  return count_pieces(c.n_rows(*o.src[0]), 8, c.n_threads);
}

static void run_kv_write(const Operands& o, const RunContext& c, const Piece& piece) {
  const uint32_t n = c.n_rows(*o.src[0]);
  const CacheKernel& cache = *find_cache(*c.kernels, o.dst->desc.type);
  for (uint32_t i = piece.begin(n); i < piece.end(n); ++i) {
    const int32_t slot = c.step->slot()[i];
    if (slot == SLUICE_SDI_NO_SLOT) continue;
    const auto* x = reinterpret_cast<const float*>(o.src[0]->data + i * o.src[0]->row_stride());
    cache.write(x, o.dst->data + static_cast<size_t>(slot) * o.dst->row_stride(),
                o.dst->desc.shape[0]);
  }
}

Result<void> check_attention(const Operands& o) {
  const TensorDesc &dst = o.dst->desc, &k = o.src[2]->desc, &v = o.src[3]->desc;
  SLUICE_CHECK(
      expect(dst.rank == 3 && dst.rows == SLUICE_SDI_ROWS_TOKENS, "a destination [D, H, tokens]"));
  for (const Tensor* t : {o.dst, o.src[0], o.src[1]}) {
    SLUICE_CHECK(expect_like(*t, *o.dst, "f32 queries of the destination's shape"));
  }
  SLUICE_CHECK(check_cache(*o.src[2], 3));
  SLUICE_CHECK(check_cache(*o.src[3], 3));
  SLUICE_CHECK(expect(k.shape[0] == dst.shape[0] && v.shape[0] == dst.shape[0] &&
                          k.shape[1] == v.shape[1] && k.shape[2] == v.shape[2],
                      "key and value caches [D, KV heads, slots]"));
  SLUICE_CHECK(expect(dst.shape[0] <= kMaxHeadDim, "heads of at most 1024 elements"));
  SLUICE_CHECK(expect(dst.shape[1] % k.shape[1] == 0, "query heads a multiple of KV heads"));
  return expect_positive(o, 1, true, "imm1 to be 0 or a soft cap above 0");
}

static uint32_t attention_pieces(const Operands& o, const RunContext& c) {
  const TaskShape shape = task_shape(o);
  uint32_t n = 0;
  for (uint32_t token = 0; token < c.step->n_tokens();) {
    token += run_length(*c.step, token, shape.tokens_per_task);
    n += shape.tasks_per_tokens();
  }
  return n;
}

static void run_attention(const Operands& o, const RunContext& c, const Piece& piece) {
  const TaskShape shape = task_shape(o);
  uint32_t token = 0;
  for (uint32_t n = piece.index / shape.tasks_per_tokens(); n > 0; --n) {
    token += run_length(*c.step, token, shape.tokens_per_task);
  }
  const uint32_t n_tokens = run_length(*c.step, token, shape.tokens_per_task);
  const uint32_t task_index = piece.index % shape.tasks_per_tokens();
  const uint32_t kv_head = task_index % shape.n_kv_heads;
  const uint32_t first_head = task_index / shape.n_kv_heads * shape.heads_per_task;
  const uint32_t n_heads = std::min(shape.heads_per_task, shape.group - first_head);

  const Tensor &k = *o.src[2], &v = *o.src[3];
  AttentionRow rows[kAttentionRows];
  AttentionTask task{};
  task.rows = rows;
  for (uint32_t i = token; i < token + n_tokens; ++i) {
    for (uint32_t h = 0; h < n_heads; ++h) {
      const uint32_t head = kv_head * shape.group + first_head + h;
      rows[task.n_rows++] = {head_row(*o.src[0], i, head), head_row(*o.src[1], i, head),
                             const_cast<float*>(head_row(*o.dst, i, head)), c.step->context()[i],
                             c.step->skip()[i]};
    }
  }
  task.k_cache = find_cache(*c.kernels, k.desc.type);
  task.v_cache = find_cache(*c.kernels, v.desc.type);
  task.k = k.data + kv_head * k.desc.stride[0];
  task.v = v.data + kv_head * v.desc.stride[0];
  task.k_stride = k.row_stride();
  task.v_stride = v.row_stride();
  task.block_table = c.step->block_table(c.step->sequence()[token]);
  task.head_dim = o.dst->desc.shape[0];
  task.scale = o.imm_f32(0);
  task.soft_cap = o.imm_f32(1);
  task.window = o.imm(2);
  task.scratch = c.scratch;
  c.kernels->attention(task);
}

const OpCode kKvWriteCode = {kv_write_pieces, run_kv_write};
const OpCode kAttentionCode = {attention_pieces, run_attention};

}  // namespace sluice
