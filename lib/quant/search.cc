// SPDX-License-Identifier: Apache-2.0
// The searches, compiled for each width of vectors; which one runs is decided once.
#include "quant/search.h"

#include "core/cpu.h"
#include "quant/search_lanes.h"

namespace sluice {
namespace {

// One build of the searches over vectors of LANES floats, in a namespace of its own.
#define SLUICE_SEARCH(NAME, LANES, TARGET)                                                         \
  namespace NAME {                                                                                 \
  using Floats = Lanes##LANES::Floats;                                                             \
  TARGET void fit_affine_of(const Batch& b, int top, AffineFit& fit) {                             \
    for (int i = 0; i < kBatch; i += LANES) fit_affine<Floats>(b, i, top, fit);                    \
  }                                                                                                \
  TARGET void fit_symmetric_of(const Batch& b, int half, SymmetricFit& fit) {                      \
    for (int i = 0; i < kBatch; i += LANES) fit_symmetric<Floats>(b, i, half, fit);                \
  }                                                                                                \
  TARGET void place_affine_of(const Batch& b, int top, int scale_top, const AffineFit& fit,        \
                              AffinePlace& place) {                                                \
    for (int i = 0; i < kBatch; i += LANES)                                                        \
      place_affine<Floats>(b, i, top, scale_top, fit, place);                                      \
  }                                                                                                \
  TARGET void place_symmetric_of(const Batch& b, int half, int scale_half,                         \
                                 const SymmetricFit& fit, SymmetricPlace& place) {                 \
    for (int i = 0; i < kBatch; i += LANES)                                                        \
      place_symmetric<Floats>(b, i, half, scale_half, fit, place);                                 \
  }                                                                                                \
  TARGET void codes_nearest_of(const float* x, int n, int low, int high, float inverse, float min, \
                               int8_t* codes) {                                                    \
    codes_nearest<Lanes##LANES>(x, n, static_cast<float>(low), static_cast<float>(high), inverse,  \
                                min, codes);                                                       \
  }                                                                                                \
  TARGET void codes_up_of(const float* x, int n, int top, float inverse, float min, float shift,   \
                          int8_t* codes) {                                                         \
    codes_up<Lanes##LANES>(x, n, static_cast<float>(top), inverse, min, shift, codes);             \
  }                                                                                                \
  TARGET void codes_away_of(const float* x, int n, float inverse, int8_t* codes) {                 \
    codes_away<Lanes##LANES>(x, n, inverse, codes);                                                \
  }                                                                                                \
  TARGET void extremes_of(const float* x, int n, float* low, float* high) {                        \
    extremes<Lanes##LANES>(x, n, low, high);                                                       \
  }                                                                                                \
  constexpr Search kSearch = {fit_affine_of,      fit_symmetric_of, place_affine_of,               \
                              place_symmetric_of, codes_nearest_of, codes_up_of,                   \
                              codes_away_of,      extremes_of};                                    \
  }

SLUICE_SEARCH(plain, 4, )
#if defined(__x86_64__)
SLUICE_SEARCH(avx2, 8, [[gnu::target("avx2")]])
SLUICE_SEARCH(avx512, 16,
              [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")]])
#endif

}  // namespace

std::span<const SearchBuild> search_builds() {
  // In rising order of preference.
  static const SearchBuild builds[] = {
    {"plain", true, &plain::kSearch},
#if defined(__x86_64__)
    {"avx2", cpu_has_avx2(), &avx2::kSearch},
    {"avx512", cpu_has_avx512(), &avx512::kSearch},
#endif
  };
  return builds;
}

const Search& search() {
  static const Search& chosen = [&]() -> const Search& {
    const Search* best = nullptr;
    for (const SearchBuild& build : search_builds()) best = build.usable ? build.search : best;
    return *best;
  }();
  return chosen;
}

}  // namespace sluice
