// SPDX-License-Identifier: Apache-2.0
// Every SIMD kernel gives the bits of the scalar reference, at sizes that do not fit its vectors,
// with unmapped pages behind every operand; and the reference itself is right, against double
// arithmetic.
#include <linux/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/f16.h"
#include "ops/kernels/kernels.h"
#include "products.h"
#include "quant/format.h"
#include "sluice_sdi.h"
#include "support.h"

using namespace sluice;
using namespace sluice::test;
using Side = Guarded::Side;

TestSuite(kernels, .timeout = 300);

namespace {

const std::vector<uint32_t> kSizes = {1, 3, 8, 15, 16, 17, 31, 64, 100, 172, 256, 1000};

}  // namespace

Test(kernels, matmul_equals_reference) {
  const std::vector<uint32_t> columns =
      test::light() ? std::vector<uint32_t>{1, 2, 3, 6, 9, 17}
                    : std::vector<uint32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 33, 40, 70};
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    for (const uint32_t k : {32u, 64u, 96u, 160u, 256u, 512u, 1280u, 172u, 8u, 1u}) {
      if (k % f.block_size || (test::lightest() && k > 300)) continue;
      for (const uint32_t n : columns) {
        for (const uint32_t m : {1u, 2u, 7u, 16u, 27u, 35u, 67u}) {
          // In two parts: eight rows, four and some.
          if (m == 27 && (n < 7 || n > 12 || test::light())) continue;
          if (m > 64 && (n < 13 || test::light())) continue;  // a strip, and some rows of another
          const Side side = (n + m) % 2 ? Side::kBack : Side::kFront;
          compare_matmul(f, Product(f, k, m, n, n % 2 == 0, side), m);
        }
      }
    }
  }
}

// Long rows are read one after the other where they meet one column: whole units, and every rest of
// one.
Test(kernels, matmul_of_long_rows_equals_reference) {
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    for (const uint32_t k : {1024u, 1056u, 1184u, 1280u, 1344u, 1472u, 1536u, 1792u, 2048u}) {
      if (k % f.block_size || (test::light() && k != 1344 && k != 1792)) continue;
      for (const uint32_t m : {1u, 3u, 4u, 5u, 8u, 19u}) {
        if (test::light() && m > 5) continue;
        compare_matmul(f, Product(f, k, m, 1, m % 2 == 0, k % 3 ? Side::kBack : Side::kFront), m);
      }
    }
  }
}

// The largest sums that can occur fit the integers that hold them.
Test(kernels, matmul_holds_extreme_codes) {
  for (const Format& f : formats()) {
    const Activation* kind = find_activation(f.activation);
    if (!kind) continue;
    for (const uint8_t bits : {0x00, 0x7f, 0x80, 0xff}) {
      for (const int8_t code : {-127, 127}) {
        for (const uint32_t n : {1u, 4u, 8u, 20u}) {
          Product p(f, 512, 9, n, false);
          std::memset(p.w.bytes(), bits, p.w.size());
          p.set_scales(f);
          for (size_t at = 0; at < p.x.size(); at += kind->block_bytes) {
            std::memset(p.x.bytes() + at + 4, code, kind->block_size);
          }
          compare_matmul(f, p, 9);
        }
      }
    }
  }
}

// Factors that are no numbers make sums that are none, in the same places for every ISA.
Test(kernels, matmul_takes_hostile_blocks) {
  for (const Format& f : formats()) {
    if (!f.decode || f.block_size == 1) continue;
    for (const uint32_t n : {1u, 6u, 20u}) {
      Product p(f, 512, 6, n, false);
      for (size_t i = 0; i < p.w.size(); ++i) p.w.bytes()[i] = static_cast<std::byte>(rng());
      const uint16_t odd[] = {0x7c00, 0xfc00, 0x7e01, 0x0001, 0x8000, 0x7bff};
      for (uint32_t r = 0; r < 6; ++r) {
        std::memcpy(p.w.bytes() + r * p.args.w_stride + Product::factors(f)[0], &odd[r], 2);
      }
      multiply(*find_matmul(kKernelsScalar, f.id), p.args, 6);
      for (const Isa* isa : others()) {
        const Guarded y(p.y.size());
        MatmulArgs args = p.args;
        args.y = y.bytes();
        multiply(*find_matmul(*isa->kernels, f.id), args, 6);
        for (size_t i = 0; i < y.size() / 4; ++i) {
          const float a = p.y.floats()[i], b = y.floats()[i];
          cr_expect((std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, 4) == 0,
                    "%s of %s at %u: %a, expected %a", f.name, isa->name, n, b, a);
        }
      }
    }
  }
}

Test(kernels, matmul_is_right) {
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    constexpr uint32_t kK = 512, kM = 3, kN = 2;
    Product p(f, kK, kM, kN, false);
    multiply(*find_matmul(kKernelsScalar, f.id), p.args, kM);
    std::vector<float> w(size_t{kK} * kM);
    f.decode(p.w.bytes(), w.data(), w.size());
    const Activation* kind = find_activation(f.activation);
    for (uint32_t c = 0; c < kN; ++c) {
      for (uint32_t r = 0; r < kM; ++r) {
        double expected = 0, norm = 0;
        for (uint32_t i = 0; i < kK; ++i) {
          double x = kind ? 0.0 : p.x.floats()[c * kK + i];
          if (kind) {
            const std::byte* block =
                p.x.bytes() + c * p.args.x_stride + i / kind->block_size * kind->block_bytes;
            float scale;
            std::memcpy(&scale, block, sizeof(scale));
            x = double{scale} * static_cast<int8_t>(block[4 + i % kind->block_size]);
          }
          expected += x * w[r * kK + i];
          norm += std::abs(x * w[r * kK + i]);
        }
        const double got = p.y.floats()[c * kM + r];
        // Sums of mins cancel what codes add: the terms are larger than their differences.
        cr_expect(std::abs(got - expected) < 1e-5 * norm, "%s: %g, expected %g", f.name, got,
                  expected);
      }
    }
  }
}

Test(kernels, rows_equal_reference) {
  for (const uint32_t n : kSizes) {
    const Guarded a(n * 4), b(n * 4), reference(n * 4);
    fill(a, 3), fill(b);
    for (const Isa* isa : others()) {
      const Guarded y(n * 4);
      kKernelsScalar.rms_norm(a.floats(), b.floats(), reference.floats(), n, 1e-5f);
      isa->kernels->rms_norm(a.floats(), b.floats(), y.floats(), n, 1e-5f);
      cr_expect(same_bits(reference, y, "rms_norm", isa->name, n));
      for (uint32_t kind = 0; kind < kNumGlu; ++kind) {
        kKernelsScalar.glu[kind](a.floats(), b.floats(), reference.floats(), n);
        isa->kernels->glu[kind](a.floats(), b.floats(), y.floats(), n);
        cr_expect(same_bits(reference, y, kind ? "gelu" : "silu", isa->name, n));
      }
      kKernelsScalar.softcap(a.floats(), 1.5f, reference.floats(), n);
      isa->kernels->softcap(a.floats(), 1.5f, y.floats(), n);
      cr_expect(same_bits(reference, y, "softcap", isa->name, n));
    }
  }
}

namespace {

// Block by block, so that the message names the first that differs.
template <typename Block>
void compare_quantize(void (*Kernels::*quantize)(const float*, Block*, uint32_t)) {
  constexpr uint32_t kSize = sizeof(Block::q), kN = kSize * 9;
  const Guarded x(kN * 4), reference(kN / kSize * sizeof(Block));
  fill(x, 5);
  const float odd[] = {NAN, INFINITY, -INFINITY, 1e-40f, -0.0f, 3e38f, 0x1p-101f};
  for (uint32_t i = 0; i < std::size(odd); ++i) x.floats()[i * kSize + i] = odd[i];
  for (uint32_t i = 0; i < kSize; ++i) x.floats()[8 * kSize + i] = 0x1p-110f;  // no scale for that
  (kKernelsScalar.*quantize)(x.floats(), reinterpret_cast<Block*>(reference.bytes()), kN);
  const auto* a = reinterpret_cast<const Block*>(reference.bytes());
  for (const Isa* isa : others()) {
    const Guarded y(reference.size());
    (isa->kernels->*quantize)(x.floats(), reinterpret_cast<Block*>(y.bytes()), kN);
    const auto* b = reinterpret_cast<const Block*>(y.bytes());
    for (uint32_t i = 0; i < kN / kSize; ++i) {
      cr_expect(std::memcmp(a + i, b + i, sizeof(Block)) == 0,
                "%s: block %u of %u, scale %a, expected %a", isa->name, i, kSize, b[i].scale,
                a[i].scale);
    }
  }
  cr_expect(same(a[8].scale, 0.0f) && same(a[8].q[3], 0));
  cr_expect(same(a[0].q[0], -127), "NaN");
  int largest = 0;
  for (const int8_t q : a[7].q) largest = std::max(largest, std::abs(q));
  cr_expect(same(largest, 127));
}

}  // namespace

Test(kernels, quantize_equals_reference) {
  compare_quantize<BlockA8>(&Kernels::quantize);
  compare_quantize<BlockA8K>(&Kernels::quantize_k);
}

Test(kernels, gates_caps_and_norm_are_right) {
  constexpr uint32_t kN = 400;
  Guarded gate(kN * 4), up(kN * 4), y(kN * 4);
  for (uint32_t i = 0; i < kN; ++i) gate.floats()[i] = (static_cast<float>(i) - 200) / 4;
  fill(up);
  kKernelsScalar.softcap(gate.floats(), 30.0f, y.floats(), kN);
  for (uint32_t i = 0; i < kN; ++i) {
    const double expected = 30 * std::tanh(gate.floats()[i] / 30.0);
    cr_expect(std::abs(y.floats()[i] - expected) <= 6e-6, "softcap(%g)", gate.floats()[i]);
  }
  kKernelsScalar.glu[SLUICE_SDI_GLU_GELU](gate.floats(), up.floats(), y.floats(), kN);
  for (uint32_t i = 0; i < kN; ++i) {
    const double g = gate.floats()[i];
    const double inner = 0.7978845608028654 * (g + 0.044715 * g * g * g);
    // 1 + tanh without its cancellation where it comes near 0; the argument of exp ends at 88.
    const double expected = g / (1 + std::exp(std::min(-2 * inner, 88.0))) * up.floats()[i];
    cr_expect(std::abs(y.floats()[i] - expected) <= 1e-5 * std::abs(expected) + 1e-30, "gelu(%g)",
              g);
    const double by_tanh = 0.5 * g * (1 + std::tanh(inner)) * up.floats()[i];
    cr_expect(std::abs(y.floats()[i] - by_tanh) <= 1e-5, "gelu(%g) by tanh", g);
  }
  kKernelsScalar.glu[SLUICE_SDI_GLU_SILU](gate.floats(), up.floats(), y.floats(), kN);
  double squares = 0;
  for (uint32_t i = 0; i < kN; ++i) {
    const double g = gate.floats()[i];
    const double expected = g / (1 + std::exp(-g)) * up.floats()[i];
    cr_expect(std::abs(y.floats()[i] - expected) <= 1e-6 * std::abs(expected) + 1e-30, "silu(%g)",
              g);
    squares += g * g;
  }
  kKernelsScalar.rms_norm(gate.floats(), up.floats(), y.floats(), kN, 1e-6f);
  for (uint32_t i = 0; i < kN; ++i) {
    const double expected = gate.floats()[i] / std::sqrt(squares / kN + 1e-6) * up.floats()[i];
    cr_expect(std::abs(y.floats()[i] - expected) <= 1e-6 * std::abs(expected));
  }
}

namespace {

// Random queries and a cache of `n_blocks` blocks in random order.
struct AttentionCase {
  const Format& format;
  uint32_t head_dim, n_heads, n_blocks, n_rows;
  Guarded q, q_sink, k, v;
  std::vector<uint32_t> table;
  std::vector<AttentionRow> rows;
  AttentionTask task{};

  AttentionCase(const Format& cache, uint32_t d, uint32_t kv_heads, uint32_t blocks, uint32_t n)
      : format(cache),
        head_dim(d),
        n_heads(kv_heads),
        n_blocks(blocks),
        n_rows(n),
        q(size_t{d} * n * 4),
        q_sink(size_t{d} * n * 4),
        k(cache.bytes(size_t{d} * kv_heads * blocks * 16)),
        v(k.size()) {
    fill(q), fill(q_sink);
    std::normal_distribution<float> normal;
    for (const Guarded* g : {&k, &v}) {
      std::vector<float> x(size_t{d} * kv_heads * blocks * 16);
      for (float& value : x) value = normal(rng);
      format.encode(x.data(), g->bytes(), x.size(), nullptr);
    }
    for (uint32_t b = 0; b < blocks; ++b) table.push_back(b);
    std::shuffle(table.begin(), table.end(), rng);
    for (uint32_t r = 0; r < n; ++r) {
      const uint32_t skip = r % 3 == 0 || blocks < 3 ? 0 : r % (blocks - 1);
      const uint32_t most = (blocks - skip) * 16;
      rows.push_back({q.floats() + r * d, q_sink.floats() + r * d, nullptr,
                      static_cast<uint32_t>(rng() % most), skip});
    }
    task.n_rows = n;
    task.k = k.bytes() + format.bytes(size_t{kv_heads - 1} * d);
    task.v = v.bytes() + format.bytes(size_t{kv_heads - 1} * d);
    task.k_stride = task.v_stride = format.bytes(size_t{d} * kv_heads);
    task.block_table = table.data();
    task.head_dim = d;
    task.scale = 1 / std::sqrt(static_cast<float>(d));
  }

  void run(const Kernels& kernels, const Guarded& out) {
    const Guarded scratch((attention_scratch(head_dim) * 4 + 63) / 64 * 64);
    for (uint32_t r = 0; r < n_rows; ++r) rows[r].out = out.floats() + r * head_dim;
    task.rows = rows.data();
    task.k_cache = task.v_cache = find_cache(kernels, format.id);
    task.scratch = scratch.floats();
    kernels.attention(task);
  }
};

}  // namespace

// The types of caches.
static std::vector<const Format*> cache_formats() {
  std::vector<const Format*> out;
  for (size_t i = 0; i < kNumCaches; ++i) out.push_back(find_format(kKernelsScalar.caches[i].type));
  return out;
}

static void expect_reference_attention(const Format& format, uint32_t d, uint32_t n_rows,
                                       uint32_t n_blocks) {
  AttentionCase c(format, d, 2, n_blocks, n_rows);
  const Guarded reference(size_t{d} * n_rows * 4);
  for (const uint32_t window : {0u, 1u, 16u, 21u}) {
    c.task.window = window;
    c.task.soft_cap = window == 16 || d == 20 ? 2.5f : 0.0f;
    c.run(kKernelsScalar, reference);
    for (const Isa* isa : others()) {
      const Guarded out(reference.size());
      c.run(*isa->kernels, out);
      cr_expect(same_bits(reference, out, "attention", isa->name, d), "%s", format.name);
    }
  }
}

Test(kernels, attention_equals_reference) {
  for (const Format* format : cache_formats()) {
    for (const uint32_t d : {8u, 16u, 20u, 64u, 80u, 96u, 128u}) {
      if (d % format->block_size != 0) continue;
      for (const uint32_t n_rows : {1u, 3u, 4u, 13u, 32u}) {
        for (const uint32_t n_blocks : {1u, 2u, 5u}) {
          expect_reference_attention(*format, d, n_rows, n_blocks);
        }
      }
    }
  }
}

// A score that is no number is never the largest, whether a block is seen in part or as a whole.
Test(kernels, attention_with_strange_numbers_equals_reference) {
  const Format& f16 = *find_format(SLUICE_SDI_TYPE_F16);
  for (const uint32_t n_rows : {1u, 13u, 32u}) {
    AttentionCase c(f16, 64, 2, 5, n_rows);
    const float strange[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3e38f};
    for (size_t i = 0; i < std::size(strange); ++i) {
      const size_t row = 3 * i % n_rows;
      c.q.floats()[row * 64 + i] = c.q_sink.floats()[row * 64 + i] = strange[i];
    }
    // One key in each block, another in each.
    for (uint32_t b = 0; b < c.n_blocks; ++b) {
      const uint16_t nan = 0x7e00;
      std::byte* slot = c.k.bytes() + (size_t{b} * 16 + 3 * b) * c.task.k_stride;
      std::memcpy(slot + c.task.k_stride / 2, &nan, sizeof(nan));
    }
    const Guarded reference(size_t{64} * n_rows * 4);
    c.run(kKernelsScalar, reference);
    for (const Isa* isa : others()) {
      const Guarded out(reference.size());
      c.run(*isa->kernels, out);
      cr_expect(same_bits(reference, out, "attention", isa->name, n_rows));
    }
  }
}

// Every type of cache takes rows as its format's encoder does, on every instruction set, and gives
// them back as its decoder does.
Test(kernels, caches_hold_what_their_formats_say) {
  constexpr uint32_t kMost = 224;
  for (const Format* format : cache_formats()) {
    for (uint32_t round = 0; round < 200; ++round) {
      const uint32_t n = format->block_size == 32 ? 32 + round % 7 * 32 : 1 + round % kMost;
      const Guarded x(n * 4), expected(format->bytes(n)), row(format->bytes(n));
      fill(x);
      for (uint32_t i = 0; i < n; ++i) {
        float& value = x.floats()[i];
        const uint32_t lost = 0x7fff + rng() % 3;  // about halfway between two of bf16
        if (round % 4 == 1)
          value = std::bit_cast<float>((std::bit_cast<uint32_t>(value) & 0xffff0000) | lost);
        if (round % 4 == 2) value = i % 32 ? static_cast<float>(rng() % 508) * 0.5f - 127 : 127;
        if (round % 16 == 3 && i % 7 == 2) value = i % 2 ? NAN : -INFINITY;
        if (round % 16 == 7) value *= 0x1p-130f;
        if (round % 16 == 11) value = i % 2 ? 0.0f : -0.0f;
      }
      format->encode(x.floats(), expected.bytes(), n, nullptr);
      const Guarded values(round_up16(n) * 16 * 4), back(values.size());
      find_cache(kKernelsScalar, format->id)->widen(expected.bytes(), 0, n, 3, back.floats());
      for (const Isa* isa : others()) {
        const CacheKernel& cache = *find_cache(*isa->kernels, format->id);
        cache.write(x.floats(), row.bytes(), n);
        cr_assert(std::memcmp(expected.bytes(), row.bytes(), row.size()) == 0,
                  "%s writes %s of %u numbers differently, round %u", isa->name, format->name, n,
                  round);
        cache.widen(expected.bytes(), 0, n, 3, values.floats());
        cr_assert(same_bits(back, values, format->name, isa->name, n));
      }
    }
  }
}

static void expect_right_attention(const Format& format, uint32_t window, float soft_cap) {
  constexpr uint32_t kD = 32;
  AttentionCase c(format, kD, 1, 6, 7);
  c.task.window = window;
  c.task.soft_cap = soft_cap;
  const Guarded out(size_t{kD} * 7 * 4);
  c.run(kKernelsScalar, out);
  std::vector<float> keys(size_t{kD} * 6 * 16), values(keys.size());
  format.decode(c.task.k, keys.data(), keys.size());
  format.decode(c.task.v, values.data(), values.size());
  for (const AttentionRow& row : c.rows) {
    std::vector<double> weight;
    std::vector<size_t> slot;
    double sum = 0;
    for (uint32_t e = 0; e <= row.context; ++e) {
      if (window != 0 && e + window <= row.context) continue;
      const uint32_t block = c.table[e < 16 ? 0 : e / 16 + row.skip];
      slot.push_back(size_t{block} * 16 + e % 16);
      double dot = 0;
      for (uint32_t i = 0; i < kD; ++i) {
        dot += double{(e < 16 ? row.q_sink : row.q)[i]} * keys[slot.back() * kD + i];
      }
      double score = dot * c.task.scale;
      if (soft_cap != 0) score = soft_cap * std::tanh(score / soft_cap);
      weight.push_back(std::exp(score));
      sum += weight.back();
    }
    for (uint32_t i = 0; i < kD; ++i) {
      double expected = 0;
      for (size_t e = 0; e < weight.size(); ++e) {
        expected += weight[e] / sum * values[slot[e] * kD + i];
      }
      cr_expect(std::abs(row.out[i] - expected) < 2e-6, "%g, expected %g", row.out[i], expected);
    }
  }
}

Test(kernels, attention_is_right) {
  for (const Format* format : cache_formats()) {
    expect_right_attention(*format, 0, 0);
    expect_right_attention(*format, 0, 0.5f);
    for (const uint32_t window : {1u, 15u, 16u, 17u, 40u, 1000u}) {
      expect_right_attention(*format, window, 0);
    }
    expect_right_attention(*format, 33, 2.0f);
  }
}
