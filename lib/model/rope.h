// SPDX-License-Identifier: Apache-2.0
// Rotary embeddings: what a model file says of them, and the phase increments that follow.
#ifndef SLUICE_MODEL_ROPE_H
#define SLUICE_MODEL_ROPE_H

#include <cstdint>
#include <vector>

#include <sluice/result.hpp>

#include "model/keys.h"

namespace sluice {

struct RopeParams {
  uint32_t n_rot = 0;          // rotated elements of a head
  double base = 10000.0;       // theta
  double scale = 1.0;          // positions are divided by it
  std::vector<float> factors;  // further divisors, one per pair (llama3, longrope), or empty

  // YaRN (arXiv:2309.00071): how much of the scaling fast pairs are spared, 0 without YaRN; pairs
  // that turn more than beta_fast times in the original context are fast, those that turn less
  // than beta_slow times are slow.
  double spare = 0;
  double beta_fast = 32, beta_slow = 1;
  uint32_t n_ctx_original = 0;  // tokens
  float attention_factor = 1;   // cos and sin are multiplied by it

  bool operator==(const RopeParams&) const = default;
};

// Turns per position in units of 2^-64: base^(-2i / n_rot) / (2 pi scale factor_i), one per pair.
// RoFormer (arXiv:2104.09864), section 3.4; linear scaling as in arXiv:2306.15595.
std::vector<uint64_t> rope_increments(const RopeParams& params);

// What cos and sin are multiplied by: the attention factor, and with YaRN 1 + 0.1 ln(scale).
float rope_magnitude(const RopeParams& params);

// The rotary embedding of a model. LongRoPE (arXiv:2402.13753) has two lists of factors, the one
// for contexts longer than the original: `beyond`; others leave it empty.
struct Rope {
  RopeParams params;
  std::vector<float> beyond;
};

// Keys rope.* and the tensors of factors. `n_rot` is that of a file which does not state it, and
// the most. ENOTSUP: a kind of scaling that is not known; EBADMSG: a key or tensor that is wrong.
Result<Rope> read_rope(const Keys& keys, uint32_t n_rot, uint32_t n_ctx_train);

}  // namespace sluice

#endif  // SLUICE_MODEL_ROPE_H
