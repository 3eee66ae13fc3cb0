// SPDX-License-Identifier: Apache-2.0
// Device: a board, whichever transport reaches it, and the search for boards in /dev.
#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sluice/device.hpp>

#include "device/transport.h"

namespace sluice {
namespace {

constexpr char kDevDir[] = "/dev";
constexpr char kPrefix[] = "sluice";

// The numbers N of all device files /dev/sluiceN, ascending.
std::vector<unsigned> device_numbers() {
  std::vector<unsigned> numbers;
  DIR* dir = ::opendir(kDevDir);
  if (dir == nullptr) return numbers;
  const size_t prefix = std::strlen(kPrefix);
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.size() <= prefix || name.size() > prefix + 9 ||
        name.compare(0, prefix, kPrefix) != 0) {
      continue;
    }
    if (name.find_first_not_of("0123456789", prefix) != std::string::npos) continue;
    numbers.push_back(static_cast<unsigned>(std::stoul(name.substr(prefix))));
  }
  ::closedir(dir);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace

Device make_device(std::shared_ptr<Transport> transport) { return Device(std::move(transport)); }

Device::Device(std::shared_ptr<Transport> transport) : transport_(std::move(transport)) {}
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

Result<Device> Device::open(const std::string& path, bool read_only) {
  SLUICE_TRY(auto transport, open_kernel_transport(path, read_only));
  return Device(std::move(transport));
}

Result<std::vector<BoardInfo>> Device::list(std::vector<Error>* skipped) {
  std::vector<BoardInfo> boards;
  for (const unsigned n : device_numbers()) {
    const std::string path = fmt::format("{}/{}{}", kDevDir, kPrefix, n);
    auto board = open(path, true).and_then([](const Device& device) { return device.info(); });
    if (board) {
      boards.push_back(std::move(*board));
    } else if (skipped != nullptr) {
      skipped->push_back(std::move(board).error());
    }
  }
  return boards;
}

Result<BoardInfo> Device::info() const { return transport_->info(); }

Result<WindowInfo> Device::window(uint32_t index) const { return transport_->window(index); }

Result<std::vector<WindowInfo>> Device::windows() const {
  SLUICE_TRY(const BoardInfo board, info());
  std::vector<WindowInfo> all;
  for (uint32_t i = 0; i < board.n_windows; i++) {
    SLUICE_TRY(WindowInfo one, window(i));
    all.push_back(one);
  }
  return all;
}

Result<uint64_t> Device::read_register(uint32_t window, uint64_t offset, unsigned width) const {
  return transport_->read_register(window, offset, width);
}

Result<void> Device::write_register(uint32_t window, uint64_t offset, uint64_t value,
                                    unsigned width) {
  return transport_->write_register(window, offset, value, width);
}

Result<Mapping> Device::map(uint32_t window, uint64_t offset, uint64_t length, MemoryType type,
                            bool read_only) const {
  SLUICE_TRY(const Transport::Range range,
             transport_->map(window, offset, length, type, read_only));
  return Mapping(range.data, range.size, !read_only, range.name);
}

Result<uint64_t> Device::update_register(uint32_t window, uint64_t offset, uint64_t mask,
                                         uint64_t value, unsigned width) {
  return transport_->update_register(window, offset, mask, value, width);
}

Result<uint64_t> Device::poll_register(uint32_t window, uint64_t offset, uint64_t mask,
                                       uint64_t value, std::chrono::nanoseconds timeout,
                                       unsigned width) const {
  return transport_->poll_register(window, offset, mask, value, timeout, width);
}

Result<Memory> Device::allocate(MemoryKind kind, uint64_t length) {
  SLUICE_TRY(const Transport::Object object, transport_->allocate(kind, length));
  return Memory(transport_, object.handle, object.size, object.address);
}

Result<Memory> Device::import_dmabuf(int fd) {
  SLUICE_TRY(const Transport::Object object, transport_->import_dmabuf(fd));
  return Memory(transport_, object.handle, object.size, object.address);
}

Result<void> Device::reset(bool force) { return transport_->reset(force); }
Result<ClockInfo> Device::clock() const { return transport_->clock(); }
Result<ClockInfo> Device::set_clock(uint32_t system_hz, bool boost) {
  return transport_->set_clock(system_hz, boost);
}
Result<uint32_t> Device::set_timer(uint32_t timer, uint32_t hz) {
  return transport_->set_timer(timer, hz);
}

Result<uint64_t> Device::arm_interrupt() { return transport_->arm_interrupt(); }

Result<std::optional<uint64_t>> Device::wait_interrupt(std::chrono::milliseconds timeout) {
  return transport_->wait_interrupt(timeout);
}

int Device::fd() const { return transport_->fd(); }

}  // namespace sluice
