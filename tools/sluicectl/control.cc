// SPDX-License-Identifier: Apache-2.0
// Reset, clocks and timers.
#include "control.h"

#include <fmt/format.h>
#include <sluice_sdi.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "number.h"
#include "print.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;

namespace {

// Asks for what may harm a board; no answer is a no.
Result<void> confirm(const std::string& question) {
  if (!::isatty(STDIN_FILENO) || !::isatty(STDERR_FILENO)) {
    return fail(kUsage, question + ": say --yes if that is meant");
  }
  fmt::print(stderr, "sluicectl: {}. Go on? [y/N] ", question);
  std::fflush(stderr);
  char answer[8] = {};
  if (std::fgets(answer, sizeof(answer), stdin) != nullptr &&
      (answer[0] == 'y' || answer[0] == 'Y')) {
    return {};
  }
  return fail(ECANCELED, "nothing was changed");
}

Result<uint32_t> wanted_hz(const std::string& wanted, const sluice::ClockInfo& now) {
  if (wanted == "default") return now.rated_hz;
  if (wanted == "boost") return now.boost_hz;
  return parse_frequency(wanted);
}

std::string shown(const Options& options, const sluice::ClockInfo& clock) {
  return options.json ? json_line(clock_json(clock)) : clock_text(clock);
}

}  // namespace

Result<std::string> reset_board(const Options& options, bool force) {
  SLUICE_TRY(Board board, Board::open(options, false));
  SLUICE_CHECK(board.device().reset(force));
  if (!options.json) return std::string();
  SLUICE_TRY(const auto info, board.device().info());
  return json_line({{"path", info.path}, {"resets", info.n_resets}});
}

Result<std::string> clock_show(const Options& options) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const auto clock, board.device().clock());
  return shown(options, clock);
}

Result<std::string> clock_set(const Options& options, const std::string& wanted, bool yes) {
  SLUICE_TRY(Board board, Board::open(options, false));
  SLUICE_TRY(const auto now, board.device().clock());
  SLUICE_TRY(const uint32_t hz, wanted_hz(wanted, now));
  const bool above = hz > now.rated_hz && hz <= now.boost_hz;
  if (above && !yes) {
    SLUICE_CHECK(confirm(fmt::format("{} is above the {} that the board is rated for",
                                     frequency_text(hz), frequency_text(now.rated_hz))));
  }
  SLUICE_TRY(const auto clock, board.device().set_clock(hz, above));
  return shown(options, clock);
}

Result<std::string> timer_set(const Options& options, uint32_t timer,
                              const std::string& frequency) {
  SLUICE_TRY(const uint32_t hz, parse_frequency(frequency));
  SLUICE_TRY(Board board, Board::open(options, false));
  SLUICE_TRY(const uint32_t got, board.device().set_timer(timer, hz));
  if (options.json) return json_line({{"timer", timer}, {"wanted_hz", hz}, {"hz", got}});
  return fmt::format("{}\n", frequency_text(got));
}

}  // namespace sluicectl
