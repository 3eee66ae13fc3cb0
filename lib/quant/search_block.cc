// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 values: each group is fitted by itself, then the scales of all groups are brought
// onto one grid. What a group loses by that is looked for again around it, and the grid is moved to
// where the codes want it.
#include <cstring>

#include "core/f16.h"
#include "quant/search.h"

namespace sluice {
namespace {

constexpr int kSize = 256;
constexpr int kRounds = 3;  // grids that are tried

int round_within(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value >= static_cast<float>(high)) return high;
  return static_cast<int>((value + 12582912.0f) - 12582912.0f);
}

// d and dmin of the grid; what a step of it is worth after rounding to f16.
struct Grid {
  uint16_t d, dmin;
  float step() const { return f16_to_f32(d); }
  float min_step() const { return f16_to_f32(dmin); }
};

class AffineSearch {
 public:
  AffineSearch(const float* x, const float* w, int group, int top, int scale_top)
      : x_(x), w_(w), group_(group), n_(kSize / group), top_(top), scale_top_(scale_top) {}

  void run(AffineBlock& out) {
    float largest = 0, largest_min = 0;
    for (int j = 0; j < n_; ++j) {
      s_.affine(x_ + j * group_, w_ + j * group_, group_, top_, &scale_[j], &min_[j]);
      largest = scale_[j] > largest ? scale_[j] : largest;
      largest_min = min_[j] > largest_min ? min_[j] : largest_min;
    }
    const auto steps = static_cast<float>(scale_top_);
    Grid grid{f32_to_f16(largest / steps), f32_to_f16(largest_min / steps)};
    float least = 0;
    for (int round = 0; round < kRounds; ++round) {
      AffineBlock tried{};
      const float error = place(grid, tried);
      if (round > 0 && !(error < least)) break;
      least = error;
      out = tried;
      if (!refit(tried, grid)) break;
    }
  }

 private:
  // The best scale and min on the grid for each group, looked for around the unbound ones.
  float place(const Grid& grid, AffineBlock& out) const {
    out.d = grid.d;
    out.dmin = grid.dmin;
    const float d = grid.step(), dmin = grid.min_step();
    float sum = 0;
    for (int j = 0; j < n_; ++j) {
      const float *x = x_ + j * group_, *w = w_ + j * group_;
      const int scale = d > 0 ? round_within(scale_[j] / d, 0, scale_top_) : 0;
      const int min = dmin > 0 ? round_within(min_[j] / dmin, 0, scale_top_) : 0;
      float least = -1;
      for (int a = scale > 0 ? scale - 1 : 0; a <= scale + 1 && a <= scale_top_; ++a) {
        for (int b = min > 0 ? min - 1 : 0; b <= min + 1 && b <= scale_top_; ++b) {
          const float error = s_.affine_error(x, w, group_, top_, d * static_cast<float>(a),
                                              dmin * static_cast<float>(b), nullptr);
          if (least >= 0 && !(error < least)) continue;
          least = error;
          out.scale[j] = static_cast<uint8_t>(a);
          out.min[j] = static_cast<uint8_t>(b);
        }
      }
      sum += s_.affine_error(x, w, group_, top_, d * static_cast<float>(out.scale[j]),
                             dmin * static_cast<float>(out.min[j]), out.q + j * group_);
    }
    return sum;
  }

  // Least squares for d and dmin with all codes as they are; false: nothing to gain.
  bool refit(const AffineBlock& b, Grid& grid) const {
    double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;
    for (int i = 0; i < kSize; ++i) {
      const int j = i / group_;
      const double w = w_[i], u = b.scale[j] * b.q[i], v = -b.min[j];
      uu += w * u * u, uv += w * u * v, vv += w * v * v;
      xu += w * u * x_[i], xv += w * v * x_[i];
    }
    const double determinant = uu * vv - uv * uv;
    double d = uu > 0 ? xu / uu : 0, dmin = 0;
    if (determinant > 0) {
      d = (xu * vv - xv * uv) / determinant;
      dmin = (xv * uu - xu * uv) / determinant;
    }
    if (!(d > 0) || !(dmin >= 0)) return false;
    const Grid next{f32_to_f16(static_cast<float>(d)), f32_to_f16(static_cast<float>(dmin))};
    if (next.d == grid.d && next.dmin == grid.dmin) return false;
    grid = next;
    return true;
  }

  const Search& s_ = search();
  const float *x_, *w_;
  int group_, n_, top_, scale_top_;
  float scale_[16] = {}, min_[16] = {};
};

class SymmetricSearch {
 public:
  SymmetricSearch(const float* x, const float* w, int half, int scale_half)
      : x_(x), w_(w), half_(half), scale_half_(scale_half) {}

  void run(SymmetricBlock& out) {
    float largest = 0;
    for (int j = 0; j < 16; ++j) {
      scale_[j] = s_.symmetric(x_ + j * 16, w_ + j * 16, 16, -half_, half_ - 1);
      const float magnitude = scale_[j] < 0 ? -scale_[j] : scale_[j];
      if (magnitude > (largest < 0 ? -largest : largest)) largest = scale_[j];
    }
    // The largest scale takes the one number that has no counterpart of the other sign.
    uint16_t d = f32_to_f16(largest / static_cast<float>(-scale_half_));
    float least = 0;
    for (int round = 0; round < kRounds; ++round) {
      SymmetricBlock tried{};
      const float error = place(d, tried);
      if (round > 0 && !(error < least)) break;
      least = error;
      out = tried;
      if (!refit(tried, d)) break;
    }
  }

 private:
  float place(uint16_t bits, SymmetricBlock& out) const {
    out.d = bits;
    const float d = f16_to_f32(bits);
    float sum = 0;
    for (int j = 0; j < 16; ++j) {
      const float *x = x_ + j * 16, *w = w_ + j * 16;
      const int scale = d != 0 ? round_within(scale_[j] / d, -scale_half_, scale_half_ - 1) : 0;
      float least = -1;
      for (int a = scale - 1; a <= scale + 1; ++a) {
        if (a < -scale_half_ || a >= scale_half_) continue;
        const float error =
            s_.symmetric_error(x, w, 16, -half_, half_ - 1, d * static_cast<float>(a), nullptr);
        if (least >= 0 && !(error < least)) continue;
        least = error;
        out.scale[j] = static_cast<int8_t>(a);
      }
      sum += s_.symmetric_error(x, w, 16, -half_, half_ - 1, d * static_cast<float>(out.scale[j]),
                                out.q + j * 16);
    }
    return sum;
  }

  bool refit(const SymmetricBlock& b, uint16_t& d) const {
    double uu = 0, xu = 0;
    for (int i = 0; i < kSize; ++i) {
      const double w = w_[i], u = b.scale[i / 16] * b.q[i];
      uu += w * u * u;
      xu += w * u * x_[i];
    }
    if (!(uu > 0)) return false;
    const uint16_t next = f32_to_f16(static_cast<float>(xu / uu));
    if (next == d) return false;
    d = next;
    return true;
  }

  const Search& s_ = search();
  const float *x_, *w_;
  int half_, scale_half_;
  float scale_[16] = {};
};

}  // namespace

const float* weights_or_ones(const float* importance) {
  struct Ones {
    float w[kSize];
    constexpr Ones() : w() {
      for (float& one : w) one = 1;
    }
  };
  static constexpr Ones kOnes;
  return importance ? importance : kOnes.w;
}

void encode_affine(const float* x, const float* importance, int group, int top, int scale_top,
                   AffineBlock& out) {
  out = {};
  AffineSearch(x, weights_or_ones(importance), group, top, scale_top).run(out);
}

void encode_symmetric(const float* x, const float* importance, int half, int scale_half,
                      SymmetricBlock& out) {
  out = {};
  SymmetricSearch(x, weights_or_ones(importance), half, scale_half).run(out);
}

}  // namespace sluice
