// SPDX-License-Identifier: Apache-2.0
// exp for probabilities, in plain f64 operations: libm's result differs between its versions and
// the CPUs it chooses code for, and the same seed must give the same tokens everywhere.
#ifndef SLUICE_MODEL_SAMPLE_EXP_H
#define SLUICE_MODEL_SAMPLE_EXP_H

#include <bit>
#include <cstdint>

namespace sluice {

// e^x for x <= 0 within 2 units in the last place; 0 below -708, and for what is not a number.
inline double exp_negative(double x) {
  if (!(x >= -708.0)) return 0.0;
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts keeps r exact.
  const double scaled = x * 0x1.71547652b82fep+0;
  const auto n = static_cast<int64_t>(scaled - 0.5);  // x <= 0: rounds to nearest
  const double count = static_cast<double>(n);
  const double r = (x - count * 0x1.62e42feep-1) - count * 0x1.a39ef35793c76p-33;
  // Taylor's series to r^13, whose rest is below 2^-57.
  constexpr double kInverseFactorials[] = {1.0,
                                           1.0,
                                           1.0 / 2,
                                           1.0 / 6,
                                           1.0 / 24,
                                           1.0 / 120,
                                           1.0 / 720,
                                           1.0 / 5040,
                                           1.0 / 40320,
                                           1.0 / 362880,
                                           1.0 / 3628800,
                                           1.0 / 39916800,
                                           1.0 / 479001600,
                                           1.0 / 6227020800};
  double sum = kInverseFactorials[13];
  for (int k = 12; k >= 0; --k) sum = sum * r + kInverseFactorials[k];
  return sum * std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

}  // namespace sluice

#endif  // SLUICE_MODEL_SAMPLE_EXP_H
