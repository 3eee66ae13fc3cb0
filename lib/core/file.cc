// SPDX-License-Identifier: Apache-2.0
// Files as Results: opening, mapping, writing, and replacing a file in one step.
#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace sluice {

tl::unexpected<Error> fail_errno(int code, std::string_view path, std::string_view what) {
  return fail(
      code, fmt::format("{}: could not {}: {}", path, what, std::generic_category().message(code)));
}

void Fd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

MemoryMap& MemoryMap::operator=(MemoryMap&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MemoryMap::reset() {
  if (data_) munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

Result<MemoryMap> MemoryMap::map(const Fd& fd, uint64_t offset, size_t length, int protection,
                                 int flags, std::string_view path) {
  void* data = mmap(nullptr, length, protection, flags, fd.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) {
    return fail_errno(errno, path, fmt::format("map {} bytes at offset {}", length, offset));
  }
  MemoryMap map;
  map.data_ = data;
  map.size_ = length;
  return map;
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno(errno, path, "open");
  return Fd(fd);
}

Result<Fd> open_regular(const std::string& path, uint64_t& ret_size) {
  // O_NONBLOCK: a FIFO with no writer would otherwise block for ever.
  SLUICE_TRY(Fd fd, open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return fail_errno(errno, path, "examine");
  if (S_ISDIR(info.st_mode)) return fail(EISDIR, path + ": is a folder, expected a file");
  if (!S_ISREG(info.st_mode)) return fail(EINVAL, path + ": is not a regular file");
  ret_size = static_cast<uint64_t>(info.st_size);
  return fd;
}

Result<MemoryMap> map_file(const std::string& path) {
  uint64_t size = 0;
  SLUICE_TRY(Fd fd, open_regular(path, size));
  if (size == 0) return MemoryMap();
  return MemoryMap::map(fd, 0, size, PROT_READ, MAP_PRIVATE, path);
}

Result<void> read_all(const Fd& fd, uint64_t offset, std::span<std::byte> bytes,
                      std::string_view path) {
  while (!bytes.empty()) {
    const size_t want = std::min<size_t>(bytes.size(), 0x40000000);
    const ssize_t n = ::pread(fd.get(), bytes.data(), want, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path, "read");
    if (n == 0) {
      return fail(EBADMSG, fmt::format("{}: {} bytes are missing at offset {}: the file was cut "
                                       "short",
                                       path, bytes.size(), offset));
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<size_t>(n);
  }
  return {};
}

Result<void> write_all(const Fd& fd, std::span<const std::byte> bytes, std::string_view path) {
  while (!bytes.empty()) {
    // Linux moves at most 0x7ffff000 bytes in one call.
    const size_t want = std::min<size_t>(bytes.size(), 0x40000000);
    const ssize_t n = ::write(fd.get(), bytes.data(), want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path, "write");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

AtomicFile::AtomicFile(std::string path, std::string temporary, Fd fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    discard();
    path_ = std::move(other.path_);
    temporary_ = std::exchange(other.temporary_, {});
    fd_ = std::move(other.fd_);
  }
  return *this;
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return fail(EINVAL, path + ": exists and is not a regular file");
  }
  for (int attempt = 0; attempt < 100; ++attempt) {
    // Mode 0666 and the umask decide, as for any file; mkstemp would make it private.
    std::string temporary = fmt::format("{}.{}-{}.tmp", path, getpid(), counter++);
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return AtomicFile(path, std::move(temporary), Fd(fd));
    if (errno != EEXIST && errno != EINTR) return fail_errno(errno, path, "create");
  }
  return fail_errno(EEXIST, path, "find a free temporary name for");
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  return write_all(fd_, bytes, path_);
}

Result<void> AtomicFile::commit() {
  if (fsync(fd_.get()) != 0) return fail_errno(errno, path_, "sync");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return fail_errno(errno, path_, "rename");
  temporary_.clear();
  fd_.reset();
  // The name is durable once its folder is; a file system without that leaves nothing to report.
  const Fd folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) fsync(folder.get());
  return {};
}

void AtomicFile::discard() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
  fd_.reset();
}

}  // namespace sluice
