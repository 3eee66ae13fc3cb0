// SPDX-License-Identifier: Apache-2.0
// Rotary embedding: the machine's cosines and sines against double arithmetic, near and far.
#include <linux/types.h>

#include <algorithm>
#include <bit>
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
std::vector<float> table_of(const std::vector<uint64_t>& increments, uint32_t position,
                            float magnitude = 1) {
  std::vector<uint64_t> constants = increments;
  std::vector<float> out(2 * increments.size());
  ListBuilder b;
  const auto n = static_cast<uint32_t>(increments.size());
  const uint32_t phases = b.tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED, {n}, n * 8, {0, 0});
  const uint32_t table =
      b.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {2 * n, 1}, n * 8, {1, 0});
  b.add(SLUICE_SDI_OP_ROPE_TABLE, table, {phases},
        {SLUICE_SDI_POSITION, std::bit_cast<uint32_t>(magnitude)});
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

// Worked out with 70 digits: increments that a long double of 64 bits gets wrong in the last place.
Test(rope, increments_are_right_to_the_last_bit) {
  struct {
    double base;
    uint32_t n_rot, pair;
    uint64_t expected;
  } constexpr kCases[] = {
      {10000, 128, 15, 0x04b47b368f3b0d40}, {10000, 256, 30, 0x04b47b368f3b0d40},
      {500000, 64, 1, 0x1b099caaeb289197},  {500000, 128, 2, 0x1b099caaeb289197},
      {1e6, 64, 5, 0x04b47b368f3b0d40},     {1e6, 128, 10, 0x04b47b368f3b0d40},
      {150000, 64, 2, 0x1358280e973f7910},  {150000, 96, 3, 0x1358280e973f7910},
      {10, 64, 30, 0x04b47b368f3b0d40},     {10, 80, 1, 0x2676e9810f2f3fa1}};
  for (const auto& c : kCases) {
    RopeParams params;
    params.n_rot = c.n_rot;
    params.base = c.base;
    cr_expect(same(rope_increments(params)[c.pair], c.expected), "base %g, pair %u of %u", c.base,
              c.pair, c.n_rot / 2);
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

// "NTK-by-parts" of arXiv:2309.00071, section 3.2: pairs that turn often keep their angle, those
// that turn less than once in the original context are interpolated, between them a ramp.
Test(rope, yarn_spares_fast_pairs) {
  RopeParams params;
  params.n_rot = 64;
  params.base = 10000;
  params.scale = 4;
  params.spare = 1;
  params.n_ctx_original = 2048;
  params.beta_fast = 32;
  params.beta_slow = 1;
  const auto increments = rope_increments(params);
  const auto pair_of = [&](double turns) {
    return 64 * std::log(2048 / (turns * 2 * std::numbers::pi)) / (2 * std::log(10000.0));
  };
  const double low = std::floor(pair_of(32)), high = std::ceil(pair_of(1));
  cr_assert(low > 2 && high < 30);
  for (uint32_t i = 0; i < 32; ++i) {
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    const double turns =
        std::pow(10000.0, -2.0 * i / 64) * (ramp / 4 + 1 - ramp) / (2 * std::numbers::pi);
    const double got = std::ldexp(static_cast<double>(increments[i]), -64);
    cr_expect(std::abs(got - turns) < 1e-12, "pair %u: %g turns, expected %g", i, got, turns);
  }
}

Test(rope, magnitudes_multiply_cos_and_sin) {
  RopeParams params;
  cr_expect(rope_magnitude(params) == 1.0f);
  params.scale = 4;
  cr_expect(rope_magnitude(params) == 1.0f);
  params.spare = 1;
  cr_expect(std::abs(rope_magnitude(params) - (1 + 0.1 * std::log(4.0))) < 1e-6);
  params.attention_factor = 1.5f;
  cr_expect(std::abs(rope_magnitude(params) - 1.5 * (1 + 0.1 * std::log(4.0))) < 1e-6);
  params = {};
  params.n_rot = 16;
  const auto plain = table_of(rope_increments(params), 77);
  const auto louder = table_of(rope_increments(params), 77, 1.25f);
  for (size_t i = 0; i < plain.size(); ++i) cr_expect(louder[i] == plain[i] * 1.25f);
}
