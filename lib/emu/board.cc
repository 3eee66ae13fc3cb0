// SPDX-License-Identifier: Apache-2.0
// The board's life: power-up, the loop that looks for work, and its sleep.
#include "emu/board.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice::emu {
namespace {

// Looking longer than this pays only where a processor has nothing else to do.
constexpr std::chrono::nanoseconds kLongestSpin = std::chrono::microseconds(100);
constexpr std::chrono::nanoseconds kLongestSpinFewCpus = std::chrono::microseconds(60);
constexpr unsigned kFewCpus = 2;
// Between two looks of a board that nobody can ring.
constexpr std::chrono::nanoseconds kLook = std::chrono::milliseconds(1);
// The same while its line is up: until it is let go the driver is interrupted again and again.
constexpr std::chrono::nanoseconds kLookAtLine = std::chrono::microseconds(20);

std::chrono::nanoseconds default_spin() {
  const unsigned n = usable_cpus();
  if (n == 1) return std::chrono::nanoseconds(0);
  return n <= kFewCpus ? kLongestSpinFewCpus : kLongestSpin;
}

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

Result<void> check_options(const EmulatorOptions& o, const Surface& surface) {
  const auto bad = [](const char* what) {
    return fail(EINVAL, fmt::format("emulated board: expected {}", what));
  };
  if (o.n_queues < 1 || o.n_queues > SLUICE_SDI_MAX_QUEUES) return bad("1 to 64 queues");
  if (surface.memory_size < SLUICE_SDI_PAGE_SIZE ||
      surface.memory_size % SLUICE_SDI_PAGE_SIZE != 0) {
    return bad("device memory of whole pages, one at least");
  }
  if (o.macs_per_cycle == 0) return bad("at least one multiply-accumulate a cycle");
  if (o.memory_bandwidth == 0) return bad("a memory bandwidth above 0");
  if (o.rated_hz < 1'000'000 || o.rated_hz > ClockFigures{}.boost_hz) {
    return bad("a rated clock of 1 to 216 MHz");
  }
  if (o.hse_hz < 4'000'000 || o.hse_hz > 26'000'000) return bad("an oscillator of 4 to 26 MHz");
  return {};
}

ClockFigures clock_figures(const EmulatorOptions& options) {
  ClockFigures figures;
  figures.hse_hz = options.hse_hz;
  figures.rated_hz = options.rated_hz;
  return figures;
}

}  // namespace

Result<std::unique_ptr<Board>> Board::create(const EmulatorOptions& options, const Surface& surface,
                                             BoardHost& host) {
  SLUICE_CHECK(check_options(options, surface));
  SLUICE_TRY(const Kernels* kernels, choose_kernels(options.isa));
  Fd notify(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!notify) return fail_errno(errno, "emulated board", "make an eventfd");
  return std::unique_ptr<Board>(new Board(options, surface, host, *kernels, std::move(notify)));
}

Board::Board(const EmulatorOptions& options, const Surface& surface, BoardHost& host,
             const Kernels& kernels, Fd notify)
    : options_(options),
      surface_(surface),
      host_(host),
      registers_(surface.window),
      executor_(kernels, options.n_threads ? options.n_threads : usable_cpus()),
      timing_(registers_.counters(), options.macs_per_cycle, options.memory_bandwidth),
      injector_(options.faults, options.seed),
      clock_(registers_.clock(), clock_figures(options),
             [this] { return injector_.strike(FaultKind::kNoLock, n_entries_, true).has_value(); }),
      notify_(std::move(notify)),
      longest_spin_(default_spin().count()) {
  for (uint32_t q = 0; q < options.n_queues; ++q) queues_.emplace_back(q);
}

Board::~Board() {
  if (!thread_.joinable()) return;
  stop_ = true;
  notify();
  thread_.join();
}

void Board::start() {
  reset();
  thread_ = std::thread([this] { serve(); });
}

void Board::notify() {
  const uint64_t one = 1;
  // It cannot block, and a counter that is full wakes the board as well.
  [[maybe_unused]] const ssize_t n = ::write(notify_.get(), &one, sizeof(one));
}

void Board::power_cycle() {
  power_cycle_ = true;
  notify();
  while (power_cycle_) std::this_thread::sleep_for(std::chrono::microseconds(100));
}

void Board::set_notify_word(uint32_t word) {
  notify_word_ = word;
  store(registers_.control().notify, word);
}

void Board::serve() {
  Time last_work = std::chrono::steady_clock::now();
  spin_ = std::chrono::nanoseconds(longest_spin_.load());
  while (!stop_) {
    if (pass()) {
      last_work = std::chrono::steady_clock::now();
      continue;
    }
    if (std::chrono::steady_clock::now() - last_work < spin_) {
      pause_cpu();
      continue;
    }
    sleep();
    last_work = std::chrono::steady_clock::now();
  }
  if (line_) host_.set_line(false);
}

// One look at everything that may want something of the board. True if something did.
bool Board::pass() {
  bool did = false;
  if (power_cycle_) {
    std::memset(registers_.data(), 0, Registers::bytes(options_.n_queues));
    n_resets_ = 0;
    reset();
    timing_.power_on();
    power_cycle_ = false;
    did = true;
  }
  if (!injector_.spent()) strike_board(false);
  did |= serve_control(nullptr);
  hold_line();
  if (!works()) return did;
  const Time now = std::chrono::steady_clock::now();
  did |= clock_.serve(now);
  if (clock_.hung())
    store(registers_.control().status, SLUICE_SDI_STATUS_READY | SLUICE_SDI_STATUS_FATAL);
  for (BoardQueue& queue : queues_) {
    if (!queue.enabled || !works()) continue;
    if (!paused_) did |= serve_queue(queue);
    if (queue.n_unsignalled != 0) flush_interrupt(queue, now);
  }
  return did;
}

void Board::set_idle(bool idle) {
  if (!works() || surface_.silent) return;
  for (const BoardQueue& queue : queues_) {
    if (queue.enabled) store(registers_.doorbell(queue.index).idle, idle ? 1u : 0u);
  }
}

// When something is to be done though nobody asks: the nearest such time.
std::optional<Board::Time> Board::next_deadline() const {
  std::optional<Time> nearest;
  const auto consider = [&](std::optional<Time> t) {
    if (t && (!nearest || *t < *nearest)) nearest = t;
  };
  if (surface_.silent) {
    consider(std::chrono::steady_clock::now() + (line_ ? kLookAtLine : kLook));
  }
  if (!works()) return nearest;
  consider(clock_.next_event());
  for (const BoardQueue& queue : queues_) {
    if (!queue.enabled) continue;
    if (queue.held) consider(queue.held_until);
    if (queue.n_unsignalled != 0) {
      consider(queue.unsignalled_since + std::chrono::microseconds(queue.setup.coalesce_us));
    }
  }
  return nearest;
}

// How long to look for work the next time, now that looking was in vain and work came after a sleep
// of `slept`. Sooner than it was looked for: whoever makes the work was waiting for this processor.
// Soon: a longer look would have found it. Late: no look would have.
void Board::learn(std::chrono::nanoseconds slept) {
  const std::chrono::nanoseconds longest(longest_spin_.load());
  if (slept < spin_ || slept >= longest) {
    spin_ /= 2;
  } else {
    spin_ = std::min(longest, spin_ * 2 + std::chrono::nanoseconds(500));
  }
}

// Whoever stores a doorbell and then reads `idle` finds it set, or is found by the last look.
void Board::sleep() {
  set_idle(true);
  full_fence();
  if (!pass() && !stop_) {
    n_sleeps_.fetch_add(1, std::memory_order_relaxed);
    const Time start = std::chrono::steady_clock::now();
    const std::optional<Time> deadline = next_deadline();
    timespec left{};
    if (deadline && *deadline > start) {
      const int64_t ns =
          std::chrono::duration_cast<std::chrono::nanoseconds>(*deadline - start).count();
      left = {ns / 1'000'000'000, ns % 1'000'000'000};
    }
    pollfd poll_fd = {notify_.get(), POLLIN, 0};
    ::ppoll(&poll_fd, 1, deadline ? &left : nullptr, nullptr);
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(notify_.get(), &count, sizeof(count));
    learn(std::chrono::steady_clock::now() - start);
  }
  set_idle(false);
}

}  // namespace sluice::emu
