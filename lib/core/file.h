// SPDX-License-Identifier: Apache-2.0
// Owners of file descriptors and of memory mappings, and the system calls around them as Results.
// Move-only; an error names the path and keeps the errno value as its code.
#ifndef SLUICE_CORE_FILE_H
#define SLUICE_CORE_FILE_H

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sluice/result.hpp>

namespace sluice {

// "PATH: could not DO: No such file or directory" with `code` as the errno value.
tl::unexpected<Error> fail_errno(int code, std::string_view path, std::string_view what);

// A file descriptor, closed when destroyed.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// A range of mapped memory, unmapped when destroyed.
class MemoryMap {
 public:
  MemoryMap() = default;
  MemoryMap(MemoryMap&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MemoryMap& operator=(MemoryMap&& other) noexcept;
  ~MemoryMap() { reset(); }

  // mmap(2) of `length` bytes (not 0) at `offset`; `path` is for the message.
  static Result<MemoryMap> map(const Fd& fd, uint64_t offset, size_t length, int protection,
                               int flags, std::string_view path);

  void* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  void reset();

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// open(2) with O_CLOEXEC, tried again on EINTR.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);
// Opens a regular file for reading and tells its size in bytes. EISDIR: a folder; EINVAL: anything
// else that is no regular file.
Result<Fd> open_regular(const std::string& path, uint64_t& ret_size);
// The whole of a regular file, read-only. A file of no bytes gives a map of size 0.
Result<MemoryMap> map_file(const std::string& path);
// Reads all of `bytes` from `offset` on. EBADMSG: the file ends before.
Result<void> read_all(const Fd& fd, uint64_t offset, std::span<std::byte> bytes,
                      std::string_view path);
// Writes all bytes, however many calls that takes.
Result<void> write_all(const Fd& fd, std::span<const std::byte> bytes, std::string_view path);

// A file that appears under its name whole or not at all: written under a temporary name in the
// same folder, then synced and renamed. One that was not committed leaves nothing behind.
class AtomicFile {
 public:
  // EINVAL: `path` exists and is no regular file.
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile() { discard(); }

  Result<void> write(std::span<const std::byte> bytes);
  // Syncs, renames and closes.
  Result<void> commit();
  const std::string& path() const { return path_; }

 private:
  AtomicFile(std::string path, std::string temporary, Fd fd);
  void discard();

  std::string path_;
  std::string temporary_;  // empty: committed or moved from
  Fd fd_;
};

}  // namespace sluice

#endif  // SLUICE_CORE_FILE_H
