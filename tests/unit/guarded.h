// SPDX-License-Identifier: Apache-2.0
// Memory between unmapped pages: whatever reads or writes past its ends faults.
#ifndef SLUICE_TESTS_UNIT_GUARDED_H
#define SLUICE_TESTS_UNIT_GUARDED_H

#include <sys/mman.h>

#include <cstddef>

namespace sluice::test {

class Guarded {
 public:
  // At which of its ends the memory touches an unmapped page; the other is up to a page away.
  enum class Side { kBack, kFront };

  explicit Guarded(size_t bytes, Side side = Side::kBack) : bytes_(bytes) {
    const size_t pages = (bytes + kPage - 1) / kPage * kPage;
    mapped_ = pages + 2 * kPage;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + kPage, pages, PROT_READ | PROT_WRITE);
    data_ = base_ + kPage + (side == Side::kBack ? pages - bytes : 0);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }
  std::byte* bytes() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  size_t size() const { return bytes_; }

 private:
  static constexpr size_t kPage = 4096;
  size_t bytes_, mapped_;
  std::byte* base_;
  std::byte* data_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_GUARDED_H
