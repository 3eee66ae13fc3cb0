// SPDX-License-Identifier: Apache-2.0
// Rotary embedding: the machine's cosines and sines against double arithmetic, near and far.
#include <linux/types.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "model/rope.h"
#include "ops/executor.h"
#include "ops/list.h"
#include "ops/step.h"
#include "sluice_sdi.h"
#include "support.h"

using namespace sluice;
using sluice::test::why;

TestSuite(rope, .timeout = 60);

namespace {

// cos and sin of one position, as the machine computes them.
std::vector<float> table_of(const std::vector<uint64_t>& increments, uint32_t position) {
  std::vector<uint64_t> constants = increments;
  std::vector<float> out(2 * increments.size());
  ListBuilder b;
  const auto n = static_cast<uint32_t>(increments.size());
  const uint32_t phases = b.tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED, {n}, n * 8, {0, 0});
  const uint32_t table =
      b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {2 * n, 1}, n * 8, {1, 0});
  b.add(SLUICE_SDI_OP_ROPE_TABLE, table, {phases}, {SLUICE_SDI_POSITION});
  Executor executor(**choose_kernels("scalar"), 1);
  const auto handle =
      executor.load(b.take(), {{reinterpret_cast<std::byte*>(constants.data()), n * 8, false},
                               {reinterpret_cast<std::byte*>(out.data()), n * 8, true}});
  cr_assert(handle.has_value(), "%s", why(handle));
  StepInputs s;
  s.token = {0}, s.position = {position}, s.context = {0}, s.skip = {0}, s.sequence = {0};
  s.slot = {-1}, s.block_table = {{0}};
  std::vector<uint32_t> words;
  s.write(words);
  const auto done = executor.run(*handle, words);
  cr_assert(done.has_value(), "%s", why(done));
  return out;
}

}  // namespace

Test(rope, angles_are_right_at_every_position) {
  RopeParams params;
  params.n_rot = 64;
  const auto increments = rope_increments(params);
  for (const uint32_t position : {0u, 1u, 2u, 511u, 4095u, 100000u, 16777217u, 4000000000u}) {
    const auto table = table_of(increments, position);
    for (uint32_t i = 0; i < 32; ++i) {
      const long double angle = position * std::pow(10000.0L, -2.0L * i / 64);
      cr_expect(std::abs(table[2 * i] - std::cos(angle)) < 3e-7L, "cos at %u, pair %u", position,
                i);
      cr_expect(std::abs(table[2 * i + 1] - std::sin(angle)) < 3e-7L, "sin at %u, pair %u",
                position, i);
    }
  }
}

Test(rope, scaling_divides_positions) {
  RopeParams params;
  params.n_rot = 8;
  params.base = 500000;
  const auto plain = table_of(rope_increments(params), 3);
  params.scale = 4;
  const auto linear = table_of(rope_increments(params), 12);
  params.scale = 1;
  params.factors = {1, 2, 4, 8};
  const auto factors = table_of(rope_increments(params), 24);
  for (uint32_t i = 0; i < 8; ++i) cr_expect(std::abs(plain[i] - linear[i]) < 3e-7f);
  const double angle = 24 * std::pow(500000.0, -0.5) / 4;
  cr_expect(std::abs(factors[4] - std::cos(angle)) < 3e-7);
}
