// SPDX-License-Identifier: Apache-2.0
// Reserved address ranges with files mapped over parts of them.
#include "emu/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::emu {
namespace {

constexpr char kWho[] = "emulated board";
constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

std::optional<uint64_t> RangeAllocator::take(uint64_t size, uint64_t alignment) {
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const uint64_t base = (it->first + alignment - 1) / alignment * alignment;
    const uint64_t skipped = base - it->first;
    if (skipped > it->second || size > it->second - skipped) continue;
    const uint64_t behind = it->second - skipped - size;
    if (skipped) {
      it->second = skipped;
    } else {
      free_.erase(it);
    }
    if (behind) free_[base + size] = behind;
    free_bytes_ -= size;
    return base;
  }
  return std::nullopt;
}

void RangeAllocator::give(uint64_t base, uint64_t size) {
  free_bytes_ += size;
  auto it = free_.emplace(base, size).first;
  if (const auto next = std::next(it); next != free_.end() && base + size == next->first) {
    it->second += next->second;
    free_.erase(next);
  }
  if (it == free_.begin()) return;
  const auto before = std::prev(it);
  if (before->first + before->second == base) {
    before->second += it->second;
    free_.erase(it);
  }
}

Result<Fd> make_memory_file(uint64_t size) {
  Fd file(::memfd_create("sluice-emu", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, kWho, "make a memory file");
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, kWho, "size a memory file");
  }
  return file;
}

Result<Arena> Arena::create(uint64_t base, uint64_t size, bool open) {
  const int protection = open ? PROT_READ | PROT_WRITE : PROT_NONE;
  SLUICE_TRY(MemoryMap map, MemoryMap::map(Fd(), 0, size, protection, kReserve, kWho));
  return Arena(std::move(map), base, protection);
}

Result<void> Arena::plug(uint64_t address, const Fd& file, uint64_t offset, uint64_t length) {
  if (::mmap(at(address), length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.get(),
             static_cast<off_t>(offset)) == MAP_FAILED) {
    return fail_errno(errno, kWho, "map memory");
  }
  return {};
}

void Arena::unplug(uint64_t address, uint64_t length) {
  // Cannot fail: it takes the place of a mapping that is there.
  static_cast<void>(::mmap(at(address), length, protection_, kReserve | MAP_FIXED, -1, 0));
}

}  // namespace sluice::emu
