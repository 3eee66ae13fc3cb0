// SPDX-License-Identifier: Apache-2.0
// Command lists and step buffers from a hostile hand: what is wrong is refused with its place
// named, and what passes reaches nothing outside its segments (the sanitized run would see it).
#include <linux/types.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>

#include "ops/executor.h"
#include "ops/list.h"
#include "ops/step.h"
#include "ops/validate.h"
#include "sluice_sdi.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(list, .timeout = 300);

namespace {

constexpr uint32_t kDim = 32, kVocab = 40, kTokens = 8, kSlots = 64;
enum : uint16_t { kWeights, kScratch, kKv };

// A list with every operation in it, over segments of exactly the size that it needs.
struct Machine {
  std::vector<std::byte> weights, scratch, kv;
  SegmentTable segments;
  CommandList list;
  ListBuilder b;
  uint64_t used[3] = {};

  SegmentAddress take(uint16_t segment, uint64_t bytes) {
    const SegmentAddress at{segment, used[segment]};
    used[segment] += (bytes + 7) / 8 * 8;
    return at;
  }
  uint32_t rows(uint32_t n, uint16_t kind) {
    return b.tensor(SLUICE_SDI_TYPE_F32, kind, {n, kTokens}, n * 4,
                    take(kScratch, n * kTokens * 4));
  }
  uint32_t heads(SegmentAddress at, uint32_t n) {
    return b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {16, n, kTokens}, 64, at);
  }

  Machine() {
    const auto f16_bytes = [](uint32_t k, uint32_t m) { return k * m * 2; };
    const uint32_t table = b.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED, {kDim, kVocab},
                                    kDim * 2, take(kWeights, f16_bytes(kDim, kVocab)));
    const uint32_t matrix = b.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED, {kDim, kDim},
                                     kDim * 2, take(kWeights, f16_bytes(kDim, kDim)));
    const uint32_t q8 = b.tensor(SLUICE_SDI_TYPE_Q8_0, SLUICE_SDI_ROWS_FIXED, {kDim, kDim}, 34,
                                 take(kWeights, 34 * kDim));
    const uint32_t norm = b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {kDim}, kDim * 4,
                                   take(kWeights, kDim * 4));
    const uint32_t head_norm =
        b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {16}, 64, take(kWeights, 64));
    const uint32_t phases =
        b.tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED, {8}, 64, take(kWeights, 64));
    const uint32_t x = rows(kDim, SLUICE_SDI_ROWS_TOKENS), y = rows(kDim, SLUICE_SDI_ROWS_TOKENS);
    const uint32_t rope = rows(16, SLUICE_SDI_ROWS_TOKENS);
    const uint32_t a8 = b.tensor(SLUICE_SDI_TYPE_A8, SLUICE_SDI_ROWS_TOKENS, {kDim, kTokens}, 36,
                                 take(kScratch, 36 * kTokens));
    const SegmentAddress q_at = take(kScratch, kDim * kTokens * 4),
                         o_at = take(kScratch, kDim * kTokens * 4);
    const uint32_t q =
        b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {kDim, kTokens}, kDim * 4, q_at);
    const SegmentAddress kv_at = take(kKv, kDim * kSlots * 2);
    const uint32_t flat =
        b.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED, {kDim, kSlots}, kDim * 2, kv_at);
    const uint32_t cache =
        b.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED, {16, 2, kSlots}, 32, kv_at);
    const uint32_t q_heads = heads(q_at, 2), o_heads = heads(o_at, 2);
    const uint32_t out = rows(kDim, SLUICE_SDI_ROWS_OUTPUTS);

    const uint32_t epsilon = std::bit_cast<uint32_t>(1e-5f), scale = std::bit_cast<uint32_t>(0.25f),
                   cap = std::bit_cast<uint32_t>(30.0f);
    b.add(SLUICE_SDI_OP_EMBED, x, {table});
    b.add(SLUICE_SDI_OP_ROPE_TABLE, rope, {phases}, {SLUICE_SDI_CONTEXT});
    b.add(SLUICE_SDI_OP_RMS_NORM, y, {x, norm}, {epsilon});
    b.add(SLUICE_SDI_OP_MATMUL, q, {matrix, y});
    b.add(SLUICE_SDI_OP_ROPE, q_heads, {q_heads, rope}, {SLUICE_SDI_ROPE_HALVES});
    b.add(SLUICE_SDI_OP_KV_WRITE, flat, {y});
    b.add(SLUICE_SDI_OP_ATTENTION, o_heads, {q_heads, q_heads, cache, cache}, {scale, cap, 20});
    b.add(SLUICE_SDI_OP_GLU, y, {y, x}, {SLUICE_SDI_GLU_GELU});
    b.add(SLUICE_SDI_OP_QUANTIZE, a8, {y});
    b.add(SLUICE_SDI_OP_MATMUL, x, {q8, a8}, {}, SLUICE_SDI_FLAG_ADD);
    b.add(SLUICE_SDI_OP_SELECT, out, {x});
    b.add(SLUICE_SDI_OP_ADD, x, {x, norm});
    b.add(SLUICE_SDI_OP_SOFTCAP, out, {out}, {cap});
    b.add(SLUICE_SDI_OP_RMS_NORM, o_heads, {o_heads, head_norm}, {epsilon});
    list = b.take();

    for (auto [bytes, segment] :
         {std::pair{&weights, kWeights}, {&scratch, kScratch}, {&kv, kKv}}) {
      bytes->resize(used[segment]);
      segments.push_back({bytes->data(), bytes->size(), segment != kWeights});
    }
  }
};

StepInputs good_step() {
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

std::vector<uint32_t> words_of(const StepInputs& s) {
  std::vector<uint32_t> words;
  s.write(words);
  return words;
}

const Kernels& kernels() { return **choose_kernels(""); }

}  // namespace

Test(list, a_good_list_runs) {
  Machine m;
  Executor executor(kernels(), 2);
  const auto handle = executor.load(m.list, m.segments);
  cr_assert(handle.has_value(), "%s", why(handle));
  const auto done = executor.run(*handle, words_of(good_step()));
  cr_expect(done.has_value(), "%s", why(done));
  executor.unload(*handle);
  cr_expect(is_error(executor.run(*handle, words_of(good_step())), EINVAL, {"handle"}));
}

Test(list, bad_lists_name_the_place) {
  struct Case {
    void (*spoil)(CommandList&);
    std::vector<std::string_view> parts;
  };
  const Case cases[] = {
      {[](CommandList& l) { l.tensors[2].type = 999; }, {"tensor 2", "known type"}},
      {[](CommandList& l) { l.tensors[2].rank = 0; }, {"tensor 2", "rank"}},
      {[](CommandList& l) { l.tensors[2].rank = 5; }, {"tensor 2", "rank"}},
      {[](CommandList& l) { l.tensors[1].rows = 7; }, {"tensor 1", "rows"}},
      {[](CommandList& l) { l.tensors[1].reserved = 1; }, {"tensor 1", "reserved"}},
      {[](CommandList& l) { l.tensors[1].shape[1] = 0; }, {"tensor 1", "shape"}},
      {[](CommandList& l) { l.tensors[1].shape[3] = 2; }, {"tensor 1", "shape"}},
      {[](CommandList& l) { l.tensors[2].shape[0] = 33; }, {"tensor 2", "whole blocks"}},
      {[](CommandList& l) { l.tensors[1].stride[0] = 2; }, {"tensor 1", "overlap"}},
      {[](CommandList& l) { l.tensors[1].shape[1] = 100000; }, {"tensor 1", "of segment 0"}},
      {[](CommandList& l) { l.tensors[1].stride[0] = UINT64_MAX / 4; }, {"tensor 1", "2^64"}},
      {[](CommandList& l) { l.tensors[1].address = SLUICE_SDI_ADDR(9, 0); },
       {"tensor 1", "segment 9 of 3"}},
      {[](CommandList& l) { l.tensors[1].address = SLUICE_SDI_ADDR(0, 1ull << 40); },
       {"tensor 1", "offset"}},
      {[](CommandList& l) { l.commands[3].op = 0; }, {"command 3 (unknown)", "operation"}},
      {[](CommandList& l) { l.commands[3].op = SLUICE_SDI_N_OPS; },
       {"command 3 (unknown)", "operation"}},
      {[](CommandList& l) { l.commands[3].flags = 4; }, {"command 3 (matmul)", "flag"}},
      {[](CommandList& l) { l.commands[9].flags = SLUICE_SDI_FLAG_FAST; },
       {"command 9 (matmul)", "activations in blocks of 256"}},
      {[](CommandList& l) {
         l.commands[3].flags = SLUICE_SDI_FLAG_FAST;
         l.commands[3].src[1] = l.commands[9].src[1];
       },
       {"command 3 (matmul)", "activations of the weights' kind"}},
      {[](CommandList& l) { l.commands[0].flags = 1; }, {"command 0 (embed)", "flag"}},
      {[](CommandList& l) { l.commands[3].reserved = 1; }, {"command 3", "reserved"}},
      {[](CommandList& l) { l.commands[3].dst = 1000; }, {"command 3", "destination"}},
      {[](CommandList& l) { l.commands[3].dst = 0; }, {"command 3", "writable"}},
      {[](CommandList& l) { l.commands[3].src[1] = SLUICE_SDI_NONE; }, {"command 3", "sources"}},
      {[](CommandList& l) { l.commands[3].src[2] = 1; }, {"command 3", "no further source"}},
      {[](CommandList& l) { l.commands[3].src[1] = l.commands[3].dst; }, {"command 3", "overlaps"}},
      {[](CommandList& l) { l.commands[9].src[0] = 1; }, {"command 9 (matmul)", "activations"}},
      {[](CommandList& l) { l.commands[4].imm[0] = 2; }, {"command 4 (rope)", "pairing"}},
      {[](CommandList& l) { l.commands[1].imm[0] = 2; }, {"command 1 (rope_table)", "position"}},
      {[](CommandList& l) { l.commands[0].imm[0] = 0xbf800000; }, {"command 0 (embed)", "scale"}},
      {[](CommandList& l) { l.commands[1].imm[1] = 0x7f800000; }, {"command 1", "magnitude"}},
      {[](CommandList& l) { l.commands[6].imm[1] = 0x80000000; }, {"command 6", "soft cap"}},
      {[](CommandList& l) { l.commands[6].imm[3] = 1; }, {"command 6", "immediates"}},
      {[](CommandList& l) { l.commands[7].imm[0] = 2; }, {"command 7 (glu)", "activation"}},
      {[](CommandList& l) { l.commands[8].dst = l.commands[9].dst; }, {"command 8", "a8"}},
      {[](CommandList& l) { l.tensors[l.commands[8].dst].address += 2; },
       {"command 8 (quantize)", "aligned"}},
      {[](CommandList& l) { l.tensors[l.commands[6].src[2]].type = SLUICE_SDI_TYPE_F32; },
       {"tensor"}},
      {[](CommandList& l) { l.tensors[l.commands[6].dst].stride[1] += 2; },
       {"command 6 (attention)", "aligned"}},
      {[](CommandList& l) { l.commands[11].src[1] = 4; }, {"command 11 (add)", "source"}},
      {[](CommandList& l) { l.commands[12].imm[0] = 0; }, {"command 12 (softcap)", "cap above 0"}},
      {[](CommandList& l) { l.commands[13].src[1] = 3; }, {"command 13 (rms_norm)", "weight"}},
      {[](CommandList& l) { l.commands[6].src[2] = l.commands[5].dst; },
       {"command 6 (attention)", "cache"}},
  };
  for (const Case& c : cases) {
    Machine m;
    c.spoil(m.list);
    Executor executor(kernels(), 1);
    const auto handle = executor.load(m.list, m.segments);
    cr_expect(!handle && handle.error().code == EINVAL, "case %zu",
              static_cast<size_t>(&c - cases));
    if (handle) continue;
    for (const std::string_view part : c.parts) {
      cr_expect(handle.error().message.find(part) != std::string::npos, "case %zu: %s",
                static_cast<size_t>(&c - cases), why(handle));
    }
  }
}

// Only what reads and writes nothing that the others write, and writes nothing that they read, is
// done at once.
Test(list, hazards_keep_commands_apart) {
  constexpr uint32_t kBytes = kDim * kTokens * 4;
  std::vector<std::byte> scratch(size_t{8} * kBytes), weights(34 * kDim);
  SegmentTable segments = {{weights.data(), weights.size(), false},
                           {scratch.data(), scratch.size(), true}};
  ListBuilder b;
  const auto rows_at = [&](uint64_t offset) {
    return b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {kDim, kTokens}, kDim * 4,
                    {kScratch, offset});
  };
  uint32_t t[6];
  for (uint32_t i = 0; i < 6; ++i) t[i] = rows_at(uint64_t{i} * kBytes);
  const uint32_t half = rows_at(kBytes / 2);  // the end of t[0] and the beginning of t[1]
  const uint32_t a8 = b.tensor(SLUICE_SDI_TYPE_A8, SLUICE_SDI_ROWS_TOKENS, {kDim, kTokens}, 36,
                               {kScratch, uint64_t{6} * kBytes});
  const uint32_t q8 =
      b.tensor(SLUICE_SDI_TYPE_Q8_0, SLUICE_SDI_ROWS_FIXED, {kDim, kDim}, 34, {kWeights, 0});
  std::vector<bool> expected;
  const auto softcap = [&](uint32_t dst, uint32_t src, bool joins) {
    b.add(SLUICE_SDI_OP_SOFTCAP, dst, {src}, {std::bit_cast<uint32_t>(1.0f)});
    expected.push_back(joins);
  };
  softcap(t[2], t[0], false);  // the first
  softcap(t[3], t[0], true);   // reads the same
  softcap(t[4], t[2], false);  // reads what is written
  softcap(t[0], t[1], true);   // nothing in common
  softcap(t[2], t[3], false);  // writes what is read
  softcap(t[2], t[5], false);  // writes what is written
  softcap(t[3], t[0], true);
  softcap(t[4], half, true);   // reads what another reads
  softcap(t[5], t[1], false);  // t[5] was read two commands before
  softcap(half, t[3], false);  // overlaps what is read
  softcap(t[2], t[0], false);  // overlaps what is written
  b.add(SLUICE_SDI_OP_QUANTIZE, a8, {t[3]});
  expected.push_back(true);
  b.add(SLUICE_SDI_OP_MATMUL, t[4], {q8, a8});
  const bool packs = find_matmul(kernels(), SLUICE_SDI_TYPE_Q8_0)->packing != nullptr;
  expected.insert(expected.end(), packs ? 2 : 1, false);  // the packing of a8, the product
  b.add(SLUICE_SDI_OP_MATMUL, t[5], {q8, a8});
  expected.push_back(true);
  const auto list = validate(b.take(), segments, kernels());
  cr_assert(list.has_value(), "%s", why(list));
  const auto& work = (*list)->work;
  cr_assert(work.size() == expected.size(), "%zu of %zu", work.size(), expected.size());
  for (size_t i = 0; i < work.size(); ++i) {
    cr_expect(work[i].joins == expected[i], "work %zu joins: %d", i, work[i].joins);
  }
}

Test(list, bad_steps_name_the_place) {
  Machine m;
  Executor executor(kernels(), 1);
  const uint32_t handle = *executor.load(m.list, m.segments);
  const auto expect = [&](auto spoil, std::initializer_list<std::string_view> parts) {
    StepInputs s = good_step();
    spoil(s);
    cr_expect(is_error(executor.run(handle, words_of(s)), EINVAL, parts));
  };
  expect([](StepInputs& s) { s.token[1] = kVocab; }, {"token[1] is 40", "40"});
  expect([](StepInputs& s) { s.slot[0] = kSlots; }, {"slot[0] is 64", "63"});
  expect([](StepInputs& s) { s.slot[0] = -2; }, {"slot[0] is -2"});
  expect([](StepInputs& s) { s.sequence[2] = 2; }, {"sequence[2] is 2"});
  expect([](StepInputs& s) { s.output[0] = 3; }, {"output[0] is 3"});
  expect([](StepInputs& s) { s.context[2] = 48; }, {"token 2", "block 4"});
  expect([](StepInputs& s) { s.skip[2] = UINT32_MAX; }, {"token 2"});
  expect([](StepInputs& s) { s.block_table[1][2] = 4; }, {"block_table[1][2] is 4"});
  expect([](StepInputs& s) { s = {}; }, {"n_tokens is 0"});
  std::vector<uint32_t> words = words_of(good_step());
  const auto run = [&](std::span<const uint32_t> w) { return executor.run(handle, w); };
  cr_expect(is_error(run(std::span(words).first(3)), EINVAL, {"12 bytes"}));
  cr_expect(is_error(run(std::span(words).first(words.size() - 1)), EINVAL, {"asks for"}));
  words[0] = UINT32_MAX;
  cr_expect(is_error(run(words), EINVAL, {"n_tokens"}));
  words = words_of(good_step());
  words[2] = words[3] = UINT32_MAX;
  cr_expect(is_error(run(words), EINVAL, {"asks for"}));
  words = words_of(good_step());
  words[5] = 1;
  cr_expect(is_error(run(words), EINVAL, {"reserved"}));
}

Test(list, spoiled_lists_and_steps_stay_in_their_segments) {
  std::mt19937 rng(99);
  const auto spoil = [&](void* data, size_t bytes, int n) {
    for (int i = 0; i < n; ++i) {
      const size_t at = rng() % bytes;
      const uint8_t values[] = {0, 1, 0xff, static_cast<uint8_t>(rng()), 0x7f, 0x40};
      static_cast<uint8_t*>(data)[at] = values[rng() % std::size(values)];
    }
  };
  const int n_rounds = test::light() ? 300 : 4000;
  int loaded = 0, ran = 0;
  Executor executor(kernels(), 2);
  for (int i = 0; i < n_rounds; ++i) {
    Machine m;
    spoil(m.list.tensors.data(), m.list.tensors.size() * sizeof(TensorDesc),
          static_cast<int>(rng() % 3));
    spoil(m.list.commands.data(), m.list.commands.size() * sizeof(Command),
          static_cast<int>(rng() % 3));
    const auto handle = executor.load(m.list, m.segments);
    if (!handle) continue;
    ++loaded;
    for (int j = 0; j < 8; ++j) {
      std::vector<uint32_t> words = words_of(good_step());
      spoil(words.data(), words.size() * 4, static_cast<int>(rng() % 4));
      if (executor.run(*handle, words)) ++ran;
    }
    executor.unload(*handle);
  }
  // Both happen often enough to mean something.
  cr_expect(loaded > n_rounds / 10 && loaded < n_rounds && ran > loaded, "%d loaded, %d ran",
            loaded, ran);
}
