// SPDX-License-Identifier: Apache-2.0
// Queue: the owner's half of the rings. The order of stores and looks is that of the Device
// Interface: entries, tail, full fence, `idle`; and a completion is read after its phase.
#include <sluice/queue.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "core/cpu.h"
#include "device/guard.h"
#include "device/transport.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

static_assert(sizeof(QueueEntry) == 64 && sizeof(Completion) == 16);

// Looking for longer than this is for machines whose processors have nothing better to do: where
// there are two, the board (or another program) may be waiting for the one that looks.
constexpr nanoseconds kLongestSpin = std::chrono::microseconds(100);
constexpr nanoseconds kLongestSpinFewCpus = std::chrono::microseconds(20);
constexpr unsigned kFewCpus = 2;
// Of so many waits, the first few look long enough for a board that has to wake up: where both
// sides sleep, each makes the other's work late, and neither would find out that it need not be.
constexpr uint32_t kRound = 64, kTries = 8;
constexpr nanoseconds kTrySpin = std::chrono::microseconds(60);
// Completions that take longer than this do so because there is work behind them.
constexpr nanoseconds kWork = std::chrono::microseconds(500);

nanoseconds longest_spin() {
  static const unsigned n = usable_cpus();
  if (n == 1) return nanoseconds(0);
  return n <= kFewCpus ? kLongestSpinFewCpus : kLongestSpin;
}

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// In the order of their numbers.
constexpr const char* kStatusNames[SLUICE_SDI_N_STATUS] = {
    "ok",
    "unknown opcode",
    "field out of range",
    "segment fault",
    "command list refused",
    "step buffer refused",
    "no such list",
    "limit of the board exceeded",
    "wrong data in device memory",
    "doorbell ahead of the ring",
    "aborted",
};

}  // namespace

const char* completion_status_name(uint32_t status) {
  return status < std::size(kStatusNames) ? kStatusNames[status] : "unknown status";
}

struct Queue::Impl {
  std::shared_ptr<Transport> transport;
  Transport::Rings rings;
  uint32_t n_entries = 0, n_segments = 0;
  uint32_t tail = 0, head = 0;          // submitted and collected, free-running
  Clock::time_point submitted_at;       // the last time
  nanoseconds expected{0};              // from a submission to its first completion, smoothed
  nanoseconds patience = kLongestSpin;  // for looking: less where it keeps the board from its work
  uint32_t n_waits = 0;

  ~Impl() {
    if (transport) transport->free(rings.handle);
  }

  // Completions that are there. ECONNRESET, ENODEV: the rings were taken back.
  Result<uint32_t> collect(std::span<Completion> completions);
  uint32_t collect_unguarded(std::span<Completion> completions);
  tl::unexpected<Error> taken_back() const;
  nanoseconds spin() const;
  void learn(nanoseconds took);
};

uint32_t Queue::Impl::collect_unguarded(std::span<Completion> completions) {
  uint32_t n = 0;
  while (n < completions.size() && head != tail) {
    const auto* words = reinterpret_cast<const uint64_t*>(&rings.cq[head & (n_entries - 1)]);
    uint64_t halves[2];
    halves[1] = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);
    halves[0] = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
    std::memcpy(&completions[n], halves, sizeof(halves));
    const uint16_t phase = (head / n_entries & 1) == 0 ? 1 : 0;
    if (completions[n].phase != phase) break;
    ++head;
    ++n;
  }
  if (n != 0) __atomic_store_n(&rings.doorbell->cq_head, head, __ATOMIC_RELEASE);
  return n;
}

Result<uint32_t> Queue::Impl::collect(std::span<Completion> completions) {
  uint32_t n = 0;
  if (!guarded([&] { n = collect_unguarded(completions); })) return taken_back();
  return n;
}

tl::unexpected<Error> Queue::Impl::taken_back() const {
  if (const auto info = transport->info(); !info && info.error().code == ENODEV) {
    return tl::unexpected<Error>(info.error());
  }
  return fail(ECONNRESET, fmt::format("queue {}: the board was reset", rings.index));
}

// How long to look before sleeping: somewhat longer than completions take, or not at all if they
// take longer than looking is worth.
nanoseconds Queue::Impl::spin() const {
  const nanoseconds longest = longest_spin();
  if (longest.count() != 0 && n_waits % kRound < kTries && expected < kWork) {
    return std::min(kTrySpin, patience);
  }
  if (expected > longest) return nanoseconds(0);
  return std::min({longest, patience, 2 * expected + nanoseconds(1000)});
}

void Queue::Impl::learn(nanoseconds took) { expected += (took - expected) / 4; }

Queue::Queue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Queue::Queue(Queue&&) noexcept = default;
Queue& Queue::operator=(Queue&&) noexcept = default;
Queue::~Queue() = default;

Result<Queue> Queue::create(const Device& device, const QueueOptions& options) {
  if (options.n_entries < 2 || !std::has_single_bit(options.n_entries)) {
    return fail(EINVAL, fmt::format("queue: {} entries: expected a power of two above 1",
                                    options.n_entries));
  }
  if (options.n_segments == 0) return fail(EINVAL, "queue: expected at least one segment");
  auto impl = std::make_unique<Impl>();
  SLUICE_TRY(impl->rings, device.transport_->create_queue(options));
  impl->transport = device.transport_;
  impl->n_entries = options.n_entries;
  impl->n_segments = options.n_segments;
  return Queue(std::move(impl));
}

uint32_t Queue::index() const { return impl_->rings.index; }
uint32_t Queue::n_entries() const { return impl_->n_entries; }
uint32_t Queue::n_segments() const { return impl_->n_segments; }
uint32_t Queue::n_in_flight() const { return impl_->tail - impl_->head; }

Result<void> Queue::grant(uint32_t segment, const Memory& memory, Access access, uint64_t offset,
                          uint64_t length) {
  if (memory.transport_ != impl_->transport) {
    return fail(EINVAL, fmt::format("segment {}: the memory is not this board's", segment));
  }
  if (offset > memory.size() || length > memory.size() - offset) {
    return fail(ERANGE, fmt::format("segment {}: {} bytes from offset {} of memory of {} bytes",
                                    segment, length, offset, memory.size()));
  }
  if (length == 0) length = memory.size() - offset;
  return impl_->transport->grant(impl_->rings.handle, segment, memory.handle(), offset, length,
                                 static_cast<unsigned>(access));
}

Result<void> Queue::revoke(uint32_t segment) {
  return impl_->transport->grant(impl_->rings.handle, segment, 0, 0, 0, 0);
}

Result<void> Queue::submit(std::span<const QueueEntry> entries) {
  Impl& q = *impl_;
  if (entries.size() > q.n_entries - n_in_flight()) {
    return fail(EAGAIN, fmt::format("queue {}: {} entries, there is room for {}", index(),
                                    entries.size(), q.n_entries - n_in_flight()));
  }
  if (entries.empty()) return {};
  q.submitted_at = Clock::now();
  bool idle = false;
  if (!guarded([&] {
        for (const QueueEntry& entry : entries) q.rings.sq[q.tail++ & (q.n_entries - 1)] = entry;
        __atomic_store_n(&q.rings.doorbell->sq_tail, q.tail, __ATOMIC_RELEASE);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        idle = __atomic_load_n(&q.rings.doorbell->idle, __ATOMIC_ACQUIRE) != 0;
      })) {
    return q.taken_back();
  }
  if (!idle) return {};
  return q.transport->notify(q.rings.handle);
}

Result<uint32_t> Queue::poll(std::span<Completion> completions) {
  return impl_->collect(completions);
}

Result<uint32_t> Queue::wait(std::span<Completion> completions, nanoseconds timeout) {
  Impl& q = *impl_;
  if (completions.empty() || n_in_flight() == 0) {
    return fail(EINVAL, fmt::format("queue {}: nothing to wait for", index()));
  }
  const Clock::time_point start = Clock::now();
  const nanoseconds spin = timeout.count() < 0 ? q.spin() : std::min(timeout, q.spin());
  SLUICE_TRY(uint32_t n, q.collect(completions));
  while (n == 0 && Clock::now() - start < spin) {
    for (int i = 0; i < 16 && n == 0; ++i) {
      pause_cpu();
      SLUICE_TRY(n, q.collect(completions));
    }
  }
  const Clock::time_point looked = Clock::now();
  const bool asleep = n == 0;
  while (n == 0) {
    nanoseconds left = timeout;
    if (timeout.count() >= 0) {
      left = std::max(nanoseconds(0), timeout - nanoseconds(Clock::now() - start));
    }
    const Result<void> waited = q.transport->wait(q.rings.handle, left);
    // What came before the board went is there all the same.
    const Result<uint32_t> collected = q.collect(completions);
    if (!waited && (!collected || *collected == 0)) return tl::unexpected<Error>(waited.error());
    SLUICE_TRY(n, collected);
    // A wait that saw what is not there: the board's registers may have read as anything.
    if (n == 0 && timeout.count() >= 0 && Clock::now() - start >= timeout) {
      return fail(ETIMEDOUT, fmt::format("queue {}: no completion", index()));
    }
  }
  q.n_waits++;
  // It came as soon as nobody looked: the board had been waiting for this processor.
  const bool in_the_way = asleep && spin.count() > 0 && Clock::now() - looked < spin;
  q.patience = in_the_way ? q.patience / 2 : std::min(kLongestSpin, q.patience * 2 + 100ns);
  q.learn(Clock::now() - q.submitted_at);
  return n;
}

Result<Completion> Queue::execute(const QueueEntry& entry, nanoseconds timeout) {
  if (n_in_flight() != 0) {
    return fail(EBUSY, fmt::format("queue {}: {} entries are in flight", index(), n_in_flight()));
  }
  SLUICE_CHECK(submit(std::span(&entry, 1)));
  Completion completion{};
  SLUICE_TRY(const uint32_t n, wait(std::span(&completion, 1), timeout));
  if (n != 1 || completion.status != SLUICE_SDI_OK) {
    return fail(EIO, fmt::format("queue {}: entry {} of opcode {}: {} (result {})", index(),
                                 entry.id, entry.opcode, completion_status_name(completion.status),
                                 completion.result));
  }
  return completion;
}

}  // namespace sluice
