// SPDX-License-Identifier: Apache-2.0
// Products with operands of their own between unmapped pages, and their comparison with the scalar
// reference: what the tests of kernels share.
#ifndef SLUICE_TESTS_UNIT_PRODUCTS_H
#define SLUICE_TESTS_UNIT_PRODUCTS_H

#include <linux/types.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "guarded.h"
#include "ops/kernels/kernels.h"
#include "quant/format.h"
#include "sluice_sdi.h"
#include "support.h"

namespace sluice::test {

inline std::mt19937 rng(7);

inline void fill(const Guarded& g, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  for (size_t i = 0; i < g.size() / sizeof(float); ++i) g.floats()[i] = normal(rng);
}

// What no numbers hold besides is left open. Valgrind's fused multiply-add of AVX2 may give an
// exact zero the other sign than the CPU does.
inline bool same_float(const float* a, const float* b) {
  return std::memcmp(a, b, sizeof(float)) == 0 || (std::isnan(*a) && std::isnan(*b)) ||
         (lightest() && *a == 0.0f && *b == 0.0f);
}

inline bool same_bits(const Guarded& a, const Guarded& b, const char* what, const char* isa,
                      uint32_t n) {
  if (std::memcmp(a.bytes(), b.bytes(), a.size()) == 0) return true;
  for (size_t i = 0; i < a.size() / sizeof(float); ++i) {
    if (!same_float(a.floats() + i, b.floats() + i)) {
      cr_log_error("%s of %s at %u: element %zu is %a, expected %a", what, isa, n, i, b.floats()[i],
                   a.floats()[i]);
      return false;
    }
  }
  return true;
}

// The ISAs that are to be compared with the reference.
inline std::vector<const Isa*> others() {
  std::vector<const Isa*> out;
  for (size_t i = 0; i < kNumIsas; ++i) {
    if (kIsas[i].kernels != &kKernelsScalar && kIsas[i].usable()) out.push_back(&kIsas[i]);
  }
  return out;
}

// The activations that a format's products take.
inline uint32_t activation_of(const Format& f, bool fast) {
  return fast && f.block_size > 1 ? SLUICE_SDI_TYPE_A8K : f.activation;
}

// Bytes of a column of k values as a format wants it.
inline size_t x_bytes(const Format& f, uint32_t k, bool fast) {
  const Activation* kind = find_activation(activation_of(f, fast));
  return kind ? kind->row_bytes(k) : size_t{k} * sizeof(float);
}

// A product with operands of its own.
struct Product {
  Guarded w, x, y;
  MatmulArgs args{};
  Product(const Format& f, uint32_t k, uint32_t m, uint32_t n, bool add,
          Guarded::Side side = Guarded::Side::kBack, bool fast = false)
      : w(f.bytes(k) * m, side), x(x_bytes(f, k, fast) * n, side), y(size_t{m} * n * 4, side) {
    Guarded values(size_t{k} * m * 4);
    fill(values);
    // The plain encoders suffice, and are quicker than a search for the best scales.
    for (size_t i = 0; i < w.size(); ++i) w.bytes()[i] = static_cast<std::byte>(rng());
    if (f.block_size == 1) f.encode(values.floats(), w.bytes(), size_t{k} * m, nullptr);
    if (f.block_size > 1) set_scales(f);
    Guarded columns(size_t{k} * n * 4);
    fill(columns);
    if (activation_of(f, fast) == SLUICE_SDI_TYPE_F32) {
      std::memcpy(x.bytes(), columns.bytes(), x.size());
    } else if (activation_of(f, fast) == SLUICE_SDI_TYPE_A8) {
      kKernelsScalar.quantize(columns.floats(), reinterpret_cast<BlockA8*>(x.bytes()), k * n);
    } else {
      kKernelsScalar.quantize_k(columns.floats(), reinterpret_cast<BlockA8K*>(x.bytes()), k * n);
    }
    fill(y);
    args.w = w.bytes();
    args.w_stride = f.bytes(k);
    args.x = x.bytes();
    args.x_stride = x_bytes(f, k, fast);
    args.y = y.bytes();
    args.y_stride = size_t{m} * 4;
    args.k = k;
    args.n = n;
    args.add = add;
    args.format = f.id;
    args.decode = f.decode;
    args.w_bytes256 = f.bytes(256);
    args.ahead = 4096;
  }

  // Random bits make any code and any group scale; the f16 factors are drawn from sane numbers.
  void set_scales(const Format& f) const {
    for (size_t at = 0; at < w.size(); at += f.block_bytes) {
      for (const size_t offset : factors(f)) {
        const auto half = static_cast<uint16_t>(0x2000 + rng() % 0x1400 + (rng() % 2 << 15));
        std::memcpy(w.bytes() + at + offset, &half, sizeof(half));
      }
    }
  }
  // Where a block's f16 factors are.
  static std::vector<size_t> factors(const Format& f) {
    switch (f.id) {
      case SLUICE_SDI_TYPE_Q2_K:
        return {80, 82};
      case SLUICE_SDI_TYPE_Q3_K:
        return {108};
      case SLUICE_SDI_TYPE_Q6_K:
        return {208};
      case SLUICE_SDI_TYPE_Q4_0:
      case SLUICE_SDI_TYPE_Q5_0:
      case SLUICE_SDI_TYPE_Q8_0:
        return {0};
      default:
        return {0, 2};
    }
  }
};

inline std::byte* aligned(std::vector<std::byte>& space, size_t bytes) {
  space.assign(bytes + 64, std::byte{0x5a});
  return space.data() + (64 - reinterpret_cast<uintptr_t>(space.data()) % 64) % 64;
}

inline void multiply(const MatmulKernel& kernel, MatmulArgs args, uint32_t m) {
  std::vector<std::byte> packed, scratch;
  if (kernel.packing) {
    args.packed = aligned(packed, kernel.packing->bytes(args.k, args.n));
    for (uint32_t i = 0; i < kernel.packing->pieces(args.n); ++i) kernel.packing->pack(args, i);
  }
  if (kernel.scratch_bytes) args.scratch = aligned(scratch, kernel.scratch_bytes(args.k));
  // In two parts, as two threads would.
  const uint32_t half = m / 2;
  kernel.compute(args, 0, half);
  kernel.compute(args, half, m);
}

inline const MatmulKernel* kernel_for(const Kernels& kernels, const Format& f, bool fast) {
  return fast ? find_fast(kernels, f.id) : find_matmul(kernels, f.id);
}

// The same product by another kernel, on top of what y was before: equal to the reference's.
inline void expect_same_product(const MatmulKernel& kernel, const char* isa, const Format& f,
                                const Product& reference, const Guarded& before, uint32_t m) {
  const Guarded y(before.size());
  std::memcpy(y.bytes(), before.bytes(), y.size());
  MatmulArgs args = reference.args;
  args.y = y.bytes();
  multiply(kernel, args, m);
  const std::string what = fmt::format("{} k={} m={}", f.name, args.k, m);
  cr_expect(same_bits(reference.y, y, what.c_str(), isa, args.n));
}

// All kernels of a format, or those given, against the reference.
inline void compare_matmul(const Format& f, const Product& reference, uint32_t m, bool fast = false,
                           std::vector<const Isa*> isas = others()) {
  const Guarded before(reference.y.size());
  std::memcpy(before.bytes(), reference.y.bytes(), before.size());
  multiply(*kernel_for(kKernelsScalar, f, fast), reference.args, m);
  for (const Isa* isa : isas) {
    const MatmulKernel* kernel = kernel_for(*isa->kernels, f, fast);
    cr_assert(kernel != nullptr, "%s has no kernel for %s", isa->name, f.name);
    expect_same_product(*kernel, isa->name, f, reference, before, m);
  }
}

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_PRODUCTS_H
