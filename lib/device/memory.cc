// SPDX-License-Identifier: Apache-2.0
// Memory: a piece of device or host memory, owned.
#include <sluice/device.hpp>
#include <utility>

#include "device/transport.h"

namespace sluice {

Memory::Memory(std::shared_ptr<Transport> transport, uint32_t handle, uint64_t size,
               uint64_t address)
    : transport_(std::move(transport)), handle_(handle), size_(size), address_(address) {}

Memory::Memory(Memory&& other) noexcept
    : transport_(std::move(other.transport_)),
      handle_(std::exchange(other.handle_, 0)),
      size_(std::exchange(other.size_, 0)),
      address_(std::exchange(other.address_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(transport_, other.transport_);
  std::swap(handle_, other.handle_);
  std::swap(size_, other.size_);
  std::swap(address_, other.address_);
  return *this;
}

Memory::~Memory() {
  if (transport_) transport_->free(handle_);
}

Result<Mapping> Memory::map(uint64_t offset, uint64_t length, MemoryType type,
                            bool read_only) const {
  if (!transport_) return fail(EINVAL, "memory: none is allocated");
  if (length == 0 && offset < size_) length = size_ - offset;
  SLUICE_TRY(const Transport::Range range,
             transport_->map_object(handle_, offset, length, type, read_only));
  return Mapping(range.data, range.size, !read_only, range.name);
}

Result<int> Memory::export_dmabuf(bool writable) const {
  if (!transport_) return fail(EINVAL, "memory: none is allocated");
  return transport_->export_dmabuf(handle_, writable);
}

}  // namespace sluice
