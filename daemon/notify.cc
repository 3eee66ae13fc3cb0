// SPDX-License-Identifier: Apache-2.0
// sd_notify(3) and the watchdog's bookkeeping.
#include "notify.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstring>

namespace sluice::daemon {

void notify_manager(const std::string& lines) {
  if (const int status = sd_notify(0, lines.c_str()); status < 0) {
    spdlog::warn("cannot notify the service manager: {}", std::strerror(-status));
  }
}

std::chrono::microseconds watchdog_timeout() {
  uint64_t usec = 0;
  return std::chrono::microseconds(sd_watchdog_enabled(0, &usec) > 0 ? usec : 0);
}

// A third of the timeout leaves room for one late beat.
Watchdog::Watchdog(std::chrono::microseconds timeout, std::function<void()> ping)
    : period_(timeout / 3), ping_(ping ? std::move(ping) : [] { notify_manager("WATCHDOG=1"); }) {}

void Watchdog::beat(Part part) {
  if (!enabled()) return;
  seen_[part].store(true, std::memory_order_relaxed);
  using std::chrono::steady_clock;
  const auto now = steady_clock::now().time_since_epoch();
  auto due = next_ping_.load(std::memory_order_relaxed);
  if (now.count() < due) return;
  const auto all_seen = std::all_of(seen_.begin(), seen_.end(), [](const auto& seen) {
    return seen.load(std::memory_order_relaxed);
  });
  const auto next = now + std::chrono::duration_cast<steady_clock::duration>(period_ / 2);
  // Of two parts that come here at once, one pings.
  if (!all_seen || !next_ping_.compare_exchange_strong(due, next.count())) return;
  for (auto& seen : seen_) seen.store(false, std::memory_order_relaxed);
  ping_();
}

}  // namespace sluice::daemon
