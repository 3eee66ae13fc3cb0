// SPDX-License-Identifier: Apache-2.0
// Commands that show what goes on: rates of the boards' counters, and who uses the boards.
#ifndef SLUICECTL_WATCH_H
#define SLUICECTL_WATCH_H

#include <chrono>
#include <optional>
#include <sluice/result.hpp>
#include <string>

#include "board_io.h"

namespace sluicectl {

// A table of rates, one row a board (-d: that one), every `interval`; for ever, or `n` times. JSON:
// a line each time. All but the last table are printed at once, the last is returned.
sluice::Result<std::string> top(const Options& options, std::optional<uint64_t> n,
                                std::chrono::milliseconds interval);

// Processes that have a board open, and how many queues and mappings they have. Needs root.
sluice::Result<std::string> who(const Options& options);

}  // namespace sluicectl

#endif  // SLUICECTL_WATCH_H
