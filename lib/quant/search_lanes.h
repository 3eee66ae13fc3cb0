// SPDX-License-Identifier: Apache-2.0
// The searches over Batch, sixteen groups of values at a time: lane g of every vector belongs to
// group g, so no sum ever crosses lanes, and vectors of 4, 8 or 16 lanes give the same bits. No
// operation is fused. Included once, by search.cc, which compiles it for each instruction set.
#ifndef SLUICE_QUANT_SEARCH_LANES_H
#define SLUICE_QUANT_SEARCH_LANES_H

#include <cstring>

#include "quant/search.h"

namespace sluice {
namespace {

#define SLUICE_INLINE [[gnu::always_inline]] inline

// Candidates for the scale around the plain one: from `first` codes on, `width` apart. What lies
// between them the refinements find; with a min there are two numbers to find, and it pays to look
// closer.
struct Steps {
  float first, width;
  int n;
};
constexpr Steps kAffineSteps = {-1.44f, 0.08f, 28};
constexpr Steps kSymmetricSteps = {-1.44f, 0.24f, 10};
constexpr int kRefinements = 3;

// Vectors of LANES floats and what belongs to them. (GCC takes no size that depends on a template.)
#define SLUICE_LANES(LANES, HALF)                                 \
  struct Lanes##LANES {                                           \
    static constexpr int kLanes = LANES;                          \
    using Half = HALF;                                            \
    using Floats = float __attribute__((vector_size(4 * LANES))); \
    using Ints = int32_t __attribute__((vector_size(4 * LANES))); \
    using Bytes = int8_t __attribute__((vector_size(LANES)));     \
  };
SLUICE_LANES(4, void)
SLUICE_LANES(8, Lanes4)
SLUICE_LANES(16, Lanes8)

template <typename F>
SLUICE_INLINE void load(const float* p, F& v) {
  std::memcpy(&v, p, sizeof(v));
}
template <typename F>
SLUICE_INLINE void store(float* p, const F& v) {
  std::memcpy(p, &v, sizeof(v));
}

// Holds v to low .. high (a NaN becomes low) and rounds it to nearest even.
template <typename F>
SLUICE_INLINE void to_codes(F& v, float low, float high) {
  const F magic = F{} + 12582912.0f;  // 1.5 * 2^23
  const F lowest = F{} + low, highest = F{} + high;
  v = v > lowest ? v : lowest;
  v = v < highest ? v : highest;
  v = (v + magic) - magic;
}

// Smallest and largest value of each group, and 0.
template <typename F>
SLUICE_INLINE void range(const float* x, int n, F& low, F& high) {
  low = high = F{};
  for (int i = 0; i < n; ++i) {
    F v;
    load(x + i * kBatch, v);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
}

// --- affine --------------------------------------------------------------------------------------

template <typename F>
struct AffineSums {
  F q, q2, xq;  // of w * q, w * q^2 and w * x * q
};

// Sums over the codes that x * inverse + shift rounds to.
template <typename F>
SLUICE_INLINE void sum_codes(const Batch& b, int first, float top, const F& inverse, const F& shift,
                             AffineSums<F>& s) {
  s.q = s.q2 = s.xq = F{};
  for (int i = 0; i < b.group; ++i) {
    F x, w;
    load(b.x + i * kBatch + first, x);
    load(b.w + i * kBatch + first, w);
    F q = x * inverse + shift;
    to_codes(q, 0, top);
    const F wq = w * q;
    s.q += wq;
    s.q2 += wq * q;
    s.xq += wq * x;
  }
}

// scale * q + offset with offset <= 0, and how much of the sum of w * x^2 it explains.
template <typename F>
struct Line {
  F scale, offset, gain;
};

// Takes the best line through the codes where it explains more than the one that there is.
// `of_x` and `flat`: the sum of w * x, and the offset that is best without a scale.
template <typename F>
SLUICE_INLINE void improve(const AffineSums<F>& s, const F& of_w, const F& of_x, const F& flat,
                           Line<F>& best) {
  const F none{};
  const F determinant = of_w * s.q2 - s.q * s.q;
  const F lift = s.q2 * of_x - s.q * s.xq;
  const F through = lift <= none ? determinant : none;  // 0: the offset is
  const F above = through > none ? of_w * s.xq - of_x * s.q : s.xq;
  const F below = through > none ? determinant : s.q2;
  F scale = below > none ? above / below : none;
  F offset = through > none ? lift / determinant : none;
  offset = scale > none ? offset : flat;
  scale = scale > none ? scale : none;
  const F gain = scale * s.xq + offset * of_x;
  best.scale = gain > best.gain ? scale : best.scale;
  best.offset = gain > best.gain ? offset : best.offset;
  best.gain = gain > best.gain ? gain : best.gain;
}

template <typename F>
SLUICE_INLINE void fit_affine(const Batch& b, int first, int top, AffineFit& fit) {
  const F none{}, one = none + 1.0f;
  F of_w{}, of_x{};
  for (int i = 0; i < b.group; ++i) {
    F x, w;
    load(b.x + i * kBatch + first, x);
    load(b.w + i * kBatch + first, w);
    of_w += w;
    of_x += w * x;
  }
  F flat = of_w > none ? of_x / of_w : none;
  flat = flat < none ? flat : none;
  F low, high;  // the min cannot lift values: low is 0 at most
  range(b.x + first, b.group, low, high);
  const auto highest = static_cast<float>(top);
  const F width = high - low;
  const F per_code = one / width;
  Line<F> best{none, low, none - 1e30f};
  AffineSums<F> sums;
  for (int i = 0; i < kAffineSteps.n; ++i) {
    const float step = kAffineSteps.first + static_cast<float>(i) * kAffineSteps.width;
    const F inverse = per_code * (highest + step);
    sum_codes(b, first, highest, inverse, F(-low * inverse), sums);
    improve(sums, of_w, of_x, flat, best);
  }
  for (int i = 0; i < kRefinements; ++i) {
    const F inverse = best.scale > none ? one / best.scale : none;
    sum_codes(b, first, highest, inverse, F(-best.offset * inverse), sums);
    improve(sums, of_w, of_x, flat, best);
  }
  store(fit.scale + first, F(width > none ? best.scale : none));
  store(fit.min + first, F(none - (width > none ? best.offset : low)));
  store(fit.of_w + first, of_w);
  store(fit.of_x + first, of_x);
}

// The weighted squared error with the best codes for scale and min.
template <typename F>
SLUICE_INLINE void affine_error(const Batch& b, int first, float top, const F& scale, const F& min,
                                F& error) {
  const F none{};
  const F inverse = scale > none ? (none + 1.0f) / scale : none;
  error = none;
  for (int i = 0; i < b.group; ++i) {
    F x, w;
    load(b.x + i * kBatch + first, x);
    load(b.w + i * kBatch + first, w);
    F q = (x + min) * inverse;
    to_codes(q, 0, top);
    const F rest = x - (q * scale - min);
    error += w * rest * rest;
  }
}

// The best scale and min on the grid for each group, looked for around the unbound ones.
template <typename F>
SLUICE_INLINE void place_affine(const Batch& b, int first, int top, int scale_top,
                                const AffineFit& fit, AffinePlace& out) {
  const F none{};
  const auto highest = static_cast<float>(top), most = static_cast<float>(scale_top);
  F d, dmin, middle, min_middle;
  load(out.d + first, d);
  load(out.dmin + first, dmin);
  load(fit.scale + first, middle);
  load(fit.min + first, min_middle);
  middle = d > none ? middle / d : none;
  min_middle = dmin > none ? min_middle / dmin : none;
  to_codes(middle, 0, most);
  to_codes(min_middle, 0, most);
  F least = none + __builtin_inff(), scale = middle, min = min_middle;
  for (int i = 0; i < 9; ++i) {
    F a = middle + static_cast<float>(i / 3 - 1), m = min_middle + static_cast<float>(i % 3 - 1);
    to_codes(a, 0, most);
    to_codes(m, 0, most);
    F error;
    affine_error(b, first, highest, F(d * a), F(dmin * m), error);
    scale = error < least ? a : scale;
    min = error < least ? m : min;
    least = error < least ? error : least;
  }
  AffineSums<F> sums;
  const F step = d * scale, inverse = step > none ? (none + 1.0f) / step : none;
  sum_codes(b, first, highest, inverse, F(dmin * min * inverse), sums);
  store(out.scale + first, scale);
  store(out.min + first, min);
  store(out.error + first, least);
  store(out.q + first, sums.q);
  store(out.q2 + first, sums.q2);
  store(out.xq + first, sums.xq);
}

// --- symmetric -----------------------------------------------------------------------------------

template <typename F>
struct SymmetricSums {
  F q2, xq;
};

template <typename F>
SLUICE_INLINE void sum_codes(const Batch& b, int first, float low, float high, const F& inverse,
                             SymmetricSums<F>& s) {
  s.q2 = s.xq = F{};
  for (int i = 0; i < b.group; ++i) {
    F x, w;
    load(b.x + i * kBatch + first, x);
    load(b.w + i * kBatch + first, w);
    F q = x * inverse;
    to_codes(q, low, high);
    const F wq = w * q;
    s.q2 += wq * q;
    s.xq += wq * x;
  }
}

template <typename F>
struct Ray {
  F scale, gain;
};

template <typename F>
SLUICE_INLINE void improve(const SymmetricSums<F>& s, Ray<F>& best) {
  const F none{};
  const F scale = s.q2 > none ? s.xq / s.q2 : none;
  const F gain = s.xq * scale;
  best.scale = gain > best.gain ? scale : best.scale;
  best.gain = gain > best.gain ? gain : best.gain;
}

template <typename F>
SLUICE_INLINE void fit_symmetric(const Batch& b, int first, int half, SymmetricFit& fit) {
  const F none{}, one = none + 1.0f;
  const auto lowest = static_cast<float>(-half), highest = static_cast<float>(half - 1);
  F low, high;
  range(b.x + first, b.group, low, high);
  // The largest value takes the code that has no counterpart.
  const F magnitude = high > -low ? high : -low;
  const F per_code = (high > -low ? none - 1.0f : one) / magnitude;
  Ray<F> best{none, none};
  SymmetricSums<F> sums;
  for (int i = 0; i < kSymmetricSteps.n; ++i) {
    const float step = kSymmetricSteps.first + static_cast<float>(i) * kSymmetricSteps.width;
    const F inverse = per_code * (static_cast<float>(half) + step);
    sum_codes(b, first, lowest, highest, inverse, sums);
    improve(sums, best);
    if (half > 4) continue;  // with few codes it pays to try it the other way round
    sum_codes(b, first, lowest, highest, F(-inverse), sums);
    improve(sums, best);
  }
  for (int i = 0; i < kRefinements; ++i) {
    const F inverse = best.scale != none ? one / best.scale : none;
    sum_codes(b, first, lowest, highest, inverse, sums);
    improve(sums, best);
  }
  store(fit.scale + first, F(magnitude > none ? best.scale : none));
}

template <typename F>
SLUICE_INLINE void symmetric_error(const Batch& b, int first, float low, float high, const F& scale,
                                   F& error) {
  const F none{};
  const F inverse = scale != none ? (none + 1.0f) / scale : none;
  error = none;
  for (int i = 0; i < b.group; ++i) {
    F x, w;
    load(b.x + i * kBatch + first, x);
    load(b.w + i * kBatch + first, w);
    F q = x * inverse;
    to_codes(q, low, high);
    const F rest = x - q * scale;
    error += w * rest * rest;
  }
}

template <typename F>
SLUICE_INLINE void place_symmetric(const Batch& b, int first, int half, int scale_half,
                                   const SymmetricFit& fit, SymmetricPlace& out) {
  const F none{};
  const auto lowest = static_cast<float>(-half), highest = static_cast<float>(half - 1);
  const auto least_scale = static_cast<float>(-scale_half);
  const auto most_scale = static_cast<float>(scale_half - 1);
  F d, middle;
  load(out.d + first, d);
  load(fit.scale + first, middle);
  middle = d != none ? middle / d : none;
  to_codes(middle, least_scale, most_scale);
  F least = none + __builtin_inff(), scale = middle;
  for (int i = -1; i <= 1; ++i) {
    F a = middle + static_cast<float>(i);
    to_codes(a, least_scale, most_scale);
    F error;
    symmetric_error(b, first, lowest, highest, F(d * a), error);
    scale = error < least ? a : scale;
    least = error < least ? error : least;
  }
  SymmetricSums<F> sums;
  const F step = d * scale, inverse = step != none ? (none + 1.0f) / step : none;
  sum_codes(b, first, lowest, highest, inverse, sums);
  store(out.scale + first, scale);
  store(out.error + first, least);
  store(out.q2 + first, sums.q2);
  store(out.xq + first, sums.xq);
}

// --- values side by side -------------------------------------------------------------------------

// Whole numbers that fit a byte.
template <typename V>
SLUICE_INLINE void store_bytes(const typename V::Ints& whole, int8_t* codes) {
  if constexpr (V::kLanes == 16) {
    const auto bytes = __builtin_convertvector(whole, typename V::Bytes);
    std::memcpy(codes, &bytes, sizeof(bytes));
  } else {  // GCC 12 would take the vector apart to narrow it
    int32_t wide[V::kLanes];
    std::memcpy(wide, &whole, sizeof(wide));
    for (int l = 0; l < V::kLanes; ++l) codes[l] = static_cast<int8_t>(wide[l]);
  }
}

template <typename V>
SLUICE_INLINE void codes_nearest(const float* x, int n, float low, float high, float inverse,
                                 float min, int8_t* codes) {
  for (int i = 0; i < n; i += V::kLanes) {
    typename V::Floats q;
    load(x + i, q);
    q = (q + min) * inverse;
    to_codes(q, low, high);
    store_bytes<V>(__builtin_convertvector(q, typename V::Ints), codes + i);
  }
}

template <typename V>
SLUICE_INLINE void codes_up(const float* x, int n, float top, float inverse, float min, float shift,
                            int8_t* codes) {
  using F = typename V::Floats;
  const F none{}, most = none + top;
  for (int i = 0; i < n; i += V::kLanes) {
    F q;
    load(x + i, q);
    q = ((q - min) * inverse + shift) + 0.5f;
    q = q > none ? q : none;
    q = q < most ? q : most;
    store_bytes<V>(__builtin_convertvector(q, typename V::Ints), codes + i);
  }
}

template <typename V>
SLUICE_INLINE void codes_away(const float* x, int n, float inverse, int8_t* codes) {
  using F = typename V::Floats;
  using I = typename V::Ints;
  const F none{}, half = none + 0.5f, one = none + 1.0f, most = none + 127.5f;
  for (int i = 0; i < n; i += V::kLanes) {
    F q;
    load(x + i, q);
    q = q * inverse;
    q = q < most ? q : none;
    q = q > -most ? q : none;
    const F whole = __builtin_convertvector(__builtin_convertvector(q, I), F);
    const F rest = q - whole;  // exact
    F code = rest >= half ? whole + one : whole;
    code = rest <= -half ? whole - one : code;
    store_bytes<V>(__builtin_convertvector(code, I), codes + i);
  }
}

// The smallest of `lows` and the largest of `highs`, which are no NaNs unless all are.
template <typename V>
SLUICE_INLINE void fold(const typename V::Floats& lows, const typename V::Floats& highs, float* low,
                        float* high) {
  if constexpr (V::kLanes == 4) {
    const float a = lows[0] < lows[1] ? lows[0] : lows[1],
                b = lows[2] < lows[3] ? lows[2] : lows[3];
    const float c = highs[0] > highs[1] ? highs[0] : highs[1];
    const float d = highs[2] > highs[3] ? highs[2] : highs[3];
    *low = a < b ? a : b;
    *high = c > d ? c : d;
  } else {
    typename V::Half::Floats low_half[2], high_half[2];
    std::memcpy(low_half, &lows, sizeof(lows));
    std::memcpy(high_half, &highs, sizeof(highs));
    fold<typename V::Half>(low_half[0] < low_half[1] ? low_half[0] : low_half[1],
                           high_half[0] > high_half[1] ? high_half[0] : high_half[1], low, high);
  }
}

template <typename V>
SLUICE_INLINE void extremes(const float* x, int n, float* low, float* high) {
  typename V::Floats lows = typename V::Floats{} + *low, highs = typename V::Floats{} + *high;
  for (int i = 0; i < n; i += V::kLanes) {
    typename V::Floats v;
    load(x + i, v);
    lows = v < lows ? v : lows;
    highs = v > highs ? v : highs;
  }
  fold<V>(lows, highs, low, high);
}

}  // namespace
}  // namespace sluice

#endif  // SLUICE_QUANT_SEARCH_LANES_H
