// SPDX-License-Identifier: Apache-2.0
// Numbers as the sum of two doubles, about 2^-100 wide, by additions, products and fused products
// alone: IEEE 754 rounds those one way, so the bits are the same on every machine, where a long
// double or libm's are not. Two-sum and two-product: Dekker, Knuth; see Hida, Li and Bailey,
// "Library for double-double and quad-double arithmetic" (2007).
#ifndef SLUICE_MODEL_TWO_H
#define SLUICE_MODEL_TWO_H

#include <cmath>
#include <cstdint>

namespace sluice {

struct Two {
  double high = 0, low = 0;  // |low| <= half a unit of high
};

// The exact sum where |a| >= |b|, or in any order.
inline Two quick_sum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}
inline Two exact_sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

inline Two operator+(Two a, Two b) {
  const Two s = exact_sum(a.high, b.high), t = exact_sum(a.low, b.low);
  const Two u = quick_sum(s.high, s.low + t.high);
  return quick_sum(u.high, u.low + t.low);
}
inline Two operator-(Two a) { return {-a.high, -a.low}; }
inline Two operator-(Two a, Two b) { return a + -b; }
inline Two operator*(Two a, Two b) {
  const double p = a.high * b.high;
  const double rest = std::fma(a.high, b.high, -p);
  return quick_sum(p, rest + (a.high * b.low + a.low * b.high));
}
inline Two operator/(Two a, Two b) {
  const double q = a.high / b.high;
  const Two r = a - b * Two{q};
  const double q2 = r.high / b.high;
  const Two r2 = r - b * Two{q2};
  return quick_sum(q, q2) + Two{r2.high / b.high};
}

inline constexpr Two kTwoPi = {0x1.921fb54442d18p+2, 0x1.1a62633145c07p-52};
inline constexpr Two kLn2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};

// ln x for x > 0: of its mantissa m in [1/2, 1) by 2 artanh((m - 1) / (m + 1)).
inline Two log(double x) {
  int exponent = 0;
  const double m = std::frexp(x, &exponent);
  const Two z = Two{m - 1} / exact_sum(m, 1), square = z * z;
  Two power = z, sum = z;
  for (int i = 3; i < 75; i += 2) {  // |z| <= 1/3: the first term left out is below 2^-118
    power = power * square;
    sum = sum + power / Two{static_cast<double>(i)};
  }
  return Two{static_cast<double>(exponent)} * kLn2 + sum + sum;
}

// e^x for |x| below 700.
inline Two exp(Two x) {
  const double n = std::nearbyint(x.high / kLn2.high);
  const Two r = x - Two{n} * kLn2;
  Two term = {1}, sum = {1};
  for (int i = 1; i < 28; ++i) {  // |r| < 0.35: the first term left out is below 2^-135
    term = term * r / Two{static_cast<double>(i)};
    sum = sum + term;
  }
  return {std::ldexp(sum.high, static_cast<int>(n)), std::ldexp(sum.low, static_cast<int>(n))};
}

// What x >= 0 is beyond a whole number, in units of 2^-64, rounded down.
inline uint64_t fraction64(Two x) {
  x = exact_sum(x.high - std::floor(x.high), x.low);
  if (x.high < 0) x = exact_sum(1, x.high);  // a low part below a whole number
  const double high = std::ldexp(x.high, 64), low = std::ldexp(x.low, 64);
  const double whole_high = std::floor(high), whole_low = std::floor(low);
  const double rest = (high - whole_high) + (low - whole_low);
  return (whole_high < 0x1p64 ? static_cast<uint64_t>(whole_high) : 0) +
         static_cast<uint64_t>(static_cast<int64_t>(whole_low)) + (rest >= 1 ? 1 : 0);
}

}  // namespace sluice

#endif  // SLUICE_MODEL_TWO_H
