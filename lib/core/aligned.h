// SPDX-License-Identifier: Apache-2.0
// Zeroed, page-aligned memory straight from the kernel: pages that nobody touches cost nothing.
#ifndef SLUICE_CORE_ALIGNED_H
#define SLUICE_CORE_ALIGNED_H

#include <cstddef>
#include <utility>

#include <sluice/result.hpp>

namespace sluice {

class PageBuffer {
 public:
  PageBuffer() = default;
  // ENOMEM, naming the size.
  static Result<PageBuffer> allocate(size_t bytes);
  PageBuffer(PageBuffer&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  PageBuffer& operator=(PageBuffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~PageBuffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_CORE_ALIGNED_H
