// SPDX-License-Identifier: Apache-2.0
// The memory of a QEMU guest, which is a file: a bus address is an offset in it, from a base on.
#ifndef SLUICE_LIB_EMU_GUEST_MEMORY_H
#define SLUICE_LIB_EMU_GUEST_MEMORY_H

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/file.h"
#include "emu/board_host.h"

namespace sluice::emu {

class GuestMemory {
 public:
  explicit GuestMemory(std::string path, uint64_t base = 0) : path_(std::move(path)), base_(base) {}

  // Until then the file is mapped as it was when it was first needed; a guest that starts anew may
  // have a new one.
  void close();

  // Null: outside the guest's memory, or it cannot be opened.
  std::byte* dma(uint64_t address, uint64_t length);
  std::shared_ptr<PagedView> map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                       uint64_t length);

 private:
  Result<void> open();
  const std::string path_;
  const uint64_t base_;
  std::mutex mutex_;  // what follows
  Fd file_;
  MemoryMap map_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_GUEST_MEMORY_H
