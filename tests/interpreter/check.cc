// SPDX-License-Identifier: Apache-2.0
// Section 9: which descriptors and commands are refused. A descriptor is judged for itself; what
// depends on its use (rights, alignment, shape) is the command's.
#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "tests/interpreter/blocks.h"
#include "tests/interpreter/interpreter.h"

namespace interpreter {
namespace {

using Tensor = sluice_sdi_tensor;
using Command = sluice_sdi_command;
__extension__ using Wide = unsigned __int128;  // no arithmetic on the way may wrap

uint64_t offset_of(const Tensor& t) {
  return t.address & ((uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1);
}

uint64_t segment_of(const Tensor& t) { return t.address >> SLUICE_SDI_OFFSET_BITS; }

// Bytes from element 0 to the end of the last row.
Wide extent_of(const Tensor& t) {
  const Type& type = *find_type(t.type);
  Wide extent = Wide{t.shape[0]} / type.block * type.bytes;
  for (uint16_t d = 1; d < t.rank; ++d) extent += Wide{t.stride[d - 1]} * (t.shape[d] - 1);
  return extent;
}

bool good_shape(const Tensor& t) {
  for (uint16_t d = 0; d < 4; ++d) {
    if (d < t.rank ? t.shape[d] == 0 : t.shape[d] != 1) return false;
  }
  const Type& type = *find_type(t.type);
  if (t.shape[0] % type.block != 0) return false;
  Wide inside = Wide{t.shape[0]} / type.block * type.bytes;
  for (uint16_t d = 1; d < t.rank; ++d) {
    if (t.stride[d - 1] < inside) return false;
    inside = Wide{t.stride[d - 1]} * t.shape[d];
  }
  return true;
}

uint32_t check_tensor(const Tensor& t, std::span<const Segment> segments) {
  if (!find_type(t.type) || t.rows > SLUICE_SDI_ROWS_OUTPUTS || t.rank < 1 || t.rank > 4 ||
      t.reserved0 != 0 || t.reserved != 0 || !good_shape(t)) {
    return SLUICE_SDI_E_LIST;
  }
  const Wide extent = extent_of(t);
  if (extent >> 64) return SLUICE_SDI_E_LIST;
  if (segment_of(t) >= segments.size()) return SLUICE_SDI_E_SEGMENT;
  const Segment& segment = segments[segment_of(t)];
  const bool inside = segment.length != 0 && offset_of(t) <= segment.length &&
                      extent <= segment.length - offset_of(t);
  return inside ? SLUICE_SDI_OK : SLUICE_SDI_E_SEGMENT;
}

// What a command's tensors are: src[i] behind dst.
struct Operands {
  const Command* command;
  const Tensor* dst;
  const Tensor* src[5];
};

bool is(const Tensor& t, uint16_t type, uint16_t rank) { return t.type == type && t.rank == rank; }

bool is_f32(const Tensor& t, uint16_t rank) { return is(t, SLUICE_SDI_TYPE_F32, rank); }

// A tensor of weights or a table: all of its shape is there in every step.
bool is_fixed(const Tensor& t) { return t.rows == SLUICE_SDI_ROWS_FIXED; }

bool is_tokens(const Tensor& t) { return t.rows == SLUICE_SDI_ROWS_TOKENS; }

bool is_weights(const Tensor& t) {
  const Use use = find_type(t.type)->use;
  return is_fixed(t) && t.rank == 2 && use != Use::kActivations && use != Use::kIncrements;
}

// As many rows in every step, and at most.
bool same_n(const Tensor& a, const Tensor& b) {
  return a.rows == b.rows && a.shape[a.rank - 1] == b.shape[b.rank - 1];
}

// f32 [D, N] of the destination's D and N.
bool is_like(const Tensor& t, const Tensor& dst) {
  return is_f32(t, dst.rank) && same_n(t, dst) &&
         std::equal(t.shape, t.shape + dst.rank - 1, dst.shape);
}

// A finite f32 above 0.
bool is_positive(uint32_t immediate) {
  const float value = std::bit_cast<float>(immediate);
  return std::isfinite(value) && value > 0;
}

bool is_none_or_positive(uint32_t immediate) { return immediate == 0 || is_positive(immediate); }

bool embed(const Operands& o) {
  return is_none_or_positive(o.command->imm[0]) && is_f32(*o.dst, 2) && is_tokens(*o.dst) &&
         is_weights(*o.src[0]) && o.src[0]->shape[0] == o.dst->shape[0];
}

bool rms_norm(const Operands& o) {
  return (is_f32(*o.dst, 2) || is_f32(*o.dst, 3)) && is_like(*o.src[0], *o.dst) &&
         is_f32(*o.src[1], 1) && is_fixed(*o.src[1]) && o.src[1]->shape[0] == o.dst->shape[0];
}

bool quantize(const Operands& o) {
  return find_type(o.dst->type)->use == Use::kActivations && o.dst->rank == 2 &&
         is_f32(*o.src[0], 2) && o.src[0]->shape[0] == o.dst->shape[0] && same_n(*o.src[0], *o.dst);
}

bool matmul(const Operands& o) {
  const Tensor &weights = *o.src[0], &x = *o.src[1];
  if (!is_weights(weights)) return false;
  const Use use = find_type(weights.type)->use;
  const bool fast = o.command->flags & SLUICE_SDI_FLAG_FAST;
  if (fast && use != Use::kFloatWeights && x.shape[0] % 256 != 0) return false;
  const uint16_t takes = use == Use::kFloatWeights         ? SLUICE_SDI_TYPE_F32
                         : use == Use::kWeights32 && !fast ? SLUICE_SDI_TYPE_A8
                                                           : SLUICE_SDI_TYPE_A8K;
  return is_f32(*o.dst, 2) && is(x, takes, 2) && same_n(x, *o.dst) &&
         x.shape[0] == weights.shape[0] && o.dst->shape[0] == weights.shape[1];
}

bool rope_table(const Operands& o) {
  const Tensor& increments = *o.src[0];
  return is_f32(*o.dst, 2) && is_tokens(*o.dst) && is(increments, SLUICE_SDI_TYPE_I64, 1) &&
         is_fixed(increments) && uint64_t{increments.shape[0]} * 2 == o.dst->shape[0] &&
         o.command->imm[0] <= SLUICE_SDI_CONTEXT && is_none_or_positive(o.command->imm[1]);
}

bool rope(const Operands& o) {
  const Tensor& table = *o.src[1];
  return is_f32(*o.dst, 3) && is_tokens(*o.dst) && is_like(*o.src[0], *o.dst) && is_f32(table, 2) &&
         same_n(table, *o.dst) && table.shape[0] % 2 == 0 && table.shape[0] <= o.dst->shape[0] &&
         o.command->imm[0] <= SLUICE_SDI_ROPE_HALVES;
}

// Whole blocks of slots, and any of the types; that rows are whole blocks holds for every tensor.
bool is_cache_of_rank(const Tensor& t, uint16_t rank) {
  return (t.type == SLUICE_SDI_TYPE_F16 || t.type == SLUICE_SDI_TYPE_BF16 ||
          t.type == SLUICE_SDI_TYPE_Q8_0) &&
         t.rank == rank && is_fixed(t);
}

bool kv_write(const Operands& o) {
  return is_cache_of_rank(*o.dst, 2) && o.dst->shape[1] % SLUICE_SDI_BLOCK_TOKENS == 0 &&
         is_f32(*o.src[0], 2) && is_tokens(*o.src[0]) && o.src[0]->shape[0] == o.dst->shape[0];
}

bool attention(const Operands& o) {
  const Tensor &dst = *o.dst, &keys = *o.src[2], &values = *o.src[3];
  return is_f32(dst, 3) && is_tokens(dst) && dst.shape[0] <= 1024 && is_like(*o.src[0], dst) &&
         is_like(*o.src[1], dst) && is_cache_of_rank(keys, 3) && is_cache_of_rank(values, 3) &&
         keys.shape[0] == dst.shape[0] && std::equal(keys.shape, keys.shape + 3, values.shape) &&
         dst.shape[1] % keys.shape[1] == 0 && keys.shape[2] % SLUICE_SDI_BLOCK_TOKENS == 0 &&
         is_none_or_positive(o.command->imm[1]);
}

bool glu(const Operands& o) {
  return is_f32(*o.dst, 2) && is_like(*o.src[0], *o.dst) && is_like(*o.src[1], *o.dst) &&
         o.command->imm[0] <= SLUICE_SDI_GLU_GELU;
}

bool add(const Operands& o) {
  const Tensor& second = *o.src[1];
  const bool everywhere =
      is_f32(second, 1) && is_fixed(second) && second.shape[0] == o.dst->shape[0];
  return is_f32(*o.dst, 2) && is_like(*o.src[0], *o.dst) && (everywhere || is_like(second, *o.dst));
}

bool softcap(const Operands& o) {
  return is_f32(*o.dst, 2) && is_like(*o.src[0], *o.dst) && is_positive(o.command->imm[0]);
}

bool select(const Operands& o) {
  return is_f32(*o.dst, 2) && o.dst->rows == SLUICE_SDI_ROWS_OUTPUTS && is_f32(*o.src[0], 2) &&
         is_tokens(*o.src[0]) && o.src[0]->shape[0] == o.dst->shape[0];
}

struct Operation {
  uint16_t op;
  uint32_t n_sources, n_immediates;
  uint16_t flags;
  bool in_place;
  bool (*fits)(const Operands& o);
};

constexpr Operation kOperations[] = {
    {SLUICE_SDI_OP_EMBED, 1, 1, 0, false, embed},
    {SLUICE_SDI_OP_RMS_NORM, 2, 1, 0, true, rms_norm},
    {SLUICE_SDI_OP_QUANTIZE, 1, 0, 0, false, quantize},
    {SLUICE_SDI_OP_MATMUL, 2, 0, SLUICE_SDI_FLAG_ADD | SLUICE_SDI_FLAG_FAST, false, matmul},
    {SLUICE_SDI_OP_ROPE_TABLE, 1, 2, 0, false, rope_table},
    {SLUICE_SDI_OP_ROPE, 2, 1, 0, true, rope},
    {SLUICE_SDI_OP_KV_WRITE, 1, 0, 0, false, kv_write},
    {SLUICE_SDI_OP_ATTENTION, 4, 3, 0, false, attention},
    {SLUICE_SDI_OP_GLU, 2, 1, 0, true, glu},
    {SLUICE_SDI_OP_SELECT, 1, 0, 0, false, select},
    {SLUICE_SDI_OP_ADD, 2, 0, 0, true, add},
    {SLUICE_SDI_OP_SOFTCAP, 1, 1, 0, true, softcap},
};

const Operation* find_operation(uint16_t op) {
  const auto* found = std::find_if(std::begin(kOperations), std::end(kOperations),
                                   [&](const Operation& o) { return o.op == op; });
  return found == std::end(kOperations) ? nullptr : found;
}

// One that asks for more alignment than weights of its type do.
bool is_cache(const Operands& o, const Tensor* t) {
  return (t->type == SLUICE_SDI_TYPE_F16 || t->type == SLUICE_SDI_TYPE_BF16) &&
         (o.command->op == SLUICE_SDI_OP_KV_WRITE || o.command->op == SLUICE_SDI_OP_ATTENTION);
}

bool is_aligned(const Tensor& t, uint64_t alignment, std::span<const Segment> segments) {
  const auto base = reinterpret_cast<uintptr_t>(segments[segment_of(t)].base);
  bool good = (base + offset_of(t)) % alignment == 0;
  for (uint16_t d = 1; d < t.rank; ++d) good = good && t.stride[d - 1] % alignment == 0;
  return good;
}

bool same_place(const Tensor& a, const Tensor& b) {
  return a.address == b.address && a.type == b.type && std::equal(a.shape, a.shape + 4, b.shape) &&
         std::equal(a.stride, a.stride + b.rank - 1, b.stride);
}

bool overlap(const Tensor& a, const Tensor& b) {
  return segment_of(a) == segment_of(b) && offset_of(a) < offset_of(b) + extent_of(b) &&
         offset_of(b) < offset_of(a) + extent_of(a);
}

// E_LIST for what can be seen without looking at the tensors; their places otherwise.
uint32_t resolve(const List& list, const Command& c, const Operation* op, Operands* ret_operands) {
  if (!op || (c.flags & ~op->flags) != 0 || c.reserved != 0) return SLUICE_SDI_E_LIST;
  if (std::any_of(c.imm + op->n_immediates, std::end(c.imm), [](uint32_t i) { return i != 0; })) {
    return SLUICE_SDI_E_LIST;
  }
  if (c.dst >= list.tensors.size()) return SLUICE_SDI_E_LIST;
  Operands o{&c, &list.tensors[c.dst], {}};
  for (uint32_t i = 0; i < std::size(c.src); ++i) {
    if (i >= op->n_sources) {
      if (c.src[i] != SLUICE_SDI_NONE) return SLUICE_SDI_E_LIST;
    } else {
      if (c.src[i] >= list.tensors.size()) return SLUICE_SDI_E_LIST;
      o.src[i] = &list.tensors[c.src[i]];
    }
  }
  *ret_operands = o;
  return SLUICE_SDI_OK;
}

uint32_t check_command(const List& list, const Command& c, std::span<const Segment> segments) {
  const Operation* op = find_operation(c.op);
  Operands o;
  if (const uint32_t status = resolve(list, c, op, &o)) return status;
  const Segment& to = segments[segment_of(*o.dst)];
  if (!to.writable || (c.flags & SLUICE_SDI_FLAG_ADD && !to.readable)) return SLUICE_SDI_E_SEGMENT;
  for (uint32_t i = 0; i < op->n_sources; ++i) {
    if (!segments[segment_of(*o.src[i])].readable) return SLUICE_SDI_E_SEGMENT;
  }
  for (uint32_t i = 0; i <= op->n_sources; ++i) {
    const Tensor* t = i == 0 ? o.dst : o.src[i - 1];
    const uint64_t alignment = is_cache(o, t) ? 2 : find_type(t->type)->alignment;
    if (!is_aligned(*t, alignment, segments)) return SLUICE_SDI_E_LIST;
    if (t == o.dst && i == 0) continue;
    const bool allowed = op->in_place && same_place(*t, *o.dst);
    if (!allowed && overlap(*t, *o.dst)) return SLUICE_SDI_E_LIST;
  }
  return op->fits(o) ? SLUICE_SDI_OK : SLUICE_SDI_E_LIST;
}

}  // namespace

uint32_t check(const List& list, std::span<const Segment> segments, uint32_t* ret_index) {
  uint32_t index = 0;
  for (const Tensor& t : list.tensors) {
    if (const uint32_t status = check_tensor(t, segments)) {
      *ret_index = index;
      return status;
    }
    ++index;
  }
  if (list.commands.empty()) {
    *ret_index = index;
    return SLUICE_SDI_E_LIST;
  }
  for (const Command& c : list.commands) {
    if (const uint32_t status = check_command(list, c, segments)) {
      *ret_index = index;
      return status;
    }
    ++index;
  }
  return SLUICE_SDI_OK;
}

}  // namespace interpreter
