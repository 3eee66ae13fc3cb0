// SPDX-License-Identifier: Apache-2.0
// Anonymous mappings; huge pages are asked for, which streaming through large buffers likes.
#include "core/aligned.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>

namespace sluice {

Result<PageBuffer> PageBuffer::allocate(size_t bytes) {
  PageBuffer out;
  if (bytes == 0) return out;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return fail(ENOMEM, fmt::format("cannot allocate {} bytes", bytes));
  madvise(p, bytes, MADV_HUGEPAGE);
  out.data_ = static_cast<std::byte*>(p);
  out.size_ = bytes;
  return out;
}

PageBuffer::~PageBuffer() {
  if (data_) munmap(data_, size_);
}

}  // namespace sluice
