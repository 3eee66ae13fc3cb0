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

// One block of a batch: its groups are lanes first .. first + n - 1.
struct Part {
  int first, n;
  float least = 0;    // error of the best grid so far
  bool done = false;  // another grid would gain nothing
};

// The largest magnitude of the part's scales, with its sign.
float largest(const float* values, const Part& part) {
  float found = 0;
  for (int j = part.first; j < part.first + part.n; ++j) {
    const float magnitude = values[j] < 0 ? -values[j] : values[j];
    if (magnitude > (found < 0 ? -found : found)) found = values[j];
  }
  return found;
}

void set(float* values, const Part& part, uint16_t half) {
  for (int j = part.first; j < part.first + part.n; ++j) values[j] = f16_to_f32(half);
}

// Whether the errors in `errors` are less than those of the rounds before.
bool improves(const float* errors, Part& part, int round) {
  float error = 0;
  for (int j = part.first; j < part.first + part.n; ++j) error += errors[j];
  if (round > 0 && !(error < part.least)) return false;
  part.least = error;
  return true;
}

// Least squares for d and dmin with all codes as they are; false: nothing to gain.
bool refit(const Part& part, const AffineFit& fit, const AffinePlace& p, AffineBlock& grid) {
  double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;
  for (int j = part.first; j < part.first + part.n; ++j) {
    const double u = p.scale[j], v = -p.min[j];
    uu += u * u * p.q2[j], uv += u * v * p.q[j], vv += v * v * fit.of_w[j];
    xu += u * p.xq[j], xv += v * fit.of_x[j];
  }
  const double determinant = uu * vv - uv * uv;
  double d = uu > 0 ? xu / uu : 0, dmin = 0;
  if (determinant > 0) {
    d = (xu * vv - xv * uv) / determinant;
    dmin = (xv * uu - xu * uv) / determinant;
  }
  if (!(d > 0) || !(dmin >= 0)) return false;
  const uint16_t next = f32_to_f16(static_cast<float>(d));
  const uint16_t next_min = f32_to_f16(static_cast<float>(dmin));
  if (next == grid.d && next_min == grid.dmin) return false;
  grid.d = next;
  grid.dmin = next_min;
  return true;
}

bool refit(const SymmetricPlace& p, uint16_t& d) {
  double uu = 0, xu = 0;
  for (int j = 0; j < kBatch; ++j) {
    uu += static_cast<double>(p.scale[j]) * p.scale[j] * p.q2[j];
    xu += static_cast<double>(p.scale[j]) * p.xq[j];
  }
  if (!(uu > 0)) return false;
  const uint16_t next = f32_to_f16(static_cast<float>(xu / uu));
  if (next == d) return false;
  d = next;
  return true;
}

void put_codes(const float* x, const AffineShape& shape, AffineBlock& out) {
  const float d = f16_to_f32(out.d), dmin = f16_to_f32(out.dmin);
  for (int j = 0; j < kSize / shape.group; ++j) {
    const float scale = d * static_cast<float>(out.scale[j]);
    const float min = dmin * static_cast<float>(out.min[j]);
    search().codes_nearest(x + j * shape.group, shape.group, 0, shape.top,
                           scale > 0 ? 1.0f / scale : 0.0f, min, out.q + j * shape.group);
  }
}

}  // namespace

void Batch::take(const float* values, const float* weights, int n_groups, int group_size) {
  group = group_size;
  for (int g = 0; g < kBatch; ++g) {
    for (int i = 0; i < group_size; ++i) {
      x[i * kBatch + g] = g < n_groups ? values[g * group_size + i] : 0;
      w[i * kBatch + g] = g < n_groups && weights ? weights[g * group_size + i] : 1;
    }
  }
}

void encode_affine_batch(const float* x, size_t n_blocks, const float* importance,
                         const AffineShape& shape, AffineBlock* out) {
  const Search& s = search();
  const int n = kSize / shape.group;  // groups of a block
  Batch batch;
  batch.take(x, importance, static_cast<int>(n_blocks) * n, shape.group);
  AffineFit fit;
  s.fit_affine(batch, shape.top, fit);
  AffinePlace place{};
  AffineBlock grid[kMostBlocks];
  Part part[kMostBlocks];
  const auto steps = static_cast<float>(shape.scale_top);
  for (size_t b = 0; b < n_blocks; ++b) {
    part[b] = {static_cast<int>(b) * n, n};
    grid[b].d = f32_to_f16(largest(fit.scale, part[b]) / steps);
    grid[b].dmin = f32_to_f16(largest(fit.min, part[b]) / steps);
  }
  for (int round = 0; round < kRounds; ++round) {
    for (size_t b = 0; b < n_blocks; ++b) {
      set(place.d, part[b], grid[b].d);
      set(place.dmin, part[b], grid[b].dmin);
    }
    s.place_affine(batch, shape.top, shape.scale_top, fit, place);
    bool all_done = true;
    for (size_t b = 0; b < n_blocks; ++b) {
      if (part[b].done || !improves(place.error, part[b], round)) {
        part[b].done = true;
        continue;
      }
      out[b].d = grid[b].d;
      out[b].dmin = grid[b].dmin;
      for (int j = 0; j < n; ++j) {
        out[b].scale[j] = static_cast<uint8_t>(place.scale[part[b].first + j]);
        out[b].min[j] = static_cast<uint8_t>(place.min[part[b].first + j]);
      }
      part[b].done = !refit(part[b], fit, place, grid[b]);
      all_done = all_done && part[b].done;
    }
    if (all_done) break;
  }
  for (size_t b = 0; b < n_blocks; ++b) put_codes(x + b * kSize, shape, out[b]);
}

void encode_symmetric(const float* x, const float* importance, int half, int scale_half,
                      SymmetricBlock& out) {
  const Search& s = search();
  Batch batch;
  batch.take(x, importance, kBatch, kSize / kBatch);
  SymmetricFit fit;
  s.fit_symmetric(batch, half, fit);
  SymmetricPlace place{};
  Part all{0, kBatch};
  // The largest scale takes the one number that has no counterpart of the other sign.
  uint16_t d = f32_to_f16(largest(fit.scale, all) / static_cast<float>(-scale_half));
  for (int round = 0; round < kRounds; ++round) {
    set(place.d, all, d);
    s.place_symmetric(batch, half, scale_half, fit, place);
    if (!improves(place.error, all, round)) break;
    out.d = d;
    for (int j = 0; j < kBatch; ++j) out.scale[j] = static_cast<int8_t>(place.scale[j]);
    if (!refit(place, d)) break;
  }
  const float step = f16_to_f32(out.d);
  for (int j = 0; j < kBatch; ++j) {
    const float scale = step * static_cast<float>(out.scale[j]);
    s.codes_nearest(x + j * 16, 16, -half, half - 1, scale != 0 ? 1.0f / scale : 0.0f, 0,
                    out.q + j * 16);
  }
}

}  // namespace sluice
