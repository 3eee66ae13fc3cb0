// SPDX-License-Identifier: Apache-2.0
// DMA into a guest: pages of its memory file, mapped again side by side where a list asks for it.
#include "emu/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace sluice::emu {
namespace {

constexpr uint64_t kMmapPage = 4096;

}  // namespace

// With mutex_ held. QEMU has made and sized the file before it connects anywhere.
Result<void> GuestMemory::open() {
  if (map_.data() != nullptr) return {};
  SLUICE_TRY(Fd file, open_file(path_, O_RDWR));
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size <= 0) return fail(EINVAL, path_ + ": expected a guest's memory, found an empty file");
  SLUICE_TRY(MemoryMap map, MemoryMap::map(file, 0, static_cast<size_t>(size),
                                           PROT_READ | PROT_WRITE, MAP_SHARED, path_));
  file_ = std::move(file);
  map_ = std::move(map);
  return {};
}

void GuestMemory::close() {
  const std::lock_guard lock(mutex_);
  map_.reset();
  file_.reset();
}

std::byte* GuestMemory::dma(uint64_t address, uint64_t length) {
  const std::lock_guard lock(mutex_);
  if (!open() || address < base_) return nullptr;
  address -= base_;
  if (address > map_.size() || length > map_.size() - address) return nullptr;
  return static_cast<std::byte*>(map_.data()) + address;
}

std::shared_ptr<PagedView> GuestMemory::map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                                  uint64_t length) {
  const uint64_t page = uint64_t{1} << page_shift;
  // Of the last page perhaps a part, which may lie at the end of the guest's memory.
  const uint64_t size = (length + kMmapPage - 1) / kMmapPage * kMmapPage;
  if (size < length || pages.size() != size / page + (size % page != 0)) return nullptr;
  auto reserved = MemoryMap::map(Fd(), 0, size, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, "page list");
  if (!reserved) return nullptr;
  auto* base = static_cast<std::byte*>(reserved->data());
  const std::lock_guard lock(mutex_);
  if (!open()) return nullptr;
  for (size_t i = 0; i < pages.size();) {
    size_t n = 1;
    while (i + n < pages.size() && pages[i + n] == pages[i] + n * page) ++n;
    const uint64_t bytes = std::min(n * page, size - i * page);
    if (pages[i] < base_) return nullptr;
    const uint64_t at = pages[i] - base_;
    if (pages[i] % std::min(page, std::bit_ceil(bytes)) != 0 || at > map_.size() ||
        bytes > map_.size() - at) {
      return nullptr;
    }
    if (::mmap(base + i * page, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_.get(),
               static_cast<off_t>(at)) == MAP_FAILED) {
      return nullptr;
    }
    i += n;
  }
  return std::make_shared<PagedView>(std::move(pages), std::move(*reserved));
}

}  // namespace sluice::emu
