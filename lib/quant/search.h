// SPDX-License-Identifier: Apache-2.0
// Choosing integer codes and their scales: weighted least squares over values x with weights w.
// Every result is the same on every machine. Values that are no numbers give codes within range.
#ifndef SLUICE_QUANT_SEARCH_H
#define SLUICE_QUANT_SEARCH_H

#include <cstdint>

namespace sluice {

// n is a multiple of 8, at most 256; w has n weights >= 0.
struct Search {
  // scale >= 0 and min >= 0 for which scale * q - min with q in 0 .. top comes near to x.
  void (*affine)(const float* x, const float* w, int n, int top, float* scale, float* min);
  // The weighted squared error with the best codes for scale and min; `codes` may be null.
  float (*affine_error)(const float* x, const float* w, int n, int top, float scale, float min,
                        uint8_t* codes);
  // A scale of either sign for which scale * q with q in low .. high comes near to x.
  float (*symmetric)(const float* x, const float* w, int n, int low, int high);
  float (*symmetric_error)(const float* x, const float* w, int n, int low, int high, float scale,
                           int8_t* codes);
};

// The searches as the CPU runs them best.
const Search& search();

// `importance`, or ones where it is null.
const float* weights_or_ones(const float* importance);

// A block of 256 values in groups with scales and mins of their own:
// d * scale[j] * q - dmin * min[j].
struct AffineBlock {
  uint16_t d, dmin;  // f16
  uint8_t scale[16], min[16];
  uint8_t q[256];
};
// Groups of `group` values, codes to `top`, scales and mins to `scale_top`.
void encode_affine(const float* x, const float* importance, int group, int top, int scale_top,
                   AffineBlock& out);

// The same with one factor: d * scale[j] * q, 16 groups of 16.
struct SymmetricBlock {
  uint16_t d;  // f16
  int8_t scale[16];
  int8_t q[256];
};
// Codes -half .. half - 1, scales -scale_half .. scale_half - 1.
void encode_symmetric(const float* x, const float* importance, int half, int scale_half,
                      SymmetricBlock& out);

}  // namespace sluice

#endif  // SLUICE_QUANT_SEARCH_H
