// SPDX-License-Identifier: Apache-2.0
// Every SIMD kernel gives the bits of the scalar reference, at sizes that do not fit its vectors,
// with unmapped pages behind every operand; and the reference itself is right, against double
// arithmetic.
#include <linux/types.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/f16.h"
#include "ops/kernels/kernels.h"
#include "quant/format.h"
#include "sluice_sdi.h"
#include "support.h"

using namespace sluice;

TestSuite(kernels, .timeout = 300);

namespace {

// Memory that ends where an unmapped page begins, and begins behind another.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes) {
    const size_t pages = (bytes + kPage - 1) / kPage * kPage;
    mapped_ = pages + 2 * kPage;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + kPage, pages, PROT_READ | PROT_WRITE);
    data_ = base_ + kPage + pages - bytes;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }
  std::byte* bytes() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  size_t size() const { return bytes_; }

 private:
  static constexpr size_t kPage = 4096;
  size_t bytes_, mapped_;
  std::byte* base_;
  std::byte* data_;
};

std::mt19937 rng(7);

void fill(const Guarded& g, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  for (size_t i = 0; i < g.size() / sizeof(float); ++i) g.floats()[i] = normal(rng);
}

bool same_bits(const Guarded& a, const Guarded& b, const char* what, const char* isa, uint32_t n) {
  if (std::memcmp(a.bytes(), b.bytes(), a.size()) == 0) return true;
  for (size_t i = 0; i < a.size() / sizeof(float); ++i) {
    if (std::memcmp(a.floats() + i, b.floats() + i, sizeof(float)) != 0) {
      cr_log_error("%s of %s at %u: element %zu is %a, expected %a", what, isa, n, i, b.floats()[i],
                   a.floats()[i]);
      return false;
    }
  }
  cr_log_error("%s of %s at %u differs", what, isa, n);
  return false;
}

// The ISAs that are to be compared with the reference.
std::vector<const Isa*> others() {
  std::vector<const Isa*> out;
  for (size_t i = 0; i < kNumIsas; ++i) {
    if (kIsas[i].kernels != &kKernelsScalar && kIsas[i].usable()) out.push_back(&kIsas[i]);
  }
  return out;
}

const std::vector<uint32_t> kSizes = {1, 3, 8, 15, 16, 17, 31, 64, 100, 172, 256, 1000};

// A product with operands of its own.
struct Product {
  Guarded w, x, y;
  MatmulArgs args{};
  Product(const Format& f, uint32_t k, uint32_t m, uint32_t n, bool add)
      : w(f.bytes(k) * m), x(x_bytes(f, k) * n), y(size_t{m} * n * 4) {
    Guarded values(size_t{k} * m * 4);
    fill(values);
    f.encode(values.floats(), w.bytes(), size_t{k} * m);
    Guarded columns(size_t{k} * n * 4);
    fill(columns);
    if (f.activation == SLUICE_SDI_TYPE_F32) {
      std::memcpy(x.bytes(), columns.bytes(), x.size());
    } else {
      kKernelsScalar.quantize(columns.floats(), reinterpret_cast<BlockA8*>(x.bytes()), k * n);
    }
    fill(y);
    args = {w.bytes(),     f.bytes(k), x.bytes(), x_bytes(f, k), y.bytes(),
            size_t{m} * 4, k,          n,         add,           nullptr};
  }
  static size_t x_bytes(const Format& f, uint32_t k) {
    return f.activation == SLUICE_SDI_TYPE_F32 ? size_t{k} * 4 : k / kA8Block * sizeof(BlockA8);
  }
};

void multiply(const MatmulKernel& kernel, MatmulArgs args, uint32_t m) {
  std::vector<std::byte> packed;
  if (kernel.pack_columns && args.n >= kernel.pack_from) {
    const uint32_t groups = (args.n + kernel.pack_columns - 1) / kernel.pack_columns;
    packed.resize(groups * kernel.packed_group_bytes(args.k) + 64);
    args.packed = packed.data() + (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) % 64;
    for (uint32_t g = 0; g < groups; ++g) kernel.pack(args, g);
  }
  // In two parts, as two threads would.
  const uint32_t half = m / 2;
  kernel.compute(args, 0, half);
  kernel.compute(args, half, m);
}

void compare_matmul(const Format& f, uint32_t k, uint32_t m, uint32_t n, bool add) {
  const Product reference(f, k, m, n, add);
  const Guarded start(reference.y.size());
  std::memcpy(start.bytes(), reference.y.bytes(), start.size());
  multiply(*find_matmul(kKernelsScalar, f.id), reference.args, m);
  for (const Isa* isa : others()) {
    const MatmulKernel* kernel = find_matmul(*isa->kernels, f.id);
    cr_assert(kernel != nullptr, "%s has no kernel for %s", isa->name, f.name);
    const Guarded y(start.size());
    std::memcpy(y.bytes(), start.bytes(), y.size());
    MatmulArgs args = reference.args;
    args.y = y.bytes();
    multiply(*kernel, args, m);
    const std::string what = fmt::format("{} k={} m={}", f.name, k, m);
    cr_expect(same_bits(reference.y, y, what.c_str(), isa->name, n));
  }
}

}  // namespace

Test(kernels, matmul_equals_reference) {
  const std::vector<uint32_t> columns =
      test::light() ? std::vector<uint32_t>{1, 5}
                    : std::vector<uint32_t>{1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 40};
  for (const Format& f : formats()) {
    if (!f.decode) continue;
    for (const uint32_t k : {32u, 64u, 96u, 256u, 172u, 8u, 1u}) {
      if (k % f.block_size) continue;
      for (const uint32_t n : columns) {
        for (const uint32_t m : {1u, 2u, 7u, 16u, 33u, 50u}) compare_matmul(f, k, m, n, n % 2 == 0);
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
    for (uint32_t c = 0; c < kN; ++c) {
      for (uint32_t r = 0; r < kM; ++r) {
        double expected = 0, norm = 0;
        for (uint32_t i = 0; i < kK; ++i) {
          const auto* a8 = reinterpret_cast<const BlockA8*>(p.x.bytes()) + c * kK / kA8Block;
          const double x = f.activation == SLUICE_SDI_TYPE_F32
                               ? p.x.floats()[c * kK + i]
                               : double{a8[i / kA8Block].scale} * a8[i / kA8Block].q[i % kA8Block];
          expected += x * w[r * kK + i];
          norm += std::abs(x * w[r * kK + i]);
        }
        const double got = p.y.floats()[c * kM + r];
        cr_expect(std::abs(got - expected) < 1e-6 * norm, "%s: %g, expected %g", f.name, got,
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
      kKernelsScalar.swiglu(a.floats(), b.floats(), reference.floats(), n);
      isa->kernels->swiglu(a.floats(), b.floats(), y.floats(), n);
      cr_expect(same_bits(reference, y, "swiglu", isa->name, n));
      const Guarded half_reference(n * 2), half(n * 2);
      kKernelsScalar.to_f16(a.floats(), reinterpret_cast<uint16_t*>(half_reference.bytes()), n);
      isa->kernels->to_f16(a.floats(), reinterpret_cast<uint16_t*>(half.bytes()), n);
      cr_expect(std::memcmp(half_reference.bytes(), half.bytes(), n * 2) == 0, "to_f16 of %s at %u",
                isa->name, n);
    }
  }
}

Test(kernels, quantize_equals_reference) {
  constexpr uint32_t kN = 32 * 9;
  const Guarded x(kN * 4), reference(kN / 32 * sizeof(BlockA8));
  fill(x, 5);
  const float odd[] = {NAN, INFINITY, -INFINITY, 1e-40f, -0.0f, 3e38f, 0x1p-101f};
  for (uint32_t i = 0; i < std::size(odd); ++i) x.floats()[i * 32 + i] = odd[i];
  for (uint32_t i = 0; i < 32; ++i)
    x.floats()[8 * 32 + i] = 0x1p-110f;  // a block too small for a scale
  kKernelsScalar.quantize(x.floats(), reinterpret_cast<BlockA8*>(reference.bytes()), kN);
  for (const Isa* isa : others()) {
    const Guarded y(reference.size());
    isa->kernels->quantize(x.floats(), reinterpret_cast<BlockA8*>(y.bytes()), kN);
    const auto* a = reinterpret_cast<const BlockA8*>(reference.bytes());
    const auto* b = reinterpret_cast<const BlockA8*>(y.bytes());
    for (uint32_t i = 0; i < kN / 32; ++i) {
      cr_expect(std::memcmp(a + i, b + i, sizeof(BlockA8)) == 0,
                "%s: block %u, scale %a, expected %a", isa->name, i, b[i].scale, a[i].scale);
    }
  }
  const auto& last = reinterpret_cast<const BlockA8*>(reference.bytes())[8];
  cr_expect(same(last.scale, 0.0f) && same(last.q[3], 0));
}

Test(kernels, swiglu_and_norm_are_right) {
  constexpr uint32_t kN = 400;
  Guarded gate(kN * 4), up(kN * 4), y(kN * 4);
  for (uint32_t i = 0; i < kN; ++i) gate.floats()[i] = (static_cast<float>(i) - 200) / 4;
  fill(up);
  kKernelsScalar.swiglu(gate.floats(), up.floats(), y.floats(), kN);
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
  uint32_t head_dim, n_heads, n_blocks, n_rows;
  Guarded q, q_sink, k, v;
  std::vector<uint32_t> table;
  std::vector<AttentionRow> rows;
  AttentionTask task{};

  AttentionCase(uint32_t d, uint32_t kv_heads, uint32_t blocks, uint32_t n)
      : head_dim(d),
        n_heads(kv_heads),
        n_blocks(blocks),
        n_rows(n),
        q(size_t{d} * n * 4),
        q_sink(size_t{d} * n * 4),
        k(size_t{d} * kv_heads * blocks * 16 * 2),
        v(k.size()) {
    fill(q), fill(q_sink);
    std::normal_distribution<float> normal;
    for (const Guarded* g : {&k, &v}) {
      auto* half = reinterpret_cast<uint16_t*>(g->bytes());
      for (size_t i = 0; i < g->size() / 2; ++i) half[i] = f32_to_f16(normal(rng));
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
    task.k = reinterpret_cast<const uint16_t*>(k.bytes()) + (kv_heads - 1) * d;
    task.v = reinterpret_cast<const uint16_t*>(v.bytes()) + (kv_heads - 1) * d;
    task.k_stride = task.v_stride = size_t{d} * kv_heads;
    task.block_table = table.data();
    task.head_dim = d;
    task.scale = 1 / std::sqrt(static_cast<float>(d));
  }

  void run(const Kernels& kernels, const Guarded& out) {
    const Guarded scratch((attention_scratch(head_dim) * 4 + 63) / 64 * 64);
    for (uint32_t r = 0; r < n_rows; ++r) rows[r].out = out.floats() + r * head_dim;
    task.rows = rows.data();
    task.scratch = scratch.floats();
    kernels.attention(task);
  }
};

}  // namespace

Test(kernels, attention_equals_reference) {
  for (const uint32_t d : {8u, 16u, 20u, 64u, 80u, 128u}) {
    for (const uint32_t n_rows : {1u, 3u, 32u}) {
      for (const uint32_t n_blocks : {1u, 2u, 5u}) {
        AttentionCase c(d, 2, n_blocks, n_rows);
        const Guarded reference(size_t{d} * n_rows * 4);
        c.run(kKernelsScalar, reference);
        for (const Isa* isa : others()) {
          const Guarded out(reference.size());
          c.run(*isa->kernels, out);
          cr_expect(same_bits(reference, out, "attention", isa->name, d));
        }
      }
    }
  }
}

Test(kernels, attention_is_right) {
  constexpr uint32_t kD = 32;
  AttentionCase c(kD, 1, 6, 7);
  const Guarded out(size_t{kD} * 7 * 4);
  c.run(kKernelsScalar, out);
  for (const AttentionRow& row : c.rows) {
    std::vector<double> weight;
    std::vector<size_t> slot;
    double sum = 0;
    for (uint32_t e = 0; e <= row.context; ++e) {
      const uint32_t block = c.table[e < 16 ? 0 : e / 16 + row.skip];
      slot.push_back(size_t{block} * 16 + e % 16);
      double dot = 0;
      for (uint32_t i = 0; i < kD; ++i) {
        dot +=
            double{(e < 16 ? row.q_sink : row.q)[i]} * f16_to_f32(c.task.k[slot.back() * kD + i]);
      }
      weight.push_back(std::exp(dot * c.task.scale));
      sum += weight.back();
    }
    for (uint32_t i = 0; i < kD; ++i) {
      double expected = 0;
      for (size_t e = 0; e < weight.size(); ++e) {
        expected += weight[e] / sum * f16_to_f32(c.task.v[slot[e] * kD + i]);
      }
      cr_expect(std::abs(row.out[i] - expected) < 2e-6, "%g, expected %g", row.out[i], expected);
    }
  }
}
