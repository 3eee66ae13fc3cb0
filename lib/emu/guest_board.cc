// SPDX-License-Identifier: Apache-2.0
// A board for a QEMU guest: registers and device memory in one file, which is the guest's BAR 2, or
// in a piece of the file that is the guest's memory.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "emu/arena.h"
#include "emu/board.h"
#include "emu/guest_inputs.h"
#include "emu/guest_memory.h"
#include "emu/ivshmem.h"
#include "emu/status.h"

namespace sluice {

using namespace emu;

namespace {

constexpr uint64_t kMemoryOffset = uint64_t{1} << 20;
constexpr uint64_t kLeastBar = 2 * kMemoryOffset;

Result<Fd> make_eventfd() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "emulated board", "make an eventfd");
  return fd;
}

}  // namespace

struct GuestBoard::Impl final : BoardHost {
  EmulatorOptions options;
  Fd bar_file;
  uint64_t bar_offset = 0;  // of the board in that file
  MemoryMap bar;
  GuestMemory guest_memory;
  std::vector<Fd> vectors;
  std::optional<GuestInputs> inputs;  // instead
  Fd stop;
  std::optional<IvshmemServer> server;
  mutable std::mutex mutex;  // what follows
  bool connected = false;
  EmulatorStatus last;           // of the guest that went
  std::unique_ptr<Board> board;  // goes first: its thread calls the rest

  Impl(const EmulatorOptions& o, const std::string& memory, uint64_t base = 0)
      : options(o), guest_memory(memory, base) {}

  Result<void> check_size() const;
  Result<void> set_up(const std::string& socket);
  Result<void> set_up_within(const std::string& memory, uint64_t offset,
                             const GuestInterrupts& interrupts);
  Result<void> start(uint32_t n_vectors, bool line);
  void guest_gone();

  std::byte* dma(uint64_t address, uint64_t length) override {
    return guest_memory.dma(address, length);
  }
  std::shared_ptr<PagedView> map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                       uint64_t length) override {
    return guest_memory.map_pages(std::move(pages), page_shift, length);
  }
  std::byte* device_memory(uint64_t offset, uint64_t length) override {
    const uint64_t size = bar.size() - kMemoryOffset;
    if (offset > size || length > size - offset) return nullptr;
    return static_cast<std::byte*>(bar.data()) + kMemoryOffset + offset;
  }
  void interrupt(uint32_t vector) override {
    if (inputs) inputs->pulse(vector);
    if (vectors.empty()) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(vectors[vector].get(), &one, sizeof(one));
  }
  void set_line(bool up) override { inputs->set_level(up); }
  void forget_memory() override {
    // Zeros for the next user, and the host has its pages back.
    ::fallocate(bar_file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(bar_offset + kMemoryOffset),
                static_cast<off_t>(bar.size() - kMemoryOffset));
  }
};

Result<void> GuestBoard::Impl::check_size() const {
  if (std::has_single_bit(options.memory_size) && options.memory_size >= kLeastBar) return {};
  return fail(EINVAL, fmt::format("memory of {} bytes: expected a power of two from {} on",
                                  options.memory_size, kLeastBar));
}

Result<void> GuestBoard::Impl::start(uint32_t n_vectors, bool line) {
  Surface surface;
  surface.window = static_cast<std::byte*>(bar.data());
  surface.memory_size = options.memory_size - kMemoryOffset;
  surface.memory_offset = kMemoryOffset;
  surface.n_vectors = n_vectors;
  surface.line = line;
  surface.silent = !server;
  SLUICE_TRY(board, Board::create(options, surface, *this));
  if (server) board->set_notify_word(IvshmemServer::doorbell_value());
  board->start();
  return {};
}

Result<void> GuestBoard::Impl::set_up(const std::string& socket) {
  SLUICE_CHECK(check_size());
  SLUICE_TRY(bar_file, make_memory_file(options.memory_size));
  SLUICE_TRY(bar, MemoryMap::map(bar_file, 0, options.memory_size, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, "device memory"));
  SLUICE_TRY(stop, make_eventfd());
  for (uint32_t i = 0; i < options.n_queues + 1; ++i) {
    SLUICE_TRY(Fd vector, make_eventfd());
    vectors.push_back(std::move(vector));
  }
  SLUICE_TRY(IvshmemServer listening, IvshmemServer::listen(socket));
  server = std::move(listening);
  return start(options.n_queues + 1, false);
}

Result<void> GuestBoard::Impl::set_up_within(const std::string& memory, uint64_t offset,
                                             const GuestInterrupts& interrupts) {
  SLUICE_CHECK(check_size());
  if (!interrupts.socket.empty()) {
    SLUICE_TRY(inputs, GuestInputs::create(interrupts, options.n_queues + 1));
  }
  SLUICE_TRY(bar_file, open_file(memory, O_RDWR));
  const off_t size = ::lseek(bar_file.get(), 0, SEEK_END);
  if (size < 0 || offset % kMemoryOffset != 0 || offset > static_cast<uint64_t>(size) ||
      options.memory_size > static_cast<uint64_t>(size) - offset) {
    return fail(EINVAL,
                fmt::format("{}: a board of {} bytes at {:#x}: expected it inside a file of "
                            "{} bytes, at a multiple of {:#x}",
                            memory, options.memory_size, offset, size, kMemoryOffset));
  }
  bar_offset = offset;
  SLUICE_TRY(bar, MemoryMap::map(bar_file, offset, options.memory_size, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, memory));
  // Registers of a board that was there before are not this one's.
  std::memset(bar.data(), 0, kMemoryOffset);
  SLUICE_TRY(stop, make_eventfd());
  connected = true;
  return start(inputs ? inputs->n_vectors() : 1, inputs && interrupts.level);
}

// The board's thread is done with the guest's memory when it has been off and on again.
void GuestBoard::Impl::guest_gone() {
  {
    const std::lock_guard lock(mutex);
    connected = false;
    last = read_status(Registers(static_cast<std::byte*>(bar.data())), board->total());
  }
  board->power_cycle();
  guest_memory.close();
}

GuestBoard::GuestBoard(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GuestBoard::GuestBoard(GuestBoard&&) noexcept = default;
GuestBoard& GuestBoard::operator=(GuestBoard&&) noexcept = default;
GuestBoard::~GuestBoard() = default;

Result<GuestBoard> GuestBoard::create(const EmulatorOptions& options, const std::string& socket,
                                      const std::string& guest_memory) {
  auto impl = std::make_unique<Impl>(options, guest_memory);
  SLUICE_CHECK(impl->set_up(socket));
  return GuestBoard(std::move(impl));
}

Result<GuestBoard> GuestBoard::create_within(const EmulatorOptions& options,
                                             const std::string& guest_memory, uint64_t base,
                                             uint64_t address, const GuestInterrupts& interrupts) {
  if (address < base) {
    return fail(EINVAL, fmt::format("a board at {:#x}: expected it above the memory's beginning at "
                                    "{:#x}",
                                    address, base));
  }
  auto impl = std::make_unique<Impl>(options, guest_memory, base);
  SLUICE_CHECK(impl->set_up_within(guest_memory, address - base, interrupts));
  return GuestBoard(std::move(impl));
}

Result<void> GuestBoard::serve() {
  Impl& s = *impl_;
  if (!s.server) {
    pollfd fd = {s.stop.get(), POLLIN, 0};
    while (::poll(&fd, 1, -1) < 0) {
      if (errno != EINTR) return fail_errno(errno, "emulated board", "wait");
    }
    return {};
  }
  for (;;) {
    pollfd fds[] = {{s.stop.get(), POLLIN, 0},
                    {s.server->listening(), POLLIN, 0},
                    {s.server->guest(), POLLIN, 0}};
    if (::poll(fds, std::size(fds), -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "emulated board", "wait");
    }
    if (fds[0].revents) return {};
    if (fds[2].revents && !s.server->guest_is_there()) s.guest_gone();
    if (!fds[1].revents) continue;
    // A second guest is turned away; that is no reason to end.
    if (s.server->accept(s.bar_file, s.board->notify_fd(), s.vectors)) {
      const std::lock_guard lock(s.mutex);
      s.connected = true;
    }
  }
}

void GuestBoard::stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(impl_->stop.get(), &one, sizeof(one));
}

EmulatorStatus GuestBoard::status() const {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->connected) return impl_->last;
  EmulatorStatus status =
      read_status(Registers(static_cast<std::byte*>(impl_->bar.data())), impl_->board->total());
  status.guest_connected = true;
  return status;
}

}  // namespace sluice
