// SPDX-License-Identifier: Apache-2.0
// The memory of a board within this process, on the board and in the host, in pieces ("objects").
// Host memory for O_DIRECT is scattered over the bus on purpose, as pages of a real machine are.
#ifndef SLUICE_LIB_EMU_HOST_MEMORY_H
#define SLUICE_LIB_EMU_HOST_MEMORY_H

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <sluice/device.hpp>

#include "emu/arena.h"
#include "emu/board_host.h"

namespace sluice::emu {

struct MemoryObject {
  MemoryKind kind = MemoryKind::kDevice;
  uint64_t size = 0;     // bytes, whole pages
  uint64_t address = 0;  // in device memory, or on the bus
  uint64_t chunk = 0;    // pieces of this size lie in reverse order on the bus; size: contiguous
  Fd file;

  bool scattered() const { return chunk != size; }
  // Where the byte at `offset` from `address` is in the file; pieces are their own images.
  uint64_t file_offset(uint64_t offset) const {
    return (size / chunk - 1 - offset / chunk) * chunk + offset % chunk;
  }
  // Bus addresses of the pages of a range of the file; whole pages.
  std::vector<uint64_t> pages(uint64_t offset, uint64_t length) const;
};

// May be used from several threads.
class HostMemory {
 public:
  static Result<std::unique_ptr<HostMemory>> create(uint64_t device_memory_size);

  // `size` in bytes is rounded up to whole pages. ENOMEM.
  Result<std::shared_ptr<MemoryObject>> allocate(MemoryKind kind, uint64_t size);
  // The board must not reach it any more; other mappings stay what they are.
  void free(const MemoryObject& object);
  // Takes an object's mappings away: a later touch is a SIGBUS. What was in host memory is still
  // there in new mappings, what was in device memory is not.
  Result<void> take_back(MemoryObject& object);

  std::byte* dma(uint64_t address, uint64_t length) const;
  std::byte* device_memory(uint64_t offset, uint64_t length) const;
  std::shared_ptr<PagedView> map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                       uint64_t length) const;
  // Where the board sees an object.
  std::byte* data(const MemoryObject& object) const {
    return arena(object.kind).at(object.address);
  }
  uint64_t device_bytes_free() const;

 private:
  HostMemory(uint64_t size, Arena device, uint64_t bus_size, Arena bus);
  const Arena& arena(MemoryKind kind) const { return kind == MemoryKind::kDevice ? device_ : bus_; }
  Result<void> plug(const MemoryObject& object);

  const uint64_t device_size_;
  Arena device_, bus_;
  mutable std::mutex mutex_;  // what follows
  RangeAllocator device_ranges_, bus_ranges_;
  std::map<uint64_t, std::shared_ptr<MemoryObject>> on_bus_;  // by address
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_HOST_MEMORY_H
