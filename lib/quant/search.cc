// SPDX-License-Identifier: Apache-2.0
// The searches of one group. Written over vectors of eight floats and compiled on x86 twice,
// without and with AVX2; no fused operations, so that both give the same bits.
#include "quant/search.h"

#include <cstring>

#include "core/cpu.h"

namespace sluice {
namespace {

#define SLUICE_INLINE [[gnu::always_inline]] inline

using Floats = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));

constexpr int kLanes = 8;
constexpr int kSteps = 18;           // candidates on either side of the plain scale
constexpr float kStepWidth = 0.08f;  // codes
constexpr int kRefinements = 3;

SLUICE_INLINE void load(const float* p, Floats& v) { std::memcpy(&v, p, sizeof(v)); }

SLUICE_INLINE float total(const Floats& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// Holds v to low .. high (a NaN becomes low) and rounds it to nearest even.
SLUICE_INLINE void to_codes(Floats& v, float low, float high) {
  const Floats magic = Floats{} + 12582912.0f;  // 1.5 * 2^23
  const Floats lowest = Floats{} + low, highest = Floats{} + high;
  v = v > lowest ? v : lowest;
  v = v < highest ? v : highest;
  v = (v + magic) - magic;
}

struct Range {
  float low, high;
};

SLUICE_INLINE Range range(const float* x, int n) {
  Range r{x[0], x[0]};
  for (int i = 1; i < n; ++i) {
    r.low = x[i] < r.low ? x[i] : r.low;
    r.high = x[i] > r.high ? x[i] : r.high;
  }
  return r;
}

// --- affine --------------------------------------------------------------------------------------

// scale * q + offset with offset <= 0, and how much of the sum of w * x^2 it explains.
struct Line {
  float scale, offset, gain;
};

struct Sums {
  float w, x;  // of w and of w * x
};

// The best line through the codes that x * inverse + shift rounds to.
SLUICE_INLINE Line fit_line(const float* x, const float* w, int n, float top, const Sums& s,
                            float inverse, float shift) {
  Floats q1{}, q2{}, xq{};
  for (int i = 0; i < n; i += kLanes) {
    Floats xi, wi;
    load(x + i, xi);
    load(w + i, wi);
    Floats q = xi * inverse + shift;
    to_codes(q, 0, top);
    const Floats wq = wi * q;
    q1 += wq;
    q2 += wq * q;
    xq += wq * xi;
  }
  const float sum_q = total(q1), sum_q2 = total(q2), sum_xq = total(xq);
  const float determinant = s.w * sum_q2 - sum_q * sum_q;
  Line line{};
  if (determinant > 0) {
    line.scale = (s.w * sum_xq - s.x * sum_q) / determinant;
    line.offset = (sum_q2 * s.x - sum_q * sum_xq) / determinant;
  }
  if (!(determinant > 0) || line.offset > 0) {
    line.scale = sum_q2 > 0 ? sum_xq / sum_q2 : 0;
    line.offset = 0;
  }
  if (!(line.scale > 0)) {
    line.scale = 0;
    line.offset = s.w > 0 && s.x < 0 ? s.x / s.w : 0;
  }
  line.gain = line.scale * sum_xq + line.offset * s.x;
  return line;
}

SLUICE_INLINE void affine(const float* x, const float* w, int n, int top, float* scale,
                          float* min) {
  Floats sum_w{}, sum_x{};
  for (int i = 0; i < n; i += kLanes) {
    Floats xi, wi;
    load(x + i, xi);
    load(w + i, wi);
    sum_w += wi;
    sum_x += wi * xi;
  }
  const Sums s{total(sum_w), total(sum_x)};
  Range r = range(x, n);
  r.low = r.low < 0 ? r.low : 0;  // the min cannot lift values
  *scale = 0;
  *min = -r.low;
  if (!(r.high > r.low)) return;
  const auto highest = static_cast<float>(top);
  Line best{0, r.low, -1e30f};
  for (int step = -kSteps; step <= kSteps / 2; ++step) {
    const float inverse = (highest + static_cast<float>(step) * kStepWidth) / (r.high - r.low);
    if (!(inverse > 0)) continue;
    const Line line = fit_line(x, w, n, highest, s, inverse, -r.low * inverse);
    if (line.gain > best.gain) best = line;
  }
  for (int i = 0; i < kRefinements && best.scale > 0; ++i) {
    const float inverse = 1.0f / best.scale;
    const Line line = fit_line(x, w, n, highest, s, inverse, -best.offset * inverse);
    if (!(line.gain > best.gain)) break;
    best = line;
  }
  *scale = best.scale;
  *min = -best.offset;
}

SLUICE_INLINE float affine_error(const float* x, const float* w, int n, int top, float scale,
                                 float min, uint8_t* codes) {
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  Floats error{};
  for (int i = 0; i < n; i += kLanes) {
    Floats xi, wi;
    load(x + i, xi);
    load(w + i, wi);
    Floats q = (xi + min) * inverse;
    to_codes(q, 0, static_cast<float>(top));
    const Floats rest = xi - (q * scale - min);
    error += wi * rest * rest;
    if (codes) {
      const Ints whole = __builtin_convertvector(q, Ints);
      for (int l = 0; l < kLanes; ++l) codes[i + l] = static_cast<uint8_t>(whole[l]);
    }
  }
  return total(error);
}

// --- symmetric -----------------------------------------------------------------------------------

struct Ray {
  float scale, gain;
};

SLUICE_INLINE Ray fit_ray(const float* x, const float* w, int n, float low, float high,
                          float inverse) {
  Floats q2{}, xq{};
  for (int i = 0; i < n; i += kLanes) {
    Floats xi, wi;
    load(x + i, xi);
    load(w + i, wi);
    Floats q = xi * inverse;
    to_codes(q, low, high);
    const Floats wq = wi * q;
    q2 += wq * q;
    xq += wq * xi;
  }
  const float sum_q2 = total(q2), sum_xq = total(xq);
  if (!(sum_q2 > 0)) return {0, 0};
  return {sum_xq / sum_q2, sum_xq * (sum_xq / sum_q2)};
}

SLUICE_INLINE float symmetric(const float* x, const float* w, int n, int low, int high) {
  const Range r = range(x, n);
  const float largest = r.high > -r.low ? r.high : -r.low;
  if (!(largest > 0)) return 0;
  const auto lowest = static_cast<float>(low), highest = static_cast<float>(high);
  // The largest value takes the code that has no counterpart. With few codes it pays to try it the
  // other way round as well; with many, coarser steps do.
  const float sign = r.high > -r.low ? -1.0f : 1.0f;
  const int width = low >= -8 ? 1 : 2;
  Ray best{0, 0};
  for (int step = -kSteps; step <= kSteps / 2; step += width) {
    const float inverse = sign * (-lowest + static_cast<float>(step) * kStepWidth) / largest;
    const Ray ray = fit_ray(x, w, n, lowest, highest, inverse);
    if (ray.gain > best.gain) best = ray;
    if (low < -4) continue;
    const Ray other = fit_ray(x, w, n, lowest, highest, -inverse);
    if (other.gain > best.gain) best = other;
  }
  for (int i = 0; i < kRefinements && best.scale != 0; ++i) {
    const Ray ray = fit_ray(x, w, n, lowest, highest, 1.0f / best.scale);
    if (!(ray.gain > best.gain)) break;
    best = ray;
  }
  return best.scale;
}

SLUICE_INLINE float symmetric_error(const float* x, const float* w, int n, int low, int high,
                                    float scale, int8_t* codes) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  Floats error{};
  for (int i = 0; i < n; i += kLanes) {
    Floats xi, wi;
    load(x + i, xi);
    load(w + i, wi);
    Floats q = xi * inverse;
    to_codes(q, static_cast<float>(low), static_cast<float>(high));
    const Floats rest = xi - q * scale;
    error += wi * rest * rest;
    if (codes) {
      const Ints whole = __builtin_convertvector(q, Ints);
      for (int l = 0; l < kLanes; ++l) codes[i + l] = static_cast<int8_t>(whole[l]);
    }
  }
  return total(error);
}

// --- the two builds ------------------------------------------------------------------------------

#define SLUICE_SEARCH(NAME, TARGET)                                                          \
  namespace NAME {                                                                           \
  TARGET void affine_of(const float* x, const float* w, int n, int top, float* scale,        \
                        float* min) {                                                        \
    affine(x, w, n, top, scale, min);                                                        \
  }                                                                                          \
  TARGET float affine_error_of(const float* x, const float* w, int n, int top, float scale,  \
                               float min, uint8_t* codes) {                                  \
    return affine_error(x, w, n, top, scale, min, codes);                                    \
  }                                                                                          \
  TARGET float symmetric_of(const float* x, const float* w, int n, int low, int high) {      \
    return symmetric(x, w, n, low, high);                                                    \
  }                                                                                          \
  TARGET float symmetric_error_of(const float* x, const float* w, int n, int low, int high,  \
                                  float scale, int8_t* codes) {                              \
    return symmetric_error(x, w, n, low, high, scale, codes);                                \
  }                                                                                          \
  constexpr Search kSearch = {affine_of, affine_error_of, symmetric_of, symmetric_error_of}; \
  }
SLUICE_SEARCH(plain, )
#if defined(__x86_64__)
SLUICE_SEARCH(avx2, [[gnu::target("avx2")]])
#endif

}  // namespace

const Search& search() {
#if defined(__x86_64__)
  static const Search& chosen = cpu_has_avx2() ? avx2::kSearch : plain::kSearch;
  return chosen;
#else
  return plain::kSearch;
#endif
}

}  // namespace sluice
