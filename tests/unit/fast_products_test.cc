// SPDX-License-Identifier: Apache-2.0
// Fast products: every kernel gives the bits of the scalar reference, AMX among them, whose
// instructions are emulated where the CPU lacks them; and the reference does what kernels.h says.
#include <linux/types.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "amx_emulator.h"
#include "core/cpu.h"
#include "core/f16.h"
#include "ops/kernels/kernels.h"
#include "products.h"
#include "quant/format.h"
#include "sluice_sdi.h"
#include "support.h"

using namespace sluice;
using namespace sluice::test;
using Side = Guarded::Side;

TestSuite(fast_products, .timeout = 300);

namespace {

bool is_float(const Format& f) { return f.block_size == 1; }

// A number that rounding to bf16, or what comes of it, may go wrong with.
float strange(bool infinite) {
  const float edge = 0x1p-40f;
  const float edges[] = {edge,
                         std::nextafter(edge, 0.0f),
                         std::nextafter(edge, 1.0f),
                         -edge,
                         -std::nextafter(edge, 0.0f),
                         0x1p-41f * 1.99f,
                         0x1p-126f,
                         0x1p-149f,
                         -0x1.fp-130f,
                         0.0f,
                         -0.0f,
                         1 + 0x1p-8f,      // between two, the lower one even
                         1 + 0x3p-8f,      // the upper one even
                         -1 - 0x1.01p-8f,  // just above the middle
                         0x1.fep127f,
                         -0x1.ffp127f,  // rounds to infinity
                         std::bit_cast<float>(0x7f800001u),
                         -INFINITY};
  const size_t n = std::size(edges) - (infinite ? 0 : 4);
  return edges[rng() % n];
}

// Strange numbers in every fourth place, anywhere; in every fifth column and row, infinite ones
// too.
void make_strange(const Product& p, const Format& f, uint32_t m) {
  const uint32_t k = p.args.k;
  std::vector<float> row(k);
  for (uint32_t r = 0; r < m; ++r) {
    f.decode(p.w.bytes() + r * p.args.w_stride, row.data(), k);
    for (float& value : row) value = rng() % 4 ? value : strange(r % 5 == 4);
    f.encode(row.data(), p.w.bytes() + r * p.args.w_stride, k, nullptr);
  }
  for (uint32_t c = 0; c < p.args.n; ++c) {
    for (uint32_t i = 0; i < k; ++i) {
      if (rng() % 4 == 0) p.x.floats()[size_t{c} * k + i] = strange(c % 5 == 4);
    }
  }
}

// Of a row and a column of f32, by the reference.
float product_of(std::vector<float> w, std::vector<float> x) {
  const Format& f = *find_format(SLUICE_SDI_TYPE_F32);
  const Product p(f, static_cast<uint32_t>(w.size()), 1, 1, false);
  std::memcpy(p.w.bytes(), w.data(), w.size() * 4);
  std::memcpy(p.x.bytes(), x.data(), x.size() * 4);
  multiply(kKernelsScalar.fast_floats, p.args, 1);
  return p.y.floats()[0];
}

}  // namespace

Test(fast_products, of_blocks_equal_the_reference) {
  for (const Format& f : formats()) {
    if (!f.decode || is_float(f)) continue;
    for (const uint32_t k : {256u, 512u, 1280u}) {
      if (light() && k > 300) continue;
      for (const uint32_t n : {1u, 5u, 16u, 17u, 49u}) {
        for (const uint32_t m : {1u, 6u, 16u, 35u}) {
          const Side side = (n + m) % 2 ? Side::kBack : Side::kFront;
          compare_matmul(f, Product(f, k, m, n, n % 2 == 0, side, true), m, true);
        }
      }
    }
  }
}

Test(fast_products, of_floats_equal_the_reference) {
  for (const Format& f : formats()) {
    if (!f.decode || !is_float(f)) continue;
    for (const uint32_t k : {1u, 15u, 16u, 31u, 32u, 33u, 64u, 100u, 172u, 320u, 1000u}) {
      if (lightest() && k > 40) continue;
      for (uint32_t n = 1; n <= 50; n += k > 100 || light() ? 8 : 1) {
        for (const uint32_t m : {1u, 6u, 16u, 35u}) {
          const Side side = (n + m) % 2 ? Side::kBack : Side::kFront;
          const Product p(f, k, m, n, n % 2 == 0, side, true);
          if ((n + m) % 3 == 0) make_strange(p, f, m);
          compare_matmul(f, p, m, true);
        }
      }
    }
  }
}

#if defined(__x86_64__)
// The tiles of AMX give the reference's bits, too: in the CPU, or as the manual says they work.
Test(fast_products, of_tiles_equal_the_reference) {
  if (!cpu_has_avx512()) return;  // the kernels around the tiles
  const bool native = cpu_has_amx();
  const AmxEmulator emulator;
  const Isa amx{"amx", nullptr, &kKernelsAmx};
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    for (const uint32_t k : {256u, 768u, 1u, 33u, 100u, 320u}) {
      if (!is_float(f) && k % 256 != 0) continue;
      for (const uint32_t n : {1u, 16u, 17u, 49u}) {
        for (const uint32_t m : {1u, 31u, 70u}) {
          if (light() && (k > 256 || m > 31 || n > 17)) continue;
          const Product p(f, k, m, n, n % 2 == 0, Side::kBack, true);
          if (is_float(f) && m > 1) make_strange(p, f, m);
          compare_matmul(f, p, m, true, {&amx});
        }
      }
    }
  }
  cr_expect(native || AmxEmulator::n_done() > 0);
  // TDPBF16PS would do other things with them than anybody else.
  cr_expect(same(AmxEmulator::n_flushed(), 0u));
}
#endif

Test(fast_products, of_floats_are_as_stated) {
  // First and second numbers of the pairs of 32 are added up apart, then together.
  cr_expect(same(product_of({0x1p24f, -0x1p24f, 1, 1}, {1, 1, 1, 1}), 1.0f));
  // The next 32 begin anew.
  std::vector<float> w(35, 0.0f);
  w[0] = 0x1p24f, w[32] = 1, w[33] = 1;
  cr_expect(same(product_of(w, std::vector<float>(35, 1.0f)), 0x1p24f + 2));
  // Rounded once, to nearest, halves to even, on both sides.
  const std::pair<float, float> rounded[] = {
      {1 + 0x1p-8f, 1.0f},     {1 + 0x3p-8f, 1 + 0x1p-6f}, {-1 - 0x1.01p-8f, -1 - 0x1p-7f},
      {0x1.ffp127f, INFINITY}, {0x1p-40f, 0x1p-40f},       {std::nextafter(0x1p-40f, 0.0f), 0.0f},
      {-0x1.ffp-41f, 0.0f},
  };
  for (const auto& [from, to] : rounded) {
    cr_expect(same(product_of({from}, {1}), to));
    cr_expect(same(product_of({1}, {from}), to));
  }
  cr_expect(std::isnan(product_of({std::bit_cast<float>(0x7f800001u)}, {1})));
  cr_expect(std::isnan(product_of({INFINITY}, {0x1p-41f})));
}

// Rounding costs little: the product is that of the decoded weights, nearly.
Test(fast_products, are_near_the_exact_ones) {
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    const uint32_t k = 1024, m = 8, n = 3;
    const Product p(f, k, m, n, false, Side::kBack, true);
    multiply(*find_fast(kKernelsScalar, f.id), p.args, m);
    std::vector<float> w(size_t{k} * m);
    f.decode(p.w.bytes(), w.data(), w.size());
    double error = 0, size = 0;
    for (uint32_t c = 0; c < n; ++c) {
      const std::byte* column = p.x.bytes() + c * p.args.x_stride;
      const auto* blocks = reinterpret_cast<const BlockA8K*>(column);
      const auto* floats = reinterpret_cast<const float*>(column);
      for (uint32_t r = 0; r < m; ++r) {
        double sum = 0;
        for (uint32_t i = 0; i < k; ++i) {
          const double x = is_float(f) ? double{floats[i]}
                                       : double{blocks[i / 256].scale} * blocks[i / 256].q[i % 256];
          sum += double{w[size_t{r} * k + i]} * x;
        }
        const double got = double{p.y.floats()[size_t{c} * m + r]};
        error += (got - sum) * (got - sum);
        size += sum * sum;
      }
    }
    cr_expect_lt(std::sqrt(error / size), 0.02, "%s is off by %g", f.name, std::sqrt(error / size));
  }
}
