// SPDX-License-Identifier: Apache-2.0
// What the command-line programs share: exit statuses, messages, reading input, progress.
#ifndef SLUICE_TOOLS_COMMON_CLI_H
#define SLUICE_TOOLS_COMMON_CLI_H

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <sluice/result.hpp>

namespace sluice::cli {

enum ExitStatus { kOk = 0, kFailed = 1, kUsage = 2 };

// Prints "program: message" on standard error.
void complain(const char* program, std::string_view message);

// The whole of a file, or of standard input for "-".
Result<std::string> read_text(const std::string& path);

// Writes all of it to standard output and flushes; false when nobody reads any more.
bool write_out(std::string_view text);

// "1.23 GB", powers of 1000.
std::string human_bytes(uint64_t n);

// A line on standard error with a bar, rate and time left, redrawn at most ten times a second; only
// on a terminal, and only once the work has taken longer than a second.
class ProgressBar {
 public:
  // `unit`: "B" prints sizes, anything else plain numbers.
  ProgressBar(std::string label, std::string unit);
  ~ProgressBar();  // clears the line
  void update(uint64_t done, uint64_t total, std::string_view extra = {});

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_, unit_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_, last_;
};

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_COMMON_CLI_H
