// SPDX-License-Identifier: Apache-2.0
// Phase increments of rotary embeddings.
#ifndef SLUICE_MODEL_ROPE_H
#define SLUICE_MODEL_ROPE_H

#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

struct RopeParams {
  uint32_t n_rot = 0;          // rotated elements of a head
  double base = 10000.0;       // theta
  double scale = 1.0;          // linear scaling: positions are divided by it
  std::vector<float> factors;  // further divisors, one per pair (llama3), or empty
};

// Turns per position in units of 2^-64: base^(-2i / n_rot) / (2 pi scale factor_i), one per pair.
// RoFormer (arXiv:2104.09864), section 3.4; linear scaling as in arXiv:2306.15595.
std::vector<uint64_t> rope_increments(const RopeParams& params);

}  // namespace sluice

#endif  // SLUICE_MODEL_ROPE_H
