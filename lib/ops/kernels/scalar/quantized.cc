// SPDX-License-Identifier: Apache-2.0
// The reference of quantized weights. A format is a layout with functions for its parts: code(p, i)
// of value i, and for blocks of 256 values scale(p, j) and min(p, j) of group j, all integers.
#include "ops/kernels/scalar/quantized.h"

#include <cmath>
#include <cstring>

#include "core/f16.h"
#include "ops/kernels/blocks.h"

namespace sluice::scalar {
namespace {

int byte_at(const std::byte* p, size_t at) { return static_cast<int>(p[at]); }

float half_at(const std::byte* p, size_t at) {
  uint16_t h;
  std::memcpy(&h, p + at, sizeof(h));
  return f16_to_f32(h);
}

// --- blocks of 32 values -------------------------------------------------------------------------

template <typename L>
int nibble32(const std::byte* p, int i) {
  return byte_at(p, L::kNibbles + static_cast<size_t>(i % 16)) >> (i / 16 * 4) & 15;
}
template <typename L>
int fifth32(const std::byte* p, int i) {
  return (byte_at(p, L::kHigh + static_cast<size_t>(i / 8)) >> (i % 8) & 1) << 4;
}

struct Q4_0 : LayoutQ4_0 {
  static int code(const std::byte* p, int i) { return nibble32<Q4_0>(p, i) - kOffset; }
};
struct Q4_1 : LayoutQ4_1 {
  static int code(const std::byte* p, int i) { return nibble32<Q4_1>(p, i); }
};
struct Q5_0 : LayoutQ5_0 {
  static int code(const std::byte* p, int i) {
    return nibble32<Q5_0>(p, i) + fifth32<Q5_0>(p, i) - kOffset;
  }
};
struct Q5_1 : LayoutQ5_1 {
  static int code(const std::byte* p, int i) { return nibble32<Q5_1>(p, i) + fifth32<Q5_1>(p, i); }
};
struct Q8_0 : LayoutQ8_0 {
  static int code(const std::byte* p, int i) {
    return static_cast<int8_t>(byte_at(p, kCodes + static_cast<size_t>(i)));
  }
};

template <typename F>
float dot32(const std::byte* w, const std::byte* column, uint32_t k) {
  const auto* x = reinterpret_cast<const BlockA8*>(column);
  float sum = 0;
  for (uint32_t b = 0; b < k / kA8Block; ++b, w += F::kBytes) {
    int32_t products = 0, total = 0;
    for (int i = 0; i < 32; ++i) {
      products += F::code(w, i) * x[b].q[i];
      total += x[b].q[i];
    }
    sum = std::fma(half_at(w, F::kD) * x[b].scale, static_cast<float>(products), sum);
    if constexpr (F::kMin) {
      sum = std::fma(half_at(w, F::kM) * x[b].scale, static_cast<float>(total), sum);
    }
  }
  return sum;
}

// --- blocks of 256 values ------------------------------------------------------------------------

// Two bits of value i where 32 bytes hold 128 values.
int two_bits(const std::byte* p, int i) {
  const auto value = static_cast<size_t>(i);
  return byte_at(p, value / 128 * 32 + value % 32) >> (i / 32 % 4 * 2) & 3;
}
// The bit of value i where byte i % 32 holds one for each 32 values.
int one_bit(const std::byte* p, int i) {
  return byte_at(p, static_cast<size_t>(i % 32)) >> (i / 32) & 1;
}
// The nibble of value i where 32 bytes hold 64 values.
int nibble64(const std::byte* p, int i) {
  const auto value = static_cast<size_t>(i);
  return byte_at(p, value / 64 * 32 + value % 32) >> (i / 32 % 2 * 4) & 15;
}
// Scale (part 0) or min (part 4) j of eight in 12 bytes.
int six_bits(const std::byte* p, size_t j, size_t part) {
  if (j < 4) return byte_at(p, part + j) & 63;
  return (byte_at(p, 4 + j) >> part & 15) | byte_at(p, part + j - 4) >> 6 << 4;
}

struct Q2_K : LayoutQ2_K {
  static int code(const std::byte* p, int i) { return two_bits(p + kCodes, i); }
  static int scale(const std::byte* p, size_t j) { return byte_at(p, kScales + j) & 15; }
  static int min(const std::byte* p, size_t j) { return byte_at(p, kScales + j) >> 4; }
};
struct Q3_K : LayoutQ3_K {
  static int code(const std::byte* p, int i) {
    return two_bits(p + kCodes, i) + one_bit(p + kHigh, i) * 4 - kOffset;
  }
  static int scale(const std::byte* p, size_t j) {
    const int low = byte_at(p, kScales + j % 8) >> (j / 8 * 4) & 15;
    return low + (byte_at(p, kScales + 8 + j % 4) >> (j / 4 * 2) & 3) * 16 - 32;
  }
};
struct Q4_K : LayoutQ4_K {
  static int code(const std::byte* p, int i) { return nibble64(p + kNibbles, i); }
  static int scale(const std::byte* p, size_t j) { return six_bits(p + kScales, j, 0); }
  static int min(const std::byte* p, size_t j) { return six_bits(p + kScales, j, 4); }
};
struct Q5_K : LayoutQ5_K {
  static int code(const std::byte* p, int i) {
    return nibble64(p + kNibbles, i) + one_bit(p + kHigh, i) * 16;
  }
  static int scale(const std::byte* p, size_t j) { return six_bits(p + kScales, j, 0); }
  static int min(const std::byte* p, size_t j) { return six_bits(p + kScales, j, 4); }
};
struct Q6_K : LayoutQ6_K {
  static int code(const std::byte* p, int i) {
    const auto value = static_cast<size_t>(i);
    const int low = byte_at(p, kNibbles + value / 128 * 64 + value % 64);
    return (low >> (i / 64 % 2 * 4) & 15) + two_bits(p + kHigh, i) * 16 - kOffset;
  }
  static int scale(const std::byte* p, size_t j) {
    return static_cast<int8_t>(byte_at(p, kScales + j));
  }
};

template <typename F>
float dot256(const std::byte* w, const std::byte* column, uint32_t k) {
  const auto* x = reinterpret_cast<const BlockA8K*>(column);
  float sum = 0;
  for (uint32_t b = 0; b < k / kA8KBlock; ++b, w += F::kBytes) {
    int32_t products = 0, mins = 0;
    for (int j = 0; j < 256 / F::kGroup; ++j) {
      int32_t group = 0, total = 0;
      for (int i = j * F::kGroup; i < (j + 1) * F::kGroup; ++i) {
        group += F::code(w, i) * x[b].q[i];
        total += x[b].q[i];
      }
      products += F::scale(w, static_cast<size_t>(j)) * group;
      if constexpr (F::kMin) mins += F::min(w, static_cast<size_t>(j)) * total;
    }
    sum = std::fma(half_at(w, F::kD) * x[b].scale, static_cast<float>(products), sum);
    if constexpr (F::kMin) {
      sum = std::fma(-(half_at(w, F::kDmin) * x[b].scale), static_cast<float>(mins), sum);
    }
  }
  return sum;
}

using Dot = float (*)(const std::byte* w, const std::byte* x, uint32_t k);

void multiply(const MatmulArgs& a, uint32_t row0, uint32_t row1, Dot dot) {
  for (uint32_t r = row0; r < row1; ++r) {
    for (uint32_t c = 0; c < a.n; ++c) {
      float* y = reinterpret_cast<float*>(a.y + c * a.y_stride) + r;
      const float product = dot(a.w + r * a.w_stride, a.x + c * a.x_stride, a.k);
      *y = a.add ? *y + product : product;
    }
  }
}

}  // namespace

void matmul_q4_0(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot32<Q4_0>);
}
void matmul_q4_1(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot32<Q4_1>);
}
void matmul_q5_0(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot32<Q5_0>);
}
void matmul_q5_1(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot32<Q5_1>);
}
void matmul_q8_0(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot32<Q8_0>);
}
void matmul_q2_k(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot256<Q2_K>);
}
void matmul_q3_k(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot256<Q3_K>);
}
void matmul_q4_k(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot256<Q4_K>);
}
void matmul_q5_k(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot256<Q5_K>);
}
void matmul_q6_k(const MatmulArgs& a, uint32_t r0, uint32_t r1) {
  multiply(a, r0, r1, dot256<Q6_K>);
}

}  // namespace sluice::scalar
