// SPDX-License-Identifier: Apache-2.0
// What an emulated board is plugged into: the memory that it can reach as a bus master, and where
// its interrupts go.
#ifndef SLUICE_LIB_EMU_BOARD_HOST_H
#define SLUICE_LIB_EMU_BOARD_HOST_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/file.h"

namespace sluice::emu {

// Pages of host memory side by side; they are let go when it is destroyed.
class PagedView {
 public:
  PagedView(std::vector<uint64_t> pages, MemoryMap map)
      : pages_(std::move(pages)), map_(std::move(map)) {}

  const std::vector<uint64_t>& pages() const { return pages_; }  // their bus addresses
  std::byte* data() const { return static_cast<std::byte*>(map_.data()); }

 private:
  std::vector<uint64_t> pages_;
  MemoryMap map_;
};

// All calls come from the board's own thread.
class BoardHost {
 public:
  virtual ~BoardHost() = default;
  // `length` bytes at a bus address, null if the board cannot reach all of them. They stay where
  // they are until the driver has taken the segment or ring that lies there away.
  virtual std::byte* dma(uint64_t address, uint64_t length) = 0;
  // Pages of 1 << page_shift bytes of which `length` bytes are used, of the last perhaps a part;
  // null as dma().
  virtual std::shared_ptr<PagedView> map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                               uint64_t length) = 0;
  // Likewise `length` bytes of device memory.
  virtual std::byte* device_memory(uint64_t offset, uint64_t length) = 0;
  virtual void interrupt(uint32_t vector) = 0;
  // Of a board that has a line instead of vectors: where the line is now. Told again at times.
  virtual void set_line(bool up) { static_cast<void>(up); }
  // The board was reset: device memory holds nothing of worth any more.
  virtual void forget_memory() {}
  // The board has been pulled out.
  virtual void removed() {}
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_BOARD_HOST_H
