// SPDX-License-Identifier: Apache-2.0
// The validator: after it, the only thing that can differ from step to step is the step buffer.
#include "ops/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "quant/format.h"

namespace sluice {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// Bytes of one row of shape[0] elements; 0: unknown type or not whole blocks.
uint64_t row_bytes(const TensorDesc& d) {
  if (const Activation* kind = find_activation(d.type)) {
    return d.shape[0] % kind->block_size ? 0 : kind->row_bytes(d.shape[0]);
  }
  const Format* format = find_format(d.type);
  return !format || d.shape[0] % format->block_size ? 0 : format->bytes(d.shape[0]);
}

Result<Tensor> resolve(const TensorDesc& d, const SegmentTable& segments, ListRefusal& refusal) {
  SLUICE_CHECK(expect(d.reserved == 0 && d.reserved0 == 0, "reserved words to be 0"));
  SLUICE_CHECK(expect(d.rank >= 1 && d.rank <= 4, "a rank of 1 to 4"));
  SLUICE_CHECK(expect(d.rows <= SLUICE_SDI_ROWS_OUTPUTS, "a known kind of rows"));
  for (int i = 0; i < 4; ++i) {
    SLUICE_CHECK(expect(i < d.rank ? d.shape[i] > 0 : d.shape[i] == 1,
                        "a shape of positive numbers, 1 behind the rank"));
  }
  const uint64_t row = row_bytes(d);
  SLUICE_CHECK(expect(row > 0, "a known type and whole blocks in dimension 0"));

  uint64_t extent = row;
  uint64_t inner = row;  // bytes that the dimensions so far take up
  for (int i = 0; i + 1 < d.rank; ++i) {
    SLUICE_CHECK(expect(d.stride[i] >= inner, "strides that do not overlap"));
    uint64_t span = 0;
    if (__builtin_mul_overflow(d.stride[i], uint64_t{d.shape[i + 1]} - 1, &span) ||
        __builtin_add_overflow(extent, span, &extent) ||
        __builtin_mul_overflow(d.stride[i], uint64_t{d.shape[i + 1]}, &inner)) {
      return fail(EINVAL, "expected an extent below 2^64 bytes");
    }
  }
  refusal.address = d.address;
  refusal.length = extent;
  const uint64_t segment = d.address >> SLUICE_SDI_OFFSET_BITS;
  const uint64_t offset = d.address & ((uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1);
  if (segment >= segments.size()) {
    return fail(EINVAL, fmt::format("segment {} of {}", segment, segments.size()));
  }
  const Segment& s = segments[segment];
  if (offset > s.length || extent > s.length - offset) {
    return fail(EINVAL, fmt::format("{} bytes from offset {} of segment {}, which has {}", extent,
                                    offset, segment, s.length));
  }
  refusal.length = 0;
  return Tensor{d, s.base + offset, extent, s.writable, s.readable};
}

bool overlap(const Tensor& a, const Tensor& b) {
  return a.data < b.data + b.extent && b.data < a.data + a.extent;
}

// Does neither write what the other reads or writes?
bool independent(const Operands& a, const Operands& b) {
  const auto writes_into = [](const Tensor& dst, const Operands& other) {
    return overlap(dst, *other.dst) ||
           std::any_of(other.src, other.src + 5,
                       [&](const Tensor* src) { return src && overlap(dst, *src); });
  };
  return !writes_into(*a.dst, b) && !writes_into(*b.dst, a);
}

bool same_place(const Tensor& a, const Tensor& b) {
  return a.data == b.data && std::equal(a.desc.shape, a.desc.shape + 4, b.desc.shape) &&
         std::equal(a.desc.stride, a.desc.stride + a.desc.rank - 1, b.desc.stride) &&
         a.desc.type == b.desc.type;
}

// What the segment of a tensor must allow.
Result<void> expect_right(bool granted, const Tensor& t, const char* what, ListRefusal& refusal) {
  if (!granted) {
    refusal.address = t.desc.address;
    refusal.length = t.extent;
  }
  return expect(granted, what);
}

// What numbers of a type are aligned to, in bytes; weights in blocks are read byte by byte.
uint64_t alignment_of(const Op& op, const TensorDesc& d) {
  if (d.type == SLUICE_SDI_TYPE_F16 || d.type == SLUICE_SDI_TYPE_BF16) {
    return op.has_caches ? alignof(uint16_t) : 1;
  }
  if (d.type == SLUICE_SDI_TYPE_I64) return alignof(int64_t);
  return d.type == SLUICE_SDI_TYPE_F32 || find_activation(d.type) ? alignof(float) : 1;
}

// Of the address and the strides in use; what stands behind the rank means nothing.
Result<void> expect_aligned(const Op& op, const Tensor& t, const char* what) {
  const uint64_t alignment = alignment_of(op, t.desc);
  bool aligned = reinterpret_cast<uintptr_t>(t.data) % alignment == 0;
  for (int i = 0; i + 1 < t.desc.rank; ++i) aligned &= t.desc.stride[i] % alignment == 0;
  return expect(aligned, what);
}

Result<LoadedCommand> check_command(const LoadedList& list, const Command& c,
                                    ListRefusal& refusal) {
  LoadedCommand out;
  const Op* op = find_op(c.op);
  SLUICE_CHECK(expect(op != nullptr, "a known operation"));
  out.code = &op->code;
  SLUICE_CHECK(expect((c.flags & ~op->flags) == 0, "no unknown flag"));
  SLUICE_CHECK(expect(c.reserved == 0, "the reserved word to be 0"));
  for (size_t i = op->n_imm; i < std::size(c.imm); ++i) {
    SLUICE_CHECK(expect(c.imm[i] == 0, "immediates that it does not use to be 0"));
  }
  SLUICE_CHECK(expect(c.dst < list.tensors.size(), "a destination in the tensor table"));
  out.operands.command = &c;
  out.operands.dst = &list.tensors[c.dst];
  const Tensor& dst = *out.operands.dst;
  SLUICE_CHECK(expect_right(dst.writable, dst, "a destination in a writable segment", refusal));
  SLUICE_CHECK(expect_right(dst.readable || !(c.flags & SLUICE_SDI_FLAG_ADD), dst,
                            "a destination to add to in a readable segment", refusal));
  SLUICE_CHECK(expect_aligned(*op, dst, "an aligned destination"));
  for (int i = 0; i < 5; ++i) {
    if (i >= op->n_src) {
      SLUICE_CHECK(expect(c.src[i] == SLUICE_SDI_NONE, "no further source"));
      continue;
    }
    SLUICE_CHECK(expect(c.src[i] < list.tensors.size(), "sources in the tensor table"));
    const Tensor& src = list.tensors[c.src[i]];
    out.operands.src[i] = &src;
    SLUICE_CHECK(expect_right(src.readable, src, "sources in readable segments", refusal));
    SLUICE_CHECK(expect_aligned(*op, src, "aligned sources"));
    SLUICE_CHECK(expect(!overlap(dst, src) || (op->in_place && same_place(dst, src)),
                        "a destination that overlaps no source"));
  }
  SLUICE_CHECK(op->check(out.operands));
  return out;
}

// What steps are held to follows from the tensors that data-dependent indices go into.
void narrow_limits(StepLimits& limits, const LoadedCommand& c) {
  const auto narrow = [](uint64_t& limit, uint64_t value) { limit = std::min(limit, value); };
  const Operands& o = c.operands;
  for (const Tensor* t : {o.dst, o.src[0], o.src[1], o.src[2], o.src[3], o.src[4]}) {
    if (!t) continue;
    if (t->desc.rows == SLUICE_SDI_ROWS_TOKENS) narrow(limits.max_tokens, t->rows());
    if (t->desc.rows == SLUICE_SDI_ROWS_OUTPUTS) narrow(limits.max_outputs, t->rows());
  }
  switch (o.command->op) {
    case SLUICE_SDI_OP_EMBED:
      narrow(limits.n_vocab, o.src[0]->rows());
      break;
    case SLUICE_SDI_OP_KV_WRITE:
      narrow(limits.n_slots, o.dst->rows());
      break;
    case SLUICE_SDI_OP_ATTENTION:
      narrow(limits.n_slots, o.src[2]->rows());
      break;
    default:
      break;
  }
}

constexpr size_t kMostAtOnce = 8;  // commands

// Chooses each matmul's kernel and puts packing before it, unless an earlier one has left its
// columns; and finds what can be done at once, as the products of one input with several matrices.
class WorkPlanner {
 public:
  WorkPlanner(LoadedList& list, const Kernels& kernels) : list_(list), kernels_(kernels) {}

  Result<void> add(LoadedCommand command) {
    const Operands& o = command.operands;
    if (o.command->op == SLUICE_SDI_OP_MATMUL) {
      command.matmul = o.command->flags & SLUICE_SDI_FLAG_FAST
                           ? find_fast(kernels_, o.src[0]->desc.type)
                           : find_matmul(kernels_, o.src[0]->desc.type);
      SLUICE_CHECK(expect(command.matmul != nullptr, "weights that there is a kernel for"));
      if (command.matmul->packing) pack(command);
      if (command.matmul->scratch_bytes) {
        const size_t bytes = command.matmul->scratch_bytes(o.src[0]->desc.shape[0]);
        list_.scratch_floats = std::max(list_.scratch_floats, bytes / sizeof(float));
      }
    }
    if (packed_ && overlap(*packed_, *o.dst)) packed_ = nullptr;
    push(command);
    return {};
  }

 private:
  void pack(LoadedCommand command) {
    const Tensor& x = *command.operands.src[1];
    if (packed_ == &x && packed_by_ == command.matmul->packing) return;
    packed_ = &x;
    packed_by_ = command.matmul->packing;
    list_.packed_bytes = std::max(list_.packed_bytes, packed_by_->bytes(x.desc.shape[0], x.rows()));
    command.code = &kPackCode;
    push(command);
  }

  // Packing writes what is nobody's operand, so it joins nothing, and nothing joins it.
  void push(LoadedCommand command) {
    auto& work = list_.work;
    const auto phase = work.begin() + static_cast<ptrdiff_t>(phase_);
    command.joins = command.code != &kPackCode && phase != work.end() &&
                    phase->code != &kPackCode && work.size() - phase_ < kMostAtOnce &&
                    std::all_of(phase, work.end(), [&](const LoadedCommand& other) {
                      return independent(other.operands, command.operands);
                    });
    if (!command.joins) phase_ = work.size();
    work.push_back(command);
  }

  LoadedList& list_;
  const Kernels& kernels_;
  const Tensor* packed_ = nullptr;
  const ColumnPacking* packed_by_ = nullptr;
  size_t phase_ = 0;  // the last work that does not join
};

}  // namespace

Result<std::unique_ptr<LoadedList>> validate(const CommandList& list, const SegmentTable& segments,
                                             const Kernels& kernels, ListRefusal* ret_refused) {
  auto out = std::make_unique<LoadedList>();
  ListRefusal ignored;
  ListRefusal& refusal = ret_refused ? *ret_refused : ignored;
  refusal = {};
  for (size_t i = 0; i < list.tensors.size(); ++i) {
    refusal.index = static_cast<uint32_t>(i);
    auto tensor = resolve(list.tensors[i], segments, refusal);
    if (!tensor) {
      return fail(tensor.error().code, fmt::format("tensor {}: {}", i, tensor.error().message));
    }
    out->tensors.push_back(*tensor);
  }
  out->commands = list.commands;
  out->limits = {kUnlimited, kUnlimited, kUnlimited, kUnlimited};
  WorkPlanner planner(*out, kernels);
  for (size_t i = 0; i < out->commands.size(); ++i) {
    const Command& c = out->commands[i];
    refusal.index = static_cast<uint32_t>(out->tensors.size() + i);
    auto command = check_command(*out, c, refusal);
    const Result<void> planned =
        command ? planner.add(*command) : Result<void>(tl::unexpected(command.error()));
    if (!planned) {
      const Op* op = find_op(c.op);
      return fail(planned.error().code,
                  fmt::format("command {} ({}): {}", i, op ? op->name : "unknown",
                              planned.error().message));
    }
    narrow_limits(out->limits, *command);
    if (c.op == SLUICE_SDI_OP_ATTENTION) {
      const size_t need = attention_scratch(out->tensors[c.dst].desc.shape[0]);
      out->scratch_floats = std::max(out->scratch_floats, need);
    }
  }
  return out;
}

}  // namespace sluice
