// SPDX-License-Identifier: Apache-2.0
// Objects in the arenas of a board within this process.
#include "emu/host_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace sluice::emu {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kLargePage = uint64_t{2} << 20;
// Bus addresses are unlike offsets in device memory, so that neither passes for the other.
constexpr uint64_t kBusBase = uint64_t{1} << 40;
// Of address space, as much as this process may have of it.
constexpr uint64_t kMostBus = uint64_t{64} << 30, kLeastBus = uint64_t{1} << 30;
// Scattered memory: pieces at least this large, and at most this many.
constexpr uint64_t kLeastChunk = 65536;
constexpr uint64_t kMostChunks = 256;

uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

std::vector<uint64_t> MemoryObject::pages(uint64_t offset, uint64_t length) const {
  std::vector<uint64_t> out;
  out.reserve(length / kPage);
  // Reversing the pieces twice changes nothing: file_offset() is its own inverse.
  for (uint64_t at = offset; at < offset + length; at += kPage) {
    out.push_back(address + file_offset(at));
  }
  return out;
}

HostMemory::HostMemory(uint64_t size, Arena device, uint64_t bus_size, Arena bus)
    : device_size_(size),
      device_(std::move(device)),
      bus_(std::move(bus)),
      device_ranges_(0, size),
      bus_ranges_(kBusBase, bus_size) {}

Result<std::unique_ptr<HostMemory>> HostMemory::create(uint64_t device_memory_size) {
  SLUICE_TRY(Arena device, Arena::create(0, device_memory_size, true));
  uint64_t bus_size = kMostBus;
  auto bus = Arena::create(kBusBase, bus_size, false);
  for (; !bus && bus_size > kLeastBus; bus = Arena::create(kBusBase, bus_size, false)) {
    bus_size /= 2;
  }
  if (!bus) return tl::unexpected<Error>(std::move(bus).error());
  return std::unique_ptr<HostMemory>(
      new HostMemory(device_memory_size, std::move(device), bus_size, std::move(*bus)));
}

Result<void> HostMemory::plug(const MemoryObject& object) {
  Arena& arena = object.kind == MemoryKind::kDevice ? device_ : bus_;
  for (uint64_t at = 0; at < object.size; at += object.chunk) {
    SLUICE_CHECK(
        arena.plug(object.address + at, object.file, object.file_offset(at), object.chunk));
  }
  return {};
}

Result<std::shared_ptr<MemoryObject>> HostMemory::allocate(MemoryKind kind, uint64_t size) {
  if (size == 0) return fail(EINVAL, "memory: 0 bytes: expected at least one");
  if (size > std::max(device_size_, kMostBus)) {
    return fail(ENOMEM,
                fmt::format("{} bytes: neither device memory nor the bus has so many", size));
  }
  auto object = std::make_shared<MemoryObject>();
  object->kind = kind;
  object->size = object->chunk = round_up(size, kPage);
  if (kind == MemoryKind::kPages && object->size > kLeastChunk) {
    object->chunk = std::max(kLeastChunk, round_up(object->size / kMostChunks, kPage));
    object->size = round_up(object->size, object->chunk);
  }
  const bool on_board = kind == MemoryKind::kDevice;
  SLUICE_TRY(object->file, make_memory_file(object->size));
  const std::lock_guard lock(mutex_);
  RangeAllocator& ranges = on_board ? device_ranges_ : bus_ranges_;
  const auto address = ranges.take(object->size, object->size >= kLargePage ? kLargePage : kPage);
  if (!address) {
    return fail(ENOMEM, fmt::format("{} bytes of {} memory: {} are free, in pieces", object->size,
                                    on_board ? "device" : "host", ranges.free_bytes()));
  }
  object->address = *address;
  if (auto plugged = plug(*object); !plugged) {
    (on_board ? device_ : bus_).unplug(object->address, object->size);
    ranges.give(object->address, object->size);
    return tl::unexpected<Error>(std::move(plugged).error());
  }
  if (!on_board) on_bus_.emplace(object->address, object);
  return object;
}

void HostMemory::free(const MemoryObject& object) {
  const std::lock_guard lock(mutex_);
  const bool on_board = object.kind == MemoryKind::kDevice;
  (on_board ? device_ : bus_).unplug(object.address, object.size);
  (on_board ? device_ranges_ : bus_ranges_).give(object.address, object.size);
  if (!on_board) on_bus_.erase(object.address);
}

Result<void> HostMemory::take_back(MemoryObject& object) {
  SLUICE_TRY(Fd file, make_memory_file(object.size));
  if (object.kind != MemoryKind::kDevice) {
    SLUICE_TRY(const MemoryMap to,
               MemoryMap::map(file, 0, object.size, PROT_READ | PROT_WRITE, MAP_SHARED, "memory"));
    SLUICE_TRY(const MemoryMap from,
               MemoryMap::map(object.file, 0, object.size, PROT_READ, MAP_SHARED, "memory"));
    std::memcpy(to.data(), from.data(), object.size);
  }
  std::swap(object.file, file);
  const std::lock_guard lock(mutex_);
  SLUICE_CHECK(plug(object));
  if (::ftruncate(file.get(), 0) != 0) return fail_errno(errno, "memory", "be taken back");
  return {};
}

std::byte* HostMemory::dma(uint64_t address, uint64_t length) const {
  const std::lock_guard lock(mutex_);
  auto it = on_bus_.upper_bound(address);
  if (it == on_bus_.begin()) return nullptr;
  const MemoryObject& object = *(--it)->second;
  const uint64_t offset = address - object.address;
  if (offset > object.size || length > object.size - offset) return nullptr;
  return bus_.at(address);
}

std::byte* HostMemory::device_memory(uint64_t offset, uint64_t length) const {
  if (offset > device_size_ || length > device_size_ - offset) return nullptr;
  return device_.at(offset);
}

std::shared_ptr<PagedView> HostMemory::map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                                 uint64_t length) const {
  const uint64_t page = uint64_t{1} << page_shift;
  const uint64_t size = (length + kPage - 1) / kPage * kPage;
  if (size < length || pages.size() != size / page + (size % page != 0)) return nullptr;
  auto reserved = MemoryMap::map(Fd(), 0, size, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, "page list");
  if (!reserved) return nullptr;
  auto* base = static_cast<std::byte*>(reserved->data());
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < pages.size();) {
    auto it = on_bus_.upper_bound(pages[i]);
    const uint64_t left = size - i * page;  // of the last page perhaps a part
    if (it == on_bus_.begin() || pages[i] % std::min(page, std::bit_ceil(left)) != 0) {
      return nullptr;
    }
    const MemoryObject& object = *(--it)->second;
    const uint64_t offset = pages[i] - object.address;
    const uint64_t in_chunk = object.chunk - offset % object.chunk;
    if (offset >= object.size || in_chunk < std::min(page, left)) return nullptr;
    // As many pages in a row as the file has in a row.
    size_t n = 1;
    while (i + n < pages.size() && pages[i + n] == pages[i] + n * page &&
           (n + 1) * page <= in_chunk) {
      ++n;
    }
    if (::mmap(base + i * page, std::min(n * page, left), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED, object.file.get(),
               static_cast<off_t>(object.file_offset(offset))) == MAP_FAILED) {
      return nullptr;
    }
    i += n;
  }
  return std::make_shared<PagedView>(std::move(pages), std::move(*reserved));
}

uint64_t HostMemory::device_bytes_free() const {
  const std::lock_guard lock(mutex_);
  return device_ranges_.free_bytes();
}

}  // namespace sluice::emu
