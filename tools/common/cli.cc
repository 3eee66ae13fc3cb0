// SPDX-License-Identifier: Apache-2.0
// Input, output and progress of the command-line programs.
#include "tools/common/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace sluice::cli {

void complain(const char* program, std::string_view message) {
  fmt::print(stderr, "{}: {}\n", program, message);
}

Result<std::string> read_text(const std::string& path) {
  const auto close = [](FILE* f) {
    if (f != stdin) std::fclose(f);
  };
  std::unique_ptr<FILE, decltype(close)> file(path == "-" ? stdin : std::fopen(path.c_str(), "rb"),
                                              close);
  if (!file) return fail(errno, fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text;
  std::array<char, 65536> buffer;
  size_t n = 0;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0) {
    text.append(buffer.data(), n);
  }
  if (std::ferror(file.get())) return fail(EIO, fmt::format("{}: cannot be read", path));
  return text;
}

bool write_out(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

std::string human_bytes(uint64_t n) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(n);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", n) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

ProgressBar::ProgressBar(std::string label, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void ProgressBar::update(uint64_t done, uint64_t total, std::string_view extra) {
  const auto now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  if (!terminal_ || elapsed < 1 || now - last_ < std::chrono::milliseconds(100) || done == 0)
    return;
  last_ = now;
  drawn_ = true;
  const double share =
      total ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  const double rate = static_cast<double>(done) / elapsed;
  const double left = static_cast<double>(total - std::min(done, total)) / rate;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(share * kWidth);
  const std::string speed = unit_ == "B" ? human_bytes(static_cast<uint64_t>(rate)) + "/s"
                                         : fmt::format("{:.1f} {}/s", rate, unit_);
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {:3.0f}%  {}  ETA {}:{:02} {}\x1b[K", label_, "",
             filled, "", kWidth - filled, share * 100, speed, static_cast<int>(left) / 60,
             static_cast<int>(left) % 60, extra);
  std::fflush(stderr);
}

}  // namespace sluice::cli
