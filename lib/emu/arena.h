// SPDX-License-Identifier: Apache-2.0
// The address spaces of a board within this process: device memory and the bus. Pieces of memory,
// each a file of its own, are plugged into them, so that a piece can be mapped elsewhere as well,
// swapped under the board, and taken back from those who have it mapped.
#ifndef SLUICE_LIB_EMU_ARENA_H
#define SLUICE_LIB_EMU_ARENA_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include <sluice/result.hpp>

#include "core/file.h"

namespace sluice::emu {

// Which parts of a range are free; first fit.
class RangeAllocator {
 public:
  RangeAllocator(uint64_t base, uint64_t size) : free_bytes_(size) { free_[base] = size; }
  std::optional<uint64_t> take(uint64_t size, uint64_t alignment);
  void give(uint64_t base, uint64_t size);
  uint64_t free_bytes() const { return free_bytes_; }

 private:
  std::map<uint64_t, uint64_t> free_;  // base -> size
  uint64_t free_bytes_;
};

// Memory that is a file: zeroed, and mapped by whoever holds the descriptor.
Result<Fd> make_memory_file(uint64_t size);

class Arena {
 public:
  // Addresses base .. base + size - 1, reserved but not usable (`open` false), or usable and
  // zeroed where nothing is plugged in.
  static Result<Arena> create(uint64_t base, uint64_t size, bool open);

  std::byte* at(uint64_t address) const {
    return static_cast<std::byte*>(map_.data()) + (address - base_);
  }
  // Puts `length` bytes of a file from `offset` at an address; whole pages.
  Result<void> plug(uint64_t address, const Fd& file, uint64_t offset, uint64_t length);
  void unplug(uint64_t address, uint64_t length);

 private:
  Arena(MemoryMap map, uint64_t base, int protection)
      : map_(std::move(map)), base_(base), protection_(protection) {}
  MemoryMap map_;
  uint64_t base_;
  int protection_;  // of what is not plugged
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_ARENA_H
