// SPDX-License-Identifier: Apache-2.0
// The /dev/sluiceN transport, what boards with the Device Interface have: memory, queues, resets,
// clocks.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "device/guard.h"
#include "device/kernel_transport.h"
#include "kernel/shared/clock.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;

constexpr const char* kKinds[] = {"device memory", "coherent host memory", "uncached host memory",
                                  "write-combined host memory", "host memory for file I/O"};

// A caller's time, counted down over signals; negative is for ever, as ~0 is for the driver.
class Deadline {
 public:
  explicit Deadline(nanoseconds timeout)
      : forever_(timeout.count() < 0), end_(Clock::now() + (forever_ ? nanoseconds(0) : timeout)) {}
  uint64_t left_ns() const {
    if (forever_) return ~uint64_t{0};
    const auto left = std::chrono::duration_cast<nanoseconds>(end_ - Clock::now()).count();
    return static_cast<uint64_t>(std::max<int64_t>(left, 0));
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool forever_;
  Clock::time_point end_;
};

uint64_t whole_pages(uint64_t length) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return (length + page - 1) / page * page;
}

}  // namespace

Result<Transport::Object> KernelTransport::allocate(MemoryKind kind, uint64_t length) {
  struct sluice_alloc arg = {};
  arg.kind = static_cast<uint32_t>(kind);
  arg.length = length;
  const int code = call(SLUICE_IOC_ALLOC, &arg);
  if (code == 0) return Object{arg.handle, whole_pages(length), arg.address};
  const char* what = arg.kind < std::size(kKinds) ? kKinds[arg.kind] : "memory of that kind";
  switch (code) {
    case EBADF:
      return fail(EACCES, fmt::format("{}: opened read-only, cannot allocate", path_));
    case EINVAL:
      return fail(code,
                  fmt::format("{}: {} bytes of {}: expected at least 1", path_, length, what));
    case ENOMEM:
      return fail(code,
                  fmt::format("{}: no {} bytes of {} are free in one piece", path_, length, what));
    case ENOSPC:
      return fail(code, fmt::format("{}: too many objects", path_));
    case EOPNOTSUPP:
      return fail(ENOTSUP, fmt::format("{}: no {} here", path_, what));
    case EPERM:
      return fail(
          code, fmt::format("{}: the board is no bus master: {} is of no use to it", path_, what));
    default:
      return failure(code, path_);
  }
}

Result<Transport::Range> KernelTransport::map_object(uint32_t handle, uint64_t offset,
                                                     uint64_t length, MemoryType type,
                                                     bool read_only) {
  struct sluice_map arg = {};
  arg.flags = SLUICE_MAP_OBJECT;
  arg.window = handle;
  arg.type = static_cast<uint32_t>(type);
  arg.offset = offset;
  arg.length = length;
  switch (const int code = call(SLUICE_IOC_MAP, &arg)) {
    case 0:
      return map_cookie(arg.cookie, length, read_only, object(handle));
    case EINVAL:
      return fail(code,
                  fmt::format("{}: {:#x} bytes from offset {:#x}: expected an offset of a page "
                              "and a length above 0",
                              object(handle), length, offset));
    case ERANGE:
      return fail(code, fmt::format("{}: {:#x} bytes from offset {:#x} on are past its end",
                                    object(handle), length, offset));
    case EOPNOTSUPP:
      return fail(code, fmt::format("{}: cannot be mapped with that memory type", object(handle)));
    case ENOENT:
      return fail(code, fmt::format("{}: no such object", object(handle)));
    default:
      return failure(code, object(handle));
  }
}

void KernelTransport::free(uint32_t handle) {
  std::shared_ptr<const Mapped> queue;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = mapped_.find(handle); found != mapped_.end()) {
      queue = std::move(found->second);
      mapped_.erase(found);
    }
  }
  if (queue) {
    for (const Range& range : queue->ranges) ::munmap(range.data, range.size);
  }
  struct sluice_free arg = {};
  arg.handle = handle;
  call(SLUICE_IOC_FREE, &arg);
}

Result<int> KernelTransport::export_dmabuf(uint32_t handle, bool writable) {
  struct sluice_export arg = {};
  arg.flags = O_CLOEXEC | (writable ? O_RDWR : O_RDONLY);
  arg.handle = handle;
  switch (const int code = call(SLUICE_IOC_EXPORT, &arg)) {
    case 0:
      return arg.fd;
    case EOPNOTSUPP:
    case ENOTTY:
      return fail(ENOTSUP, fmt::format("{}: cannot be exported: expected device memory or cached "
                                       "host memory of this board",
                                       object(handle)));
    case ENOENT:
      return fail(code, fmt::format("{}: no such object", object(handle)));
    default:
      return failure(code, object(handle));
  }
}

Result<Transport::Object> KernelTransport::import_dmabuf(int fd) {
  struct sluice_import arg = {};
  arg.fd = fd;
  switch (const int code = call(SLUICE_IOC_IMPORT, &arg)) {
    case 0:
      return Object{arg.handle, arg.length, ~uint64_t{0}};
    case EBADF:
      if (read_only_) return fail(EACCES, path_ + ": opened read-only, cannot import");
      return fail(code, fmt::format("{}: file descriptor {} is not open", path_, fd));
    case EINVAL:
      return fail(code, fmt::format("{}: file descriptor {} is no dma-buf that the board can reach",
                                    path_, fd));
    case EOPNOTSUPP:
    case ENOTTY:
      return fail(ENOTSUP, fmt::format("{}: the board cannot reach that dma-buf", path_));
    default:
      return failure(code, fmt::format("{}: dma-buf {}", path_, fd));
  }
}

tl::unexpected<Error> KernelTransport::explain_queue(int code, const QueueOptions& options) {
  if (code == EBADF) return fail(EACCES, path_ + ": opened read-only, cannot have a queue");
  if (code == EOPNOTSUPP) return fail(ENOTSUP, path_ + ": a plain board has no queues");
  if (code != EINVAL && code != EBUSY) return failure(code, path_);
  const Result<BoardInfo> board = info();
  if (!board) return tl::unexpected<Error>(board.error());
  if (code == EBUSY) {
    return fail(code, fmt::format("{}: all {} queues are taken", path_, board->n_queues));
  }
  if (options.n_segments < 1 || options.n_segments > board->n_segments) {
    return fail(code, fmt::format("{}: {} segments: expected 1 to {}", path_, options.n_segments,
                                  board->n_segments));
  }
  return fail(code, fmt::format("{}: {} entries: expected a power of two, 2 to {}", path_,
                                options.n_entries, board->max_entries));
}

Result<std::vector<Transport::Range>> KernelTransport::map_rings(const struct sluice_queue& made) {
  const struct {
    uint64_t cookie, length;
    bool read_only;
  } wanted[] = {{made.sq_cookie, made.n_entries * sizeof(sluice_sdi_entry), false},
                {made.cq_cookie, made.n_entries * sizeof(sluice_sdi_completion), true},
                {made.doorbell_cookie, SLUICE_SDI_PAGE_SIZE, false}};
  std::vector<Range> ranges;
  for (const auto& want : wanted) {
    auto range = map_cookie(want.cookie, want.length, want.read_only, queue(made.handle));
    if (!range) {
      for (const Range& one : ranges) ::munmap(one.data, one.size);
      return tl::unexpected<Error>(std::move(range).error());
    }
    ranges.push_back(*range);
  }
  return ranges;
}

Result<Transport::Rings> KernelTransport::create_queue(const QueueOptions& options) {
  SLUICE_TRY(const BoardInfo board, info());
  auto queue = std::make_shared<Mapped>();
  struct sluice_queue arg = {};
  arg.n_entries = options.n_entries;
  arg.n_segments = options.n_segments;
  arg.coalesce_count = options.coalesce_count;
  arg.coalesce_us = options.coalesce_us;
  if (board.has_irq) {
    queue->eventfd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    queue->interrupts = Fd(::epoll_create1(EPOLL_CLOEXEC));
    // Edge-triggered: each interrupt counts once, and nobody need take the count back.
    struct epoll_event event = {};
    event.events = EPOLLIN | EPOLLET;
    if (!queue->eventfd || !queue->interrupts ||
        ::epoll_ctl(queue->interrupts.get(), EPOLL_CTL_ADD, queue->eventfd.get(), &event) != 0) {
      return fail_errno(errno, path_, "get an event descriptor for a queue");
    }
    arg.flags = SLUICE_QUEUE_EVENTFD;
    arg.eventfd = queue->eventfd.get();
  }
  if (const int code = call(SLUICE_IOC_QUEUE, &arg)) return explain_queue(code, options);
  auto ranges = map_rings(arg);
  if (!ranges) {
    free(arg.handle);
    return tl::unexpected<Error>(std::move(ranges).error());
  }
  queue->ranges = std::move(*ranges);
  queue->n_entries = arg.n_entries;
  queue->rings.handle = arg.handle;
  queue->rings.index = arg.index;
  queue->rings.sq = static_cast<sluice_sdi_entry*>(queue->ranges[0].data);
  queue->rings.cq = static_cast<const sluice_sdi_completion*>(queue->ranges[1].data);
  queue->rings.doorbell = static_cast<sluice_sdi_doorbell*>(queue->ranges[2].data);
  const std::lock_guard lock(mutex_);
  mapped_[arg.handle] = queue;
  return queue->rings;
}

Result<void> KernelTransport::grant(uint32_t handle, uint32_t segment, uint32_t memory,
                                    uint64_t offset, uint64_t length, unsigned access) {
  struct sluice_grant arg = {};
  arg.flags = access;
  arg.queue = handle;
  arg.segment = segment;
  arg.handle = memory;
  arg.offset = offset;
  arg.length = length;
  const std::string what = fmt::format("{}: segment {}", queue(handle), segment);
  switch (const int code = call(SLUICE_IOC_GRANT, &arg)) {
    case 0:
      return {};
    case EINVAL:
      return fail(code,
                  fmt::format("{}: expected a segment of the queue, an offset of a page and a "
                              "length above 0, got offset {:#x}, length {:#x}",
                              what, offset, length));
    case ERANGE:
      return fail(
          code, fmt::format("{}: {:#x} bytes from offset {:#x} on are past the memory's end", what,
                            length, offset));
    case ENOENT:
      return fail(code, fmt::format("{}: no such queue or memory", what));
    case EOPNOTSUPP:
      return fail(ENOTSUP,
                  fmt::format("{}: the board cannot reach that kind of host memory", what));
    case ETIMEDOUT:
      return fail(code, fmt::format("{}: the board does not answer; it is being reset", what));
    default:
      return failure(code, what);
  }
}

Result<void> KernelTransport::notify(uint32_t handle) {
  struct sluice_notify arg = {};
  arg.queue = handle;
  if (const int code = call(SLUICE_IOC_NOTIFY, &arg)) return failure(code, queue(handle));
  return {};
}

// Has the driver look, or wait, for a completion.
Result<bool> KernelTransport::completed(uint32_t handle, uint64_t timeout_ns) {
  struct sluice_wait arg = {};
  arg.queue = handle;
  arg.timeout_ns = timeout_ns;
  const int code = call_once(SLUICE_IOC_WAIT, &arg);
  if (code == 0) return true;
  if (code == ETIMEDOUT || code == EINTR) return false;
  return failure(code, queue(handle));
}

namespace {

// Is there a completion at cq_head? Nothing if the rings were taken back: the driver knows why.
std::optional<bool> has_completion(const Transport::Rings& rings, uint32_t n_entries) {
  bool found = false;
  const bool mapped = guarded([&] {
    const uint32_t head = __atomic_load_n(&rings.doorbell->cq_head, __ATOMIC_RELAXED);
    const uint16_t phase = (head / n_entries & 1) == 0 ? 1 : 0;
    found = __atomic_load_n(&rings.cq[head & (n_entries - 1)].phase, __ATOMIC_ACQUIRE) == phase;
  });
  return mapped ? std::optional<bool>(found) : std::nullopt;
}

// Waits for an edge; false: the time is up, or a signal came.
bool wait_for_interrupt(int epoll, uint64_t timeout_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  struct timespec span = {};
  span.tv_sec = static_cast<time_t>(std::min<uint64_t>(timeout_ns / kSecond, 1u << 30));
  span.tv_nsec = static_cast<long>(timeout_ns % kSecond);
  struct epoll_event event;
  return ::epoll_pwait2(epoll, &event, 1, &span, nullptr) == 1;
}

}  // namespace

// The driver's watchdog signals the eventfd, too, should an interrupt be lost or the queue end. An
// edge without a completion is most often the interrupt of one that was collected by looking: the
// next edge is awaited before the driver is asked, but not for long.
Result<void> KernelTransport::wait(uint32_t handle, nanoseconds timeout) {
  std::shared_ptr<const Mapped> mapped;
  {
    const std::lock_guard lock(mutex_);
    const auto found = mapped_.find(handle);
    if (found == mapped_.end()) return failure(ENOENT, queue(handle));
    mapped = found->second;
  }
  constexpr uint64_t kAfterStale = 50'000'000;  // ns
  const Deadline deadline(timeout);
  bool stale = false;
  for (;;) {
    const uint64_t left = deadline.left_ns();
    if (mapped->interrupts) {
      const uint64_t span = stale ? std::min(left, kAfterStale) : left;
      const bool told = wait_for_interrupt(mapped->interrupts.get(), span);
      const std::optional<bool> found = has_completion(mapped->rings, mapped->n_entries);
      if (found && *found) return {};
      if (found && told && !stale) {
        stale = true;
        continue;
      }
      stale = false;
    }
    SLUICE_TRY(const bool there, completed(handle, mapped->interrupts ? 0 : left));
    if (there) return {};
    if (deadline.left_ns() == 0) {
      return fail(ETIMEDOUT, fmt::format("{}: no completion in time", queue(handle)));
    }
  }
}

Result<void> KernelTransport::reset(bool force) {
  struct sluice_reset arg = {};
  arg.flags = force ? SLUICE_RESET_FORCE : 0;
  const int code = call(SLUICE_IOC_RESET, &arg);
  if (code == 0) return {};
  if (code == EBADF) return fail(EACCES, path_ + ": opened read-only, cannot be reset");
  if (code == EOPNOTSUPP) return fail(ENOTSUP, path_ + ": the board knows no reset");
  if (code == EBUSY) return fail(code, path_ + ": device memory is exported, or it is being reset");
  if (code == ENODEV) return failure(code, path_);
  return fail(code, fmt::format("{}: the board does not come up after the reset ({})", path_,
                                errno_text(code)));
}

namespace {

ClockInfo clock_info(const struct sluice_clock& arg) {
  ClockInfo info;
  info.system_hz = arg.system_hz;
  info.source = arg.source;
  info.m = arg.m;
  info.n = arg.n;
  info.p = arg.p;
  info.q = arg.q;
  info.wait_states = arg.wait_states;
  info.pll48_hz = arg.pll48_hz;
  std::copy(std::begin(arg.bus_hz), std::end(arg.bus_hz), info.bus_hz);
  std::copy(std::begin(arg.timer_hz), std::end(arg.timer_hz), info.timer_hz);
  info.hsi_hz = arg.hsi_hz;
  info.hse_hz = arg.hse_hz;
  info.rated_hz = arg.rated_hz;
  info.boost_hz = arg.boost_hz;
  return info;
}

}  // namespace

tl::unexpected<Error> KernelTransport::explain_clock(int code, uint32_t system_hz, bool boost) {
  if (code == EOPNOTSUPP) return fail(ENOTSUP, path_ + ": this board has no clock block");
  if (code == EIO) {
    return fail(code, path_ +
                          ": the board did not follow: it runs from its internal oscillator "
                          "now, or needs a reset");
  }
  if (code == ETIMEDOUT) return fail(code, path_ + ": the board's queues did not drain");
  if (code != EDOM && code != ERANGE && code != EPERM) return failure(code, path_);
  SLUICE_TRY(const ClockInfo now, clock());
  if (code == EPERM && system_hz > now.rated_hz && !boost) {
    return fail(code, fmt::format("{}: {} Hz is above the rated {}, and boost was not asked for",
                                  path_, system_hz, now.rated_hz));
  }
  if (code == EPERM) return fail(code, path_ + ": only root may change clocks");
  if (code == ERANGE) {
    return fail(code, fmt::format("{}: {} Hz: expected 1000000 to {}, and timers that can keep "
                                  "their frequencies",
                                  path_, system_hz, now.boost_hz));
  }
  const struct sluice_clock_board board = {now.hsi_hz, now.hse_hz, now.rated_hz, now.boost_hz, 0};
  uint32_t below = 0, above = 0;
  sluice_clock_nearest(&board, system_hz, &below, &above);
  return fail(code, fmt::format("{}: no dividers give {} Hz; the nearest are {} and {}", path_,
                                system_hz, below, above));
}

Result<ClockInfo> KernelTransport::clock() {
  struct sluice_clock arg = {};
  if (const int code = call(SLUICE_IOC_CLOCK, &arg)) {
    if (code == EOPNOTSUPP) return fail(ENOTSUP, path_ + ": this board has no clock block");
    return failure(code, path_);
  }
  return clock_info(arg);
}

Result<ClockInfo> KernelTransport::set_clock(uint32_t system_hz, bool boost) {
  struct sluice_clock arg = {};
  arg.flags = SLUICE_CLOCK_SET | (boost ? SLUICE_CLOCK_BOOST : 0);
  arg.system_hz = system_hz;
  if (const int code = call(SLUICE_IOC_CLOCK, &arg)) return explain_clock(code, system_hz, boost);
  return clock_info(arg);
}

Result<uint32_t> KernelTransport::set_timer(uint32_t timer, uint32_t hz) {
  struct sluice_timer arg = {};
  arg.timer = timer;
  arg.hz = hz;
  switch (const int code = call(SLUICE_IOC_TIMER, &arg)) {
    case 0:
      return arg.hz;
    case EINVAL:
      return fail(code, fmt::format("{}: timer {} at {} Hz: expected timer 0 to {} and a frequency "
                                    "above 0",
                                    path_, timer, hz, SLUICE_SDI_N_TIMERS - 1));
    case ERANGE:
      return fail(code,
                  fmt::format("{}: timer {}: {} Hz cannot be made of its clock", path_, timer, hz));
    case EPERM:
      return fail(code, path_ + ": only root may change timers");
    default:
      return explain_clock(code, 0, false);
  }
}

}  // namespace sluice
