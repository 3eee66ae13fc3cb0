// SPDX-License-Identifier: Apache-2.0
// A board within this process: the transport is what the kernel's driver is to a real one. It hands
// out memory, queues and segments, and keeps the permissions that the driver keeps.
#include "emu/emulated_transport.h"

#include <fmt/format.h>
#include <poll.h>
#include <sluice.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "device/access.h"

namespace sluice::emu {
namespace {

constexpr uint64_t kPage = SLUICE_SDI_PAGE_SIZE;
constexpr uint32_t kRegisterWindow = 0, kMemoryWindow = 1, kNumWindows = 2;
// An interrupt that got lost holds nobody up for longer than this.
constexpr auto kLookAgain = std::chrono::milliseconds(50);

std::string where(uint32_t window) { return fmt::format("emulated board: window {}", window); }

uint64_t read_word(const std::byte* at, unsigned width) {
  switch (width) {
    case 8:
      return load(*reinterpret_cast<const uint8_t*>(at));
    case 16:
      return load(*reinterpret_cast<const uint16_t*>(at));
    case 32:
      return load(*reinterpret_cast<const uint32_t*>(at));
    default:
      return load(*reinterpret_cast<const uint64_t*>(at));
  }
}

// What objects of each kind can be mapped as, besides kNative.
bool can_map_as(MemoryKind kind, MemoryType type) {
  struct Row {
    MemoryKind kind;
    MemoryType type;
  };
  static constexpr Row kRows[] = {{MemoryKind::kDevice, MemoryType::kUncached},
                                  {MemoryKind::kDevice, MemoryType::kWriteCombined},
                                  {MemoryKind::kCoherent, MemoryType::kCached},
                                  {MemoryKind::kUncached, MemoryType::kUncached},
                                  {MemoryKind::kWriteCombined, MemoryType::kWriteCombined},
                                  {MemoryKind::kPages, MemoryType::kCached}};
  return type == MemoryType::kNative ||
         std::any_of(std::begin(kRows), std::end(kRows),
                     [&](auto& r) { return r.kind == kind && r.type == type; });
}

// A range of pages for mmap(); `length` is rounded up. EINVAL, ERANGE.
Result<uint64_t> check_range(const std::string& what, uint64_t size, uint64_t offset,
                             uint64_t length) {
  if (offset % kPage != 0) {
    return fail(EINVAL, fmt::format("{}: offset {:#x}: expected a multiple of the page size {}",
                                    what, offset, kPage));
  }
  const uint64_t left = offset < size ? size - offset : 0;
  if (length == 0 || length > left) {
    return fail(ERANGE,
                fmt::format("{}: {:#x} bytes from offset {:#x} on are past the end at {:#x}", what,
                            length, offset, size));
  }
  return (length + kPage - 1) / kPage * kPage;
}

Result<Transport::Range> map_file(const Fd& file, uint64_t offset, uint64_t length, bool read_only,
                                  const std::string& what) {
  void* data = ::mmap(nullptr, length, PROT_READ | (read_only ? 0 : PROT_WRITE), MAP_SHARED,
                      file.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) return fail_errno(errno, "emulated board", "map memory");
  return Transport::Range{data, length, what};
}

}  // namespace

// --- making one
// -----------------------------------------------------------------------------------

Result<std::shared_ptr<EmulatedTransport>> EmulatedTransport::create(
    const EmulatorOptions& options) {
  if (options.memory_size == 0 || options.memory_size % kPage != 0) {
    return fail(EINVAL, fmt::format("emulated board: {} bytes of device memory: expected whole "
                                    "pages, one at least",
                                    options.memory_size));
  }
  if (options.n_queues < 1 || options.n_queues > SLUICE_SDI_MAX_QUEUES) {
    return fail(EINVAL, fmt::format("emulated board: {} queues: expected 1 to {}", options.n_queues,
                                    SLUICE_SDI_MAX_QUEUES));
  }
  auto t = std::shared_ptr<EmulatedTransport>(new EmulatedTransport(options));
  SLUICE_CHECK(t->plug_in());
  return t;
}

EmulatedTransport::EmulatedTransport(const EmulatorOptions& options)
    : options_(options), queues_(options.n_queues), vectors_(options.n_queues + 1) {}

EmulatedTransport::~EmulatedTransport() { board_.reset(); }

Result<void> EmulatedTransport::plug_in() {
  const uint64_t window_bytes = Registers::bytes(options_.n_queues);
  SLUICE_TRY(window_file_, make_memory_file(window_bytes));
  SLUICE_TRY(window_, MemoryMap::map(window_file_, 0, window_bytes, PROT_READ | PROT_WRITE,
                                     MAP_SHARED, "emulated board"));
  SLUICE_TRY(memory_, HostMemory::create(options_.memory_size));
  event_fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_fd_) return fail_errno(errno, "emulated board", "make an eventfd");
  Surface surface;
  surface.window = static_cast<std::byte*>(window_.data());
  surface.memory_size = options_.memory_size;
  surface.n_vectors = options_.n_queues + 1;
  SLUICE_TRY(board_, Board::create(options_, surface, *this));
  driver_.emplace(surface.window, [board = board_.get()] { board->notify(); });
  board_->start();
  // As a driver that finds a board: it may be in any state.
  SLUICE_CHECK(driver_->reset());
  return bring_up();
}

// A board that runs from its internal oscillator for want of a lock is a slow one, but it works.
Result<void> EmulatedTransport::bring_up() {
  store(driver_->registers().control().irq_mask, 0u);
  const auto clock = driver_->set_clock(load(driver_->registers().clock().rated_hz), false);
  if (!clock && clock.error().code != EIO) return tl::unexpected<Error>(clock.error());
  return {};
}

Result<void> EmulatedTransport::check_alive() const {
  if (gone_) return fail(ENODEV, "emulated board: the board is gone");
  return {};
}

// --- BoardHost: what the board's own thread calls
// -------------------------------------------------

void EmulatedTransport::interrupt(uint32_t vector) {
  n_interrupts_.fetch_add(1, std::memory_order_relaxed);
  if (armed_.load(std::memory_order_relaxed) && armed_.exchange(false)) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(event_fd_.get(), &one, sizeof(one));
  }
  wake(vectors_[vector]);
}

void EmulatedTransport::wake(Vector& vector) {
  // Behind the full fence of whoever calls: the completion is seen before this is looked at.
  if (vector.n_waiting.load() == 0) return;
  { const std::lock_guard lock(vector.mutex); }
  vector.changed.notify_all();
}

void EmulatedTransport::removed() {
  gone_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_fd_.get(), &one, sizeof(one));
  for (Vector& vector : vectors_) wake(vector);
}

// --- windows and registers
// -------------------------------------------------------------------------

Result<BoardInfo> EmulatedTransport::info() {
  SLUICE_CHECK(check_alive());
  const sluice_sdi_control& c = driver_->registers().control();
  BoardInfo board;
  board.path = "emu";
  board.name = options_.name;
  board.abi_version = SLUICE_ABI_VERSION;
  board.kind = BoardKind::kSdi;
  board.bus = BusKind::kPlatform;
  board.bus_master = board.has_irq = true;
  board.irq_count = n_interrupts_;
  board.n_windows = kNumWindows;
  board.capabilities = load(c.capabilities);
  board.memory_size = options_.memory_size;
  board.memory_free = memory_->device_bytes_free();
  board.memory_window = kMemoryWindow;
  board.n_segments = load(c.n_segments);
  board.max_entries = load(c.max_entries);
  board.max_step_bytes = load(c.max_step_bytes);
  board.sdi_version = load(c.version);
  const std::lock_guard lock(mutex_);
  board.n_resets = n_resets_;
  board.n_queues = static_cast<uint32_t>(queues_.size());
  board.n_queues_free = static_cast<uint32_t>(
      std::count_if(queues_.begin(), queues_.end(), [](auto& q) { return q == nullptr; }));
  return board;
}

Result<WindowInfo> EmulatedTransport::window(uint32_t index) {
  SLUICE_CHECK(check_alive());
  if (index >= kNumWindows) {
    return fail(ENXIO,
                fmt::format("{}: no such window: the board has {}", where(index), kNumWindows));
  }
  const bool registers = index == kRegisterWindow;
  return WindowInfo{index,
                    registers ? WindowKind::kRegisters : WindowKind::kMemory,
                    registers,
                    false,
                    registers ? 0u : 2u,
                    registers ? window_.size() : options_.memory_size};
}

Result<uint64_t> EmulatedTransport::read_register(uint32_t index, uint64_t offset, unsigned width) {
  SLUICE_TRY(const WindowInfo info, window(index));
  SLUICE_CHECK(check_access(where(index), info.length, offset, width));
  if (index != kRegisterWindow) {
    return fail(EPERM, where(index) + ": device memory is reached through what is allocated of it");
  }
  return read_word(static_cast<const std::byte*>(window_.data()) + offset, width);
}

Result<void> EmulatedTransport::write_register(uint32_t index, uint64_t offset, uint64_t value,
                                               unsigned width) {
  SLUICE_TRY(const WindowInfo info, window(index));
  SLUICE_CHECK(check_access(where(index), info.length, offset, width));
  SLUICE_CHECK(check_value(where(index), offset, value, width));
  return fail(EPERM, where(index) + ": cannot be written");
}

Result<uint64_t> EmulatedTransport::update_register(uint32_t index, uint64_t offset, uint64_t mask,
                                                    uint64_t value, unsigned width) {
  if ((value & ~mask) != 0) {
    return fail(EINVAL, fmt::format("{}: offset {:#x}: value {:#x} has bits outside mask {:#x}",
                                    where(index), offset, value, mask));
  }
  SLUICE_CHECK(write_register(index, offset, value, width));
  return 0;
}

Result<uint64_t> EmulatedTransport::poll_register(uint32_t index, uint64_t offset, uint64_t mask,
                                                  uint64_t value, std::chrono::nanoseconds timeout,
                                                  unsigned width) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const bool late = std::chrono::steady_clock::now() >= deadline;
    SLUICE_TRY(const uint64_t seen, read_register(index, offset, width));
    if ((seen & mask) == value) return seen;
    if (late) {
      return fail(ETIMEDOUT, fmt::format("{}: offset {:#x} reads {:#x}, expected {:#x} in {:#x}",
                                         where(index), offset, seen, value, mask));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

// Identification and counters may be looked at; what grants or rings may not be touched.
Result<Transport::Range> EmulatedTransport::map(uint32_t index, uint64_t offset, uint64_t length,
                                                MemoryType type, bool read_only) {
  SLUICE_TRY(const WindowInfo info, window(index));
  if (!info.can_map) return fail(EOPNOTSUPP, where(index) + ": cannot be mapped");
  if (type != MemoryType::kUncached && type != MemoryType::kNative) {
    return fail(EOPNOTSUPP, where(index) + ": registers are mapped uncached");
  }
  if (length == 0 && offset < info.length) length = info.length - offset;
  SLUICE_TRY(const uint64_t bytes, check_range(where(index), info.length, offset, length));
  for (uint64_t page = offset / kPage; page < (offset + bytes) / kPage; ++page) {
    if (page != SLUICE_SDI_PAGE_CONTROL && page != SLUICE_SDI_PAGE_COUNTERS) {
      return fail(EPERM, fmt::format("{}: page {} cannot be mapped", where(index), page));
    }
  }
  if (!read_only) return fail(EPERM, where(index) + ": can be mapped read-only");
  return map_file(window_file_, offset, bytes, true, where(index));
}

Result<uint64_t> EmulatedTransport::arm_interrupt() {
  SLUICE_CHECK(check_alive());
  uint64_t drained;
  [[maybe_unused]] const ssize_t n = ::read(event_fd_.get(), &drained, sizeof(drained));
  armed_ = true;
  armed_at_ = n_interrupts_.load();
  return armed_at_.load();
}

Result<std::optional<uint64_t>> EmulatedTransport::wait_interrupt(
    std::chrono::milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    SLUICE_CHECK(check_alive());
    if (const uint64_t count = n_interrupts_; count != armed_at_) return count;
    const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - start);
    if (timeout.count() >= 0 && spent >= timeout) return std::nullopt;
    const int64_t left = timeout.count() < 0 ? -1 : (timeout - spent).count();
    pollfd poll_fd = {event_fd_.get(), POLLIN, 0};
    ::poll(&poll_fd, 1, static_cast<int>(std::min<int64_t>(left, INT_MAX)));
  }
}

// --- memory
// -----------------------------------------------------------------------------------------

Result<Transport::Object> EmulatedTransport::allocate(MemoryKind kind, uint64_t length) {
  SLUICE_CHECK(check_alive());
  SLUICE_TRY(auto object, memory_->allocate(kind, length));
  const std::lock_guard lock(mutex_);
  const uint32_t handle = next_handle_++;
  objects_.emplace(handle, object);
  return Object{handle, object->size, object->scattered() ? ~uint64_t{0} : object->address};
}

Result<std::shared_ptr<MemoryObject>> EmulatedTransport::find_object(uint32_t handle) const {
  const auto it = objects_.find(handle);
  if (it == objects_.end()) return fail(ENOENT, fmt::format("no memory has handle {}", handle));
  return it->second;
}

Result<Transport::Range> EmulatedTransport::map_object(uint32_t handle, uint64_t offset,
                                                       uint64_t length, MemoryType type,
                                                       bool read_only) {
  SLUICE_CHECK(check_alive());
  const std::lock_guard lock(mutex_);
  SLUICE_TRY(const auto object, find_object(handle));
  if (!can_map_as(object->kind, type)) {
    return fail(EOPNOTSUPP, fmt::format("memory {}: has no such memory type", handle));
  }
  const std::string what = fmt::format("memory {}", handle);
  SLUICE_TRY(const uint64_t bytes, check_range(what, object->size, offset, length));
  return map_file(object->file, offset, bytes, read_only, what);
}

void EmulatedTransport::free(uint32_t handle) {
  const std::lock_guard lock(mutex_);
  if (const auto it = objects_.find(handle); it != objects_.end()) {
    bool let_go = true;
    for (auto& queue : queues_) {
      if (queue && !queue->dead) let_go &= revoke_all(*queue, handle);
    }
    // A board that does not answer may still be at it: the memory waits for the next reset.
    if (let_go) {
      memory_->free(*it->second);
    } else {
      limbo_.push_back(it->second);
    }
    objects_.erase(it);
    return;
  }
  for (auto& queue : queues_) {
    if (!queue || queue->handle != handle) continue;
    const bool stopped =
        queue->dead || gone_ || driver_->request(SLUICE_SDI_ACTION_QUEUE_DISABLE, queue->index);
    discard(*queue, stopped);
    queue.reset();
    return;
  }
}

// --- queues
// -----------------------------------------------------------------------------------------

// Frees what a queue is made of, or keeps it until a reset if the board may still touch it.
void EmulatedTransport::discard(DriverQueue& queue, bool stopped) {
  for (const auto& object : {queue.rings, queue.table}) {
    if (stopped) {
      memory_->free(*object);
    } else {
      limbo_.push_back(object);
    }
  }
  for (auto& [segment, grant] : queue.grants) {
    if (!grant.page_list) continue;
    if (stopped) {
      memory_->free(*grant.page_list);
    } else {
      limbo_.push_back(grant.page_list);
    }
  }
}

Result<Transport::Rings> EmulatedTransport::create_queue(const QueueOptions& options) {
  SLUICE_CHECK(check_alive());
  const std::lock_guard lock(mutex_);
  const Registers& r = driver_->registers();
  const uint32_t max_entries = load(r.control().max_entries);
  const uint32_t n_segments = load(r.control().n_segments);
  if (options.n_entries < 2 || options.n_entries > max_entries ||
      (options.n_entries & (options.n_entries - 1)) != 0) {
    return fail(EINVAL, fmt::format("queue: {} entries: expected a power of two up to {}",
                                    options.n_entries, max_entries));
  }
  if (options.n_segments < 1 || options.n_segments > n_segments) {
    return fail(EINVAL, fmt::format("queue: {} segments: expected 1 to {}", options.n_segments,
                                    n_segments));
  }
  const auto free_slot = std::find(queues_.begin(), queues_.end(), nullptr);
  if (free_slot == queues_.end()) {
    return fail(EBUSY, fmt::format("all {} queues are taken", queues_.size()));
  }
  auto queue = std::make_unique<DriverQueue>();
  queue->index = static_cast<uint32_t>(free_slot - queues_.begin());
  queue->n_entries = options.n_entries;
  queue->n_segments = options.n_segments;
  const uint64_t sq_bytes = uint64_t{options.n_entries} * sizeof(sluice_sdi_entry);
  const uint64_t cq_bytes = uint64_t{options.n_entries} * sizeof(sluice_sdi_completion);
  SLUICE_TRY(queue->rings, memory_->allocate(MemoryKind::kCoherent, sq_bytes + cq_bytes));
  // A file of its own: what is mapped with the rings must not be the table.
  auto table = memory_->allocate(MemoryKind::kCoherent,
                                 uint64_t{options.n_segments} * sizeof(sluice_sdi_segment));
  if (!table) {
    memory_->free(*queue->rings);
    return tl::unexpected<Error>(std::move(table).error());
  }
  queue->table = std::move(*table);

  sluice_sdi_queue& setup = r.queue(queue->index);
  setup = sluice_sdi_queue{};
  setup.sq_base = queue->rings->address;
  setup.cq_base = queue->rings->address + sq_bytes;
  setup.segments = queue->table->address;
  setup.n_segments = options.n_segments;
  setup.n_entries = options.n_entries;
  setup.vector = queue->index + 1;
  setup.coalesce_count = options.coalesce_count;
  setup.coalesce_us = options.coalesce_us;
  sluice_sdi_doorbell& doorbell = r.doorbell(queue->index);
  store(doorbell.sq_tail, 0u);
  store(doorbell.cq_head, 0u);
  if (auto enabled = driver_->request(SLUICE_SDI_ACTION_QUEUE_ENABLE, queue->index); !enabled) {
    discard(*queue, enabled.error().code != ETIMEDOUT);
    return tl::unexpected<Error>(std::move(enabled).error());
  }
  queue->handle = next_handle_++;
  std::byte* data = memory_->data(*queue->rings);
  const Rings rings = {queue->handle, queue->index, reinterpret_cast<sluice_sdi_entry*>(data),
                       reinterpret_cast<const sluice_sdi_completion*>(data + sq_bytes), &doorbell};
  queue->cq = rings.cq;
  *free_slot = std::move(queue);
  return rings;
}

Result<EmulatedTransport::DriverQueue*> EmulatedTransport::find_queue(uint32_t handle) const {
  SLUICE_CHECK(check_alive());
  for (const auto& queue : queues_) {
    if (!queue || queue->handle != handle) continue;
    if (queue->dead) {
      return fail(ECONNRESET, fmt::format("queue {}: the board was reset", queue->index));
    }
    return queue.get();
  }
  return fail(ENOENT, fmt::format("no queue has handle {}", handle));
}

// Puts an entry into a queue's table and has the board read it.
Result<void> EmulatedTransport::set_segment(DriverQueue& queue, uint32_t segment,
                                            const sluice_sdi_segment& entry) {
  auto* table = reinterpret_cast<sluice_sdi_segment*>(memory_->data(*queue.table));
  const sluice_sdi_segment before = table[segment];
  table[segment] = entry;
  auto done = driver_->request(SLUICE_SDI_ACTION_SEGMENTS, queue.index);
  if (!done) table[segment] = before;
  return done;
}

// Takes a segment back; false if the board did not say that it has let go.
bool EmulatedTransport::revoke_segment(DriverQueue& queue, uint32_t segment) {
  const auto it = queue.grants.find(segment);
  if (it == queue.grants.end()) return true;
  if (!set_segment(queue, segment, {})) return false;
  if (it->second.page_list) memory_->free(*it->second.page_list);
  queue.grants.erase(it);
  return true;
}

bool EmulatedTransport::revoke_all(DriverQueue& queue, uint32_t handle) {
  std::vector<uint32_t> segments;
  for (const auto& [segment, grant] : queue.grants) {
    if (grant.handle == handle) segments.push_back(segment);
  }
  return std::all_of(segments.begin(), segments.end(),
                     [&](uint32_t s) { return revoke_segment(queue, s); });
}

Result<void> EmulatedTransport::grant(uint32_t handle, uint32_t segment, uint32_t memory,
                                      uint64_t offset, uint64_t length, unsigned access) {
  const std::lock_guard lock(mutex_);
  SLUICE_TRY(DriverQueue* const queue, find_queue(handle));
  if (segment >= queue->n_segments) {
    return fail(EINVAL, fmt::format("segment {}: the queue has {}", segment, queue->n_segments));
  }
  if (access == 0) {
    if (revoke_segment(*queue, segment)) return {};
    return fail(ETIMEDOUT, fmt::format("segment {}: the board does not let go of it", segment));
  }
  if ((access & ~3u) != 0) return fail(EINVAL, fmt::format("segment {}: access", segment));
  SLUICE_TRY(const auto object, find_object(memory));
  if (offset > object->size || length == 0 || length > object->size - offset) {
    return fail(ERANGE, fmt::format("segment {}: {} bytes from offset {} of memory of {}", segment,
                                    length, offset, object->size));
  }
  Grant grant{memory, nullptr};
  sluice_sdi_segment entry{};
  entry.base = object->address + offset;
  entry.length = length;
  entry.flags = ((access & 1) ? SLUICE_SDI_SEGMENT_READ : 0) |
                ((access & 2) ? SLUICE_SDI_SEGMENT_WRITE : 0) |
                (object->kind == MemoryKind::kDevice ? 0 : SLUICE_SDI_SEGMENT_HOST);
  if (object->scattered()) {
    if (offset % kPage != 0) {
      return fail(EINVAL, fmt::format("segment {}: offset {}: expected whole pages of memory that "
                                      "is not contiguous",
                                      segment, offset));
    }
    const auto pages = object->pages(offset, (length + kPage - 1) / kPage * kPage);
    SLUICE_TRY(grant.page_list,
               memory_->allocate(MemoryKind::kCoherent, pages.size() * sizeof(uint64_t)));
    std::memcpy(memory_->data(*grant.page_list), pages.data(), pages.size() * sizeof(uint64_t));
    entry.base = grant.page_list->address;
    entry.flags |= SLUICE_SDI_SEGMENT_PAGED;
    entry.page_shift = 12;
  }
  if (auto done = set_segment(*queue, segment, entry); !done) {
    if (grant.page_list) memory_->free(*grant.page_list);
    return done;
  }
  // A grant that takes another's place leaves the other's page list behind.
  if (const auto old = queue->grants.find(segment);
      old != queue->grants.end() && old->second.page_list) {
    memory_->free(*old->second.page_list);
  }
  queue->grants.insert_or_assign(segment, std::move(grant));
  return {};
}

Result<void> EmulatedTransport::notify(uint32_t handle) {
  {
    const std::lock_guard lock(mutex_);
    SLUICE_CHECK(find_queue(handle));
  }
  board_->notify();
  return {};
}

Result<void> EmulatedTransport::wait(uint32_t handle, std::chrono::nanoseconds timeout) {
  std::shared_ptr<const std::atomic<bool>> dead;
  const sluice_sdi_completion* cq;
  uint32_t index, n_entries;
  {
    const std::lock_guard lock(mutex_);
    SLUICE_TRY(const DriverQueue* const queue, find_queue(handle));
    dead = queue->died;
    cq = queue->cq;
    index = queue->index;
    n_entries = queue->n_entries;
  }
  const auto start = std::chrono::steady_clock::now();
  Vector& vector = vectors_[index + 1];
  vector.n_waiting.fetch_add(1);
  Result<void> result;
  bool all_ones = false;
  std::unique_lock lock(vector.mutex);
  for (;;) {
    const uint32_t head = load(driver_->registers().doorbell(index).cq_head);
    const uint16_t phase = (head / n_entries & 1) == 0 ? 1 : 0;
    if (*dead) {
      result = fail(ECONNRESET, fmt::format("queue {}: the board was reset", index));
      break;
    }
    result = check_alive();
    if (result && driver_->all_ones()) {
      // The doorbell page as well: cq_head means nothing. A board that goes shows this before
      // anybody can say that it has gone.
      if (!std::exchange(all_ones, true)) {
        vector.changed.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      result = fail(EIO, "emulated board: its registers read all ones");
    }
    if (!result || load(cq[head & (n_entries - 1)].phase) == phase) break;
    const auto spent = std::chrono::steady_clock::now() - start;
    if (timeout.count() >= 0 && spent >= timeout) {
      result = fail(ETIMEDOUT, fmt::format("queue {}: no completion", index));
      break;
    }
    std::chrono::nanoseconds nap = kLookAgain;
    if (timeout.count() >= 0) nap = std::min<std::chrono::nanoseconds>(nap, timeout - spent);
    vector.changed.wait_for(lock, nap);
  }
  lock.unlock();
  vector.n_waiting.fetch_sub(1);
  return result;
}

// --- reset and clocks
// -------------------------------------------------------------------------------

Result<void> EmulatedTransport::reset(bool) {
  const std::lock_guard lock(mutex_);
  SLUICE_CHECK(check_alive());
  SLUICE_CHECK(driver_->reset());
  n_resets_++;
  for (auto& queue : queues_) {
    if (!queue || queue->dead) continue;
    queue->dead = true;
    *queue->died = true;
    wake(vectors_[queue->index + 1]);
  }
  for (const auto& object : limbo_) memory_->free(*object);
  limbo_.clear();
  for (auto& [handle, object] : objects_) SLUICE_CHECK(memory_->take_back(*object));
  return bring_up();
}

Result<ClockInfo> EmulatedTransport::clock() {
  SLUICE_CHECK(check_alive());
  return driver_->clock();
}

Result<ClockInfo> EmulatedTransport::set_clock(uint32_t system_hz, bool boost) {
  SLUICE_CHECK(check_alive());
  const std::lock_guard lock(mutex_);
  return driver_->set_clock(system_hz, boost);
}

Result<uint32_t> EmulatedTransport::set_timer(uint32_t timer, uint32_t hz) {
  SLUICE_CHECK(check_alive());
  const std::lock_guard lock(mutex_);
  return driver_->set_timer(timer, hz);
}

}  // namespace sluice::emu

namespace sluice {

Result<Device> Device::emulate(const EmulatorOptions& options) {
  SLUICE_TRY(auto transport, emu::EmulatedTransport::create(options));
  return Device(std::move(transport));
}

}  // namespace sluice
