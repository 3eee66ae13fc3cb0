// SPDX-License-Identifier: Apache-2.0
// What the service manager is told: readiness, status, stopping, and the watchdog's signs of life.
// Without a service manager everything here does nothing.
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace sluice::daemon {

// Sends lines of sd_notify(3), such as "READY=1\nSTATUS=Serving". A failure is logged, no more: the
// daemon serves whether or not somebody listens.
void notify_manager(const std::string& lines);

// The time within which the service manager wants a sign of life; zero: it wants none.
std::chrono::microseconds watchdog_timeout();

// Pings the service manager while every part of the daemon moves. Each part calls beat() more often
// than period(); a ping goes out when all have done so since the last one, so a part that hangs
// ends the pings. Safe to use from several threads.
class Watchdog {
 public:
  enum Part : size_t { kEngine, kNetwork, kParts };

  // A zero timeout turns it off. `ping` stands for the notification in tests.
  explicit Watchdog(std::chrono::microseconds timeout, std::function<void()> ping = {});

  bool enabled() const { return period_.count() > 0; }
  std::chrono::microseconds period() const { return period_; }
  void beat(Part part);

 private:
  std::chrono::microseconds period_;
  std::function<void()> ping_;
  std::array<std::atomic<bool>, kParts> seen_{};
  std::atomic<std::chrono::steady_clock::rep> next_ping_{0};
};

}  // namespace sluice::daemon

#endif  // DAEMON_NOTIFY_H
