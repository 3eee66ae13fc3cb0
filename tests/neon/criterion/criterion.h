// SPDX-License-Identifier: Apache-2.0
// As much of Criterion as the unit tests of the kernels use, for a machine that has none: tests
// register themselves, run in the order of their file, and print `ok NAME` or `not ok NAME`.
#ifndef SLUICE_TESTS_NEON_CRITERION_H
#define SLUICE_TESTS_NEON_CRITERION_H

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace criterion_stand_in {

struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline bool& failed() {
  static bool value = false;
  return value;
}
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

// Notes a failure and says where, and why if the test does.
template <typename... Args>
void fail(const char* file, int line, const char* condition, const char* format = "",
          Args... args) {
  failed() = true;
  std::printf("# %s:%d: %s: ", file, line, condition);
  if constexpr (sizeof...(Args) == 0) {
    std::fputs(format, stdout);
  } else {
    std::printf(format, args...);
  }
  std::puts("");
}

}  // namespace criterion_stand_in

#define TestSuite(...)
#define Test(suite, name, ...)                                                      \
  static void suite##_##name();                                                     \
  static const criterion_stand_in::Register suite##_##name##_case(#suite "/" #name, \
                                                                  suite##_##name);  \
  static void suite##_##name()
#define cr_expect(condition, ...) \
  ((condition)                    \
       ? void()                   \
       : criterion_stand_in::fail(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__))
#define cr_assert(condition, ...)                                                          \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      criterion_stand_in::fail(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
      return;                                                                              \
    }                                                                                      \
  } while (0)
#define cr_expect_lt(a, b, ...) cr_expect((a) < (b)__VA_OPT__(, ) __VA_ARGS__)
#define cr_log_error(...) criterion_stand_in::fail(__FILE__, __LINE__, "error", __VA_ARGS__)

#endif  // SLUICE_TESTS_NEON_CRITERION_H
