// SPDX-License-Identifier: Apache-2.0
// In long double, so that the rounding to 2^-64 of a turn is the only one that matters.
#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace sluice {

std::vector<uint64_t> rope_increments(const RopeParams& params) {
  std::vector<uint64_t> out;
  for (uint32_t i = 0; i < params.n_rot / 2; ++i) {
    const long double exponent = -2.0L * i / params.n_rot;
    long double turns = std::pow(static_cast<long double>(params.base), exponent) /
                        (2.0L * std::numbers::pi_v<long double> * params.scale);
    if (i < params.factors.size()) turns /= params.factors[i];
    turns -= std::floor(turns);
    out.push_back(static_cast<uint64_t>(std::ldexp(turns, 64)));
  }
  return out;
}

}  // namespace sluice
