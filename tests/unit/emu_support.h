// SPDX-License-Identifier: Apache-2.0
// What tests of the emulated board share: entries, a board with a queue and memory, and a list with
// every operation in it.
#ifndef SLUICE_TESTS_UNIT_EMU_SUPPORT_H
#define SLUICE_TESTS_UNIT_EMU_SUPPORT_H

#include <bit>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <sluice/emulator.hpp>
#include <sluice/queue.hpp>
#include <vector>

#include "emu/emulated_transport.h"
#include "ops/list.h"
#include "ops/step.h"
#include "support.h"

namespace sluice::test {

using namespace std::chrono_literals;

inline QueueEntry nop_entry(uint32_t id = 0) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_NOP;
  e.id = id;
  return e;
}

inline QueueEntry copy_entry(uint64_t src, uint64_t dst, uint64_t length, uint32_t id = 0) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_COPY;
  e.id = id;
  e.copy.src = src;
  e.copy.dst = dst;
  e.copy.length = length;
  return e;
}

inline QueueEntry load_entry(uint64_t address, const CommandList& list) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_LOAD;
  e.load.address = address;
  e.load.n_tensors = static_cast<uint32_t>(list.tensors.size());
  e.load.n_commands = static_cast<uint32_t>(list.commands.size());
  return e;
}

inline QueueEntry run_entry(uint32_t handle, uint64_t step, size_t step_bytes) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_RUN;
  e.run.handle = handle;
  e.run.step = step;
  e.run.step_bytes = static_cast<uint32_t>(step_bytes);
  return e;
}

inline QueueEntry unload_entry(uint32_t handle) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_UNLOAD;
  e.run.handle = handle;
  return e;
}

inline EmulatorOptions small_board() {
  EmulatorOptions options;
  options.memory_size = 64 << 20;
  options.n_threads = 2;
  return options;
}

// Takes the value out of a Result, or fails the test with what it says.
template <typename T>
T must(Result<T> result) {
  cr_assert(result.has_value(), "%s", why(result));
  return std::move(*result);
}
inline void must(const Result<void>& result) { cr_assert(result.has_value(), "%s", why(result)); }

// A board, its transport for looking behind the scenes, and one queue.
struct Bench {
  std::shared_ptr<emu::EmulatedTransport> transport;
  Device device;
  Queue queue;

  explicit Bench(const EmulatorOptions& options = small_board(), const QueueOptions& q = {})
      : transport(must(emu::EmulatedTransport::create(options))),
        device(make_device(transport)),
        queue(must(Queue::create(device, q))) {}

  // The status of one entry on an otherwise empty queue, whatever it is.
  Completion finish(const QueueEntry& entry, std::chrono::nanoseconds timeout = 20s) {
    return finish(queue, entry, timeout);
  }
  static Completion finish(Queue& queue, const QueueEntry& entry,
                           std::chrono::nanoseconds timeout = 20s) {
    must(queue.submit(std::span(&entry, 1)));
    Completion done{};
    const uint32_t n = must(queue.wait(std::span(&done, 1), timeout));
    cr_assert(n == 1);
    return done;
  }
  const sluice_sdi_control& control() {
    return *reinterpret_cast<const sluice_sdi_control*>(window(SLUICE_SDI_PAGE_CONTROL));
  }
  const sluice_sdi_counters& counters() {
    return *reinterpret_cast<const sluice_sdi_counters*>(window(SLUICE_SDI_PAGE_COUNTERS));
  }
  const std::byte* window(uint32_t page) {
    if (!pages[page]) {
      pages[page] = must(device.map(0, page * uint64_t{SLUICE_SDI_PAGE_SIZE}, SLUICE_SDI_PAGE_SIZE,
                                    MemoryType::kNative, true));
    }
    return const_cast<const std::byte*>(static_cast<volatile std::byte*>(pages[page]->data()));
  }
  std::optional<Mapping> pages[4];
};

inline std::byte* bytes_of(const Mapping& mapping) {
  return const_cast<std::byte*>(static_cast<volatile std::byte*>(mapping.data()));
}

// A list with every operation in it, over segments of exactly the size that it needs.
inline constexpr uint32_t kDim = 32, kVocab = 40, kTokens = 8, kSlots = 64;
enum : uint16_t { kWeights, kScratch, kKv, kNumListSegments };

struct SmallModel {
  CommandList list;
  uint64_t bytes[kNumListSegments] = {};

  SegmentAddress take(uint16_t segment, uint64_t n) {
    const SegmentAddress at{segment, bytes[segment]};
    bytes[segment] += (n + 7) / 8 * 8;
    return at;
  }
  SmallModel();
  // Weights that make results which are neither zero nor infinite.
  std::vector<std::byte> weights() const;
};

inline SmallModel::SmallModel() {
  ListBuilder b;
  const auto rows = [&](uint32_t n, uint16_t kind) {
    return b.tensor(SLUICE_SDI_TYPE_F32, kind, {n, kTokens}, n * 4,
                    take(kScratch, n * kTokens * 4));
  };
  const auto heads = [&](SegmentAddress at) {
    return b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {16, 2, kTokens}, 64, at);
  };
  const uint16_t fixed = SLUICE_SDI_ROWS_FIXED, tokens = SLUICE_SDI_ROWS_TOKENS;
  const uint32_t table = b.tensor(SLUICE_SDI_TYPE_F16, fixed, {kDim, kVocab}, kDim * 2,
                                  take(kWeights, kDim * kVocab * 2));
  const uint32_t matrix =
      b.tensor(SLUICE_SDI_TYPE_F16, fixed, {kDim, kDim}, kDim * 2, take(kWeights, kDim * kDim * 2));
  const uint32_t norm =
      b.tensor(SLUICE_SDI_TYPE_F32, fixed, {kDim}, kDim * 4, take(kWeights, kDim * 4));
  const uint32_t phases = b.tensor(SLUICE_SDI_TYPE_I64, fixed, {8}, 64, take(kWeights, 64));
  const uint32_t q8 =
      b.tensor(SLUICE_SDI_TYPE_Q8_0, fixed, {kDim, kDim}, 34, take(kWeights, 34 * kDim));
  const uint32_t x = rows(kDim, tokens), y = rows(kDim, tokens), rope = rows(16, tokens);
  const uint32_t a8 =
      b.tensor(SLUICE_SDI_TYPE_A8, tokens, {kDim, kTokens}, 36, take(kScratch, 36 * kTokens));
  const SegmentAddress q_at = take(kScratch, kDim * kTokens * 4),
                       o_at = take(kScratch, kDim * kTokens * 4);
  const uint32_t q = b.tensor(SLUICE_SDI_TYPE_F32, tokens, {kDim, kTokens}, kDim * 4, q_at);
  const SegmentAddress kv_at = take(kKv, kDim * kSlots * 2);
  const uint32_t flat = b.tensor(SLUICE_SDI_TYPE_F16, fixed, {kDim, kSlots}, kDim * 2, kv_at);
  const uint32_t cache = b.tensor(SLUICE_SDI_TYPE_F16, fixed, {16, 2, kSlots}, 32, kv_at);
  const uint32_t q_heads = heads(q_at), o_heads = heads(o_at);
  const uint32_t out = rows(kDim, SLUICE_SDI_ROWS_OUTPUTS);

  const uint32_t epsilon = std::bit_cast<uint32_t>(1e-5f), scale = std::bit_cast<uint32_t>(0.25f);
  b.add(SLUICE_SDI_OP_EMBED, x, {table});
  b.add(SLUICE_SDI_OP_ROPE_TABLE, rope, {phases}, {SLUICE_SDI_CONTEXT});
  b.add(SLUICE_SDI_OP_RMS_NORM, y, {x, norm}, {epsilon});
  b.add(SLUICE_SDI_OP_MATMUL, q, {matrix, y});
  b.add(SLUICE_SDI_OP_ROPE, q_heads, {q_heads, rope}, {SLUICE_SDI_ROPE_HALVES});
  b.add(SLUICE_SDI_OP_KV_WRITE, flat, {y});
  b.add(SLUICE_SDI_OP_ATTENTION, o_heads, {q_heads, q_heads, cache, cache}, {scale});
  b.add(SLUICE_SDI_OP_GLU, y, {y, x}, {SLUICE_SDI_GLU_SILU});
  b.add(SLUICE_SDI_OP_QUANTIZE, a8, {y});
  b.add(SLUICE_SDI_OP_MATMUL, x, {q8, a8}, {}, SLUICE_SDI_FLAG_ADD);
  b.add(SLUICE_SDI_OP_SELECT, out, {x});
  list = b.take();
}

inline std::vector<std::byte> SmallModel::weights() const {
  std::vector<std::byte> out(bytes[kWeights]);
  std::mt19937 rng(7);
  // f16 of small numbers: exponents near that of 1.
  const size_t n_f16 = (kDim * kVocab + kDim * kDim) * 2;
  for (size_t i = 0; i < n_f16; i += 2) {
    const auto value = static_cast<uint16_t>((rng() & 0x83ff) | 0x3000);
    std::memcpy(&out[i], &value, 2);
  }
  for (uint32_t i = 0; i < kDim; ++i) {
    const float one = 1.0f + static_cast<float>(i) / 64;
    std::memcpy(&out[n_f16 + i * 4], &one, 4);
  }
  for (size_t i = 0; i < 8; ++i) {
    const uint64_t phase = rng() * uint64_t{rng()};
    std::memcpy(&out[n_f16 + kDim * 4 + i * 8], &phase, 8);
  }
  for (size_t at = n_f16 + kDim * 4 + 64; at + 34 <= out.size(); at += 34) {
    const uint16_t scale = 0x2000;
    std::memcpy(&out[at], &scale, 2);
    for (size_t i = 2; i < 34; ++i) out[at + i] = static_cast<std::byte>(rng());
  }
  return out;
}

inline StepInputs good_step() {
  StepInputs s;
  s.token = {3, 39, 0};
  s.position = {0, 1, 20};
  s.context = {0, 1, 20};
  s.skip = {0, 0, 1};
  s.sequence = {0, 0, 1};
  s.slot = {0, 1, -1};
  s.output = {2};
  s.block_table = {{0}, {1, 2, 3}};
  return s;
}

inline std::vector<uint32_t> words_of(const StepInputs& s) {
  std::vector<uint32_t> words;
  s.write(words);
  return words;
}

// The small model on a board: segments 0 to 2 are the list's in device memory, 3 is host memory
// with the list at 0 and the step buffer at kStepAt.
struct ModelOnBoard {
  static constexpr uint32_t kHost = kNumListSegments;
  static constexpr uint64_t kStepAt = 65536, kHostBytes = 2 * kStepAt;
  SmallModel model;
  Memory memory[kNumListSegments], host;
  Mapping data[kNumListSegments], host_data;
  std::vector<uint32_t> step = words_of(good_step());

  ModelOnBoard(Bench& bench, Queue& queue, MemoryKind kind = MemoryKind::kDevice,
               MemoryKind host_kind = MemoryKind::kCoherent) {
    for (uint32_t i = 0; i < kNumListSegments; ++i) {
      memory[i] = must(bench.device.allocate(kind, model.bytes[i]));
      must(queue.grant(i, memory[i], i == kWeights ? Access::kRead : Access::kReadWrite, 0,
                       model.bytes[i]));
      data[i] = must(memory[i].map());
    }
    const auto weights = model.weights();
    std::memcpy(bytes_of(data[kWeights]), weights.data(), weights.size());
    host = must(bench.device.allocate(host_kind, kHostBytes));
    must(queue.grant(kHost, host, Access::kRead));
    host_data = must(host.map());
    put_list(model.list);
    put_step(step);
  }
  void put_list(const CommandList& list) {
    std::byte* at = bytes_of(host_data);
    std::memcpy(at, list.tensors.data(), list.tensors.size() * sizeof(TensorDesc));
    std::memcpy(at + list.tensors.size() * sizeof(TensorDesc), list.commands.data(),
                list.commands.size() * sizeof(Command));
  }
  void put_step(const std::vector<uint32_t>& words) {
    std::memcpy(bytes_of(host_data) + kStepAt, words.data(), words.size() * 4);
  }
  QueueEntry load() const { return load_entry(SLUICE_SDI_ADDR(kHost, 0), model.list); }
  QueueEntry run(uint32_t handle) const {
    return run_entry(handle, SLUICE_SDI_ADDR(kHost, kStepAt), step.size() * 4);
  }
  std::vector<std::byte> scratch() const {
    const std::byte* at = bytes_of(data[kScratch]);
    return {at, at + model.bytes[kScratch]};
  }
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_EMU_SUPPORT_H
