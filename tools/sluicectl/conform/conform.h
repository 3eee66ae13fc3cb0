// SPDX-License-Identifier: Apache-2.0
// sluicectl conform: does a board do what docs/device-interface.md says?
#ifndef SLUICECTL_CONFORM_H
#define SLUICECTL_CONFORM_H

#include <sluice/device.hpp>
#include <sluice/result.hpp>
#include <string>

namespace sluicectl::conform {

struct Report {
  unsigned n_passed = 0, n_failed = 0, n_left_out = 0;
};

// Runs every check, prints a line for each as it ends, and a JSON object at the end instead if
// asked. The board is reset; nobody else should be using it. ENOTSUP: a plain board.
sluice::Result<Report> run_all(sluice::Device& device, bool json, std::string* ret_output);

}  // namespace sluicectl::conform

#endif  // SLUICECTL_CONFORM_H
