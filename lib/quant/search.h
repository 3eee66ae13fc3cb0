// SPDX-License-Identifier: Apache-2.0
// Choosing integer codes and their scales: weighted least squares over values x with weights w.
// Every result is the same on every machine. Values that are no numbers give codes within range.
#ifndef SLUICE_QUANT_SEARCH_H
#define SLUICE_QUANT_SEARCH_H

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

// Groups that are searched at a time, and the most values of one.
inline constexpr int kBatch = 16;
inline constexpr int kMostGroup = 32;

// Value i of group g is x[i * kBatch + g], its weight, >= 0, w[i * kBatch + g].
struct alignas(64) Batch {
  float x[kMostGroup * kBatch], w[kMostGroup * kBatch];
  int group;  // values of a group

  // Takes n_groups groups of `group` values that follow each other; what is missing to kBatch are
  // groups of zeros. w may be null: ones.
  void take(const float* values, const float* weights, int n_groups, int group_size);
};

// For each group: scale >= 0 and min >= 0 for which scale * q - min with q in 0 .. top comes near
// to x, and the sums of w and of w * x.
struct alignas(64) AffineFit {
  float scale[kBatch], min[kBatch], of_w[kBatch], of_x[kBatch];
};
// For each group, given the steps d and dmin: whole numbers scale and min for which d * scale * q -
// dmin * min comes near to x, its weighted squared error, and the sums of w * q, w * q^2 and
// w * x * q.
struct alignas(64) AffinePlace {
  float d[kBatch], dmin[kBatch];
  float scale[kBatch], min[kBatch], error[kBatch], q[kBatch], q2[kBatch], xq[kBatch];
};
// The same without a min: a scale of either sign, codes -half .. half - 1.
struct alignas(64) SymmetricFit {
  float scale[kBatch];
};
struct alignas(64) SymmetricPlace {
  float d[kBatch];
  float scale[kBatch], error[kBatch], q2[kBatch], xq[kBatch];
};

struct Search {
  void (*fit_affine)(const Batch& b, int top, AffineFit& fit);
  void (*fit_symmetric)(const Batch& b, int half, SymmetricFit& fit);
  // Scales and mins 0 .. scale_top.
  void (*place_affine)(const Batch& b, int top, int scale_top, const AffineFit& fit,
                       AffinePlace& place);
  // Scales -scale_half .. scale_half - 1.
  void (*place_symmetric)(const Batch& b, int half, int scale_half, const SymmetricFit& fit,
                          SymmetricPlace& place);

  // Of n values side by side, a multiple of 16.
  // The codes low .. high that are nearest to (x + min) * inverse, halves to even.
  void (*codes_nearest)(const float* x, int n, int low, int high, float inverse, float min,
                        int8_t* codes);
  // (x - min) * inverse + shift + 0.5, held to 0 .. top and cut off.
  void (*codes_up)(const float* x, int n, int top, float inverse, float min, float shift,
                   int8_t* codes);
  // x * inverse, halves away from zero; what is no number or beyond a byte is 0.
  void (*codes_away)(const float* x, int n, float inverse, int8_t* codes);
  // The smallest and the largest of the values and of what *low and *high are before.
  void (*extremes)(const float* x, int n, float* low, float* high);
};

// The searches as the CPU runs them best.
const Search& search();
// All of them, for tests.
struct SearchBuild {
  const char* name;
  bool usable;
  const Search* search;
};
std::span<const SearchBuild> search_builds();

// A block of 256 values in groups with scales and mins of their own:
// d * scale[j] * q - dmin * min[j].
struct AffineBlock {
  uint16_t d, dmin;  // f16
  uint8_t scale[16], min[16];
  int8_t q[256];
};
// How: groups of `group` values, codes to `top`, scales and mins to `scale_top`.
struct AffineShape {
  int group, top, scale_top;
};
// Calls put(block's index, AffineBlock) for the blocks of n values; weights as in Format::encode.
template <typename Put>
void encode_affine(const float* x, size_t n, const float* importance, const AffineShape& shape,
                   Put put);

// The same with one factor: d * scale[j] * q, 16 groups of 16.
struct SymmetricBlock {
  uint16_t d;  // f16
  int8_t scale[16];
  int8_t q[256];
};
// Codes -half .. half - 1, scales -scale_half .. scale_half - 1.
void encode_symmetric(const float* x, const float* importance, int half, int scale_half,
                      SymmetricBlock& out);

// As many blocks as a batch holds: 256 / group groups each. The blocks from n_blocks on are not
// looked at.
inline constexpr size_t kMostBlocks = 2;
void encode_affine_batch(const float* x, size_t n_blocks, const float* importance,
                         const AffineShape& shape, AffineBlock* out);

template <typename Put>
void encode_affine(const float* x, size_t n, const float* importance, const AffineShape& shape,
                   Put put) {
  constexpr size_t kSize = 256;
  const size_t at_once = static_cast<size_t>(kBatch * shape.group) / kSize;
  for (size_t b = 0; b < n / kSize; b += at_once) {
    const size_t left = n / kSize - b, n_blocks = left < at_once ? left : at_once;
    AffineBlock blocks[kMostBlocks];
    encode_affine_batch(x + b * kSize, n_blocks, importance ? importance + b * kSize : nullptr,
                        shape, blocks);
    for (size_t i = 0; i < n_blocks; ++i) put(b + i, blocks[i]);
  }
}

}  // namespace sluice

#endif  // SLUICE_QUANT_SEARCH_H
