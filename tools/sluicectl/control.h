// SPDX-License-Identifier: Apache-2.0
// Commands that change a board as a whole: reset, clocks, timers.
#ifndef SLUICECTL_CONTROL_H
#define SLUICECTL_CONTROL_H

#include <sluice/result.hpp>
#include <string>

#include "board_io.h"

namespace sluicectl {

sluice::Result<std::string> reset_board(const Options& options, bool force);
sluice::Result<std::string> clock_show(const Options& options);
// `wanted` is a frequency, "default" (the rated one) or "boost" (the highest). Above the rated one
// the user is asked on a terminal, unless `yes`; without a terminal `yes` is needed.
sluice::Result<std::string> clock_set(const Options& options, const std::string& wanted, bool yes);
sluice::Result<std::string> timer_set(const Options& options, uint32_t timer,
                                      const std::string& frequency);

}  // namespace sluicectl

#endif  // SLUICECTL_CONTROL_H
