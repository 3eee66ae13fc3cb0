// SPDX-License-Identifier: Apache-2.0
// Mapping: register accesses through a mapped window, each one load or store of its exact width.
#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <sluice/device.hpp>
#include <utility>

#include "device/access.h"
#include "device/guard.h"

namespace sluice {
namespace {

template <typename T>
volatile T* at(void* data, uint64_t offset) {
  return reinterpret_cast<volatile T*>(static_cast<char*>(data) + offset);
}

tl::unexpected<Error> taken_back(const std::string& name, uint64_t offset) {
  return fail(ECONNRESET,
              fmt::format("{}: offset {:#x}: it was taken back: the board was reset, or is gone",
                          name, offset));
}

tl::unexpected<Error> read_only(const std::string& name) {
  return fail(EACCES, name + ": it was made read-only");
}

// Are `size` bytes from `offset` inside `length`?
Result<void> check_range(const std::string& name, uint64_t length, uint64_t offset, uint64_t size) {
  if (offset <= length && size <= length - offset) return {};
  return fail(ERANGE, fmt::format("{}: {:#x} bytes from offset {:#x} are past the end at {:#x}",
                                  name, size, offset, length));
}

}  // namespace

Mapping::Mapping(void* data, size_t size, bool writable, const std::string& of)
    : data_(data), size_(size), writable_(writable), name_("mapping of " + of) {}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      writable_(std::exchange(other.writable_, false)),
      name_(std::move(other.name_)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(writable_, other.writable_);
  std::swap(name_, other.name_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<uint64_t> Mapping::read(uint64_t offset, unsigned width) const {
  SLUICE_CHECK(check_access(name_, size_, offset, width));
  uint64_t value = 0;
  if (!guarded([&value, width, offset, data = data_] {
        switch (width) {
          case 8:
            value = *at<uint8_t>(data, offset);
            break;
          case 16:
            value = *at<uint16_t>(data, offset);
            break;
          case 32:
            value = *at<uint32_t>(data, offset);
            break;
          default:
            value = *at<uint64_t>(data, offset);
            break;
        }
      })) {
    return taken_back(name_, offset);
  }
  return value;
}

Result<void> Mapping::write(uint64_t offset, uint64_t value, unsigned width) {
  SLUICE_CHECK(check_access(name_, size_, offset, width));
  SLUICE_CHECK(check_value(name_, offset, value, width));
  if (!writable_) return read_only(name_);
  if (!guarded([value, width, offset, data = data_] {
        switch (width) {
          case 8:
            *at<uint8_t>(data, offset) = static_cast<uint8_t>(value);
            break;
          case 16:
            *at<uint16_t>(data, offset) = static_cast<uint16_t>(value);
            break;
          case 32:
            *at<uint32_t>(data, offset) = static_cast<uint32_t>(value);
            break;
          default:
            *at<uint64_t>(data, offset) = value;
            break;
        }
      })) {
    return taken_back(name_, offset);
  }
  return {};
}

Result<void> Mapping::copy_in(uint64_t offset, std::span<const std::byte> bytes) const {
  SLUICE_CHECK(check_range(name_, size_, offset, bytes.size()));
  if (!writable_) return read_only(name_);
  if (!guarded(
          [&] { std::memcpy(static_cast<char*>(data_) + offset, bytes.data(), bytes.size()); })) {
    return taken_back(name_, offset);
  }
  return {};
}

Result<void> Mapping::copy_out(uint64_t offset, std::span<std::byte> bytes) const {
  SLUICE_CHECK(check_range(name_, size_, offset, bytes.size()));
  if (!guarded([&] {
        std::memcpy(bytes.data(), static_cast<const char*>(data_) + offset, bytes.size());
      })) {
    return taken_back(name_, offset);
  }
  return {};
}

}  // namespace sluice
