// SPDX-License-Identifier: Apache-2.0
// The conformance checks, a table per part of the Device Interface. A check gets a rig of its own;
// the error it returns says what the board did instead of what docs/device-interface.md asks for.
#ifndef SLUICECTL_CONFORM_CHECKS_H
#define SLUICECTL_CONFORM_CHECKS_H

#include <span>

#include "tools/sluicectl/conform/rig.h"

namespace sluicectl::conform {

struct Check {
  const char* name;
  Result<void> (*run)(Rig& rig);
  uint64_t capability = 0;  // without it the check is left out
};

struct Part {
  const char* name;
  std::span<const Check> checks;
};

std::span<const Check> control_checks();  // sections 2, 7, 8, 12, 13
std::span<const Check> queue_checks();    // sections 4 and 6
std::span<const Check> list_checks();     // sections 9 and 10
std::span<const Check> op_checks();       // section 11

}  // namespace sluicectl::conform

#endif  // SLUICECTL_CONFORM_CHECKS_H
