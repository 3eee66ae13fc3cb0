// SPDX-License-Identifier: Apache-2.0
// Runs the unit tests of the kernels on the CPU that this is built for, without Criterion, and
// first says which instruction sets it can use: `isa NAME`.
#include <criterion/criterion.h>

#include "ops/kernels/kernels.h"

int main() {
  for (size_t i = 0; i < sluice::kNumIsas; ++i) {
    if (sluice::kIsas[i].usable()) std::printf("isa %s\n", sluice::kIsas[i].name);
  }
  bool good = true;
  for (const auto& test : criterion_stand_in::cases()) {
    criterion_stand_in::failed() = false;
    test.run();
    const bool failed = criterion_stand_in::failed();
    std::printf("%s %s\n", failed ? "not ok" : "ok", test.name);
    std::fflush(stdout);
    good = good && !failed;
  }
  return good && !criterion_stand_in::cases().empty() ? 0 : 1;
}
