// SPDX-License-Identifier: Apache-2.0
// Files of a real filesystem (ext4 on a virtio disk) read straight into memory of the board: which
// kinds of it O_DIRECT and io_uring take.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "guest_dmabuf.h"
#include "guest_uring.h"

namespace {

using namespace guest;

constexpr uint64_t kBytes = 1 << 20;
constexpr uint8_t kSalt = 77;
constexpr long kExt4 = 0xef53;

// A file with the pattern, on the disk and no longer in the page cache.
class DiskFile {
 public:
  DiskFile() {
    ::mkdir("/disk", 0700);
    if (::mount("/dev/vda", "/disk", "ext4", 0, nullptr) != 0 && errno != EBUSY) {
      throw Failure(std::string("mount of /dev/vda: ") + std::strerror(errno));
    }
    struct statfs info = {};
    check(::statfs("/disk", &info) == 0 && info.f_type == kExt4, "/disk is no ext4");
    std::vector<uint8_t> bytes(kBytes);
    put_pattern(bytes.data(), kBytes, kSalt);
    const Fd out(::open(kPath, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    same(static_cast<uint64_t>(::write(out.get(), bytes.data(), kBytes)), kBytes, "write");
    check(::fsync(out.get()) == 0, "fsync");
    check(::posix_fadvise(out.get(), 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
  }
  ~DiskFile() {
    ::unlink(kPath);
    ::umount("/disk");
  }
  static Fd open(int flags) { return Fd(kPath, O_RDONLY | flags); }

 private:
  static constexpr char kPath[] = "/disk/bytes";
};

struct Kind {
  uint32_t kind;
  const char* name;
  int direct;  // what an O_DIRECT read into a mapping of it answers
  int fixed;   // what registering it as a fixed buffer answers
};

// Mappings of frames have no pages that could be taken hold of; those of pages do, but Linux 6.1
// registers anonymous memory, shmem and hugetlbfs alone.
constexpr Kind kKinds[] = {
    {SLUICE_ALLOC_PAGES, "pages", 0, EOPNOTSUPP},
    {SLUICE_ALLOC_COHERENT, "coherent", EFAULT, EFAULT},
    {SLUICE_ALLOC_UNCACHED, "uncached", EFAULT, EFAULT},
    {SLUICE_ALLOC_WRITE_COMBINED, "write-combined", EFAULT, EFAULT},
    {SLUICE_ALLOC_DEVICE, "device", EFAULT, EFAULT},
};

SDI_TEST(direct_reads_go_to_pages_alone) {
  const DiskFile disk;
  const Fd fd(node_of(kBoard), O_RDWR), direct = DiskFile::open(O_DIRECT),
                                        buffered = DiskFile::open(0);
  for (const Kind& kind : kKinds) {
    const uint32_t handle = allocate(fd.get(), kind.kind, kBytes);
    auto* at = const_cast<uint8_t*>(map_object(fd.get(), handle, kBytes));
    const ssize_t n = ::pread(direct.get(), at, kBytes, 0);
    error_is(n < 0 ? errno : 0, kind.direct, fmt::format("O_DIRECT read to {}", kind.name));
    if (kind.direct == 0) {
      same(static_cast<uint64_t>(n), kBytes, "bytes read");
      holds_pattern(at, kBytes, kSalt, kind.name);
    }
    std::memset(at, 0, kBytes);
    same(static_cast<uint64_t>(::pread(buffered.get(), at, kBytes, 0)), kBytes, kind.name);
    holds_pattern(at, kBytes, kSalt, kind.name);
  }
}

// Disk to board in one ring: the disk writes the buffer object by itself, the board copies it on.
SDI_TEST(a_disk_and_a_board_share_a_ring) {
  const DiskFile disk;
  const Fd fd(node_of(kBoard), O_RDWR), file = DiskFile::open(O_DIRECT);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const uint32_t staging = allocate(fd.get(), SLUICE_ALLOC_PAGES, kBytes);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kBytes);
  error_is(grant(fd.get(), queue.handle, 0, staging, 0, kBytes, SLUICE_GRANT_READ), 0, "GRANT");
  error_is(grant(fd.get(), queue.handle, 1, memory, 0, kBytes, SLUICE_GRANT_WRITE), 0, "GRANT");
  auto* at = const_cast<uint8_t*>(map_object(fd.get(), staging, kBytes));
  constexpr uint64_t kChunk = kBytes / 8;
  Uring ring;
  for (uint64_t i = 0; i < 8; i++) {
    io_uring_sqe* sqe = ring.next(i);
    ::io_uring_prep_read(sqe, file.get(), at + i * kChunk, kChunk, i * kChunk);
    sqe->user_data = i;
    sqe->flags = IOSQE_IO_LINK;
    ring.command(fd.get(), queue.handle,
                 copy(0, SLUICE_SDI_ADDR(0, i * kChunk), SLUICE_SDI_ADDR(1, i * kChunk), kChunk),
                 8 + i);
  }
  ring.submit(16);
  for (const auto& [user_data, done] : ring.wait(16)) {
    same(static_cast<uint64_t>(done.res), user_data < 8 ? kChunk : 0,
         fmt::format("res of {}", user_data));
  }
  holds_pattern(map_object(fd.get(), memory, kBytes), kBytes, kSalt, "device memory");
}

SDI_TEST(fixed_buffers_are_refused_by_the_kernel) {
  const Fd fd(node_of(kBoard), O_RDWR);
  for (const Kind& kind : kKinds) {
    Uring ring;
    const uint32_t handle = allocate(fd.get(), kind.kind, kPage);
    const iovec buffer = {const_cast<uint8_t*>(map_object(fd.get(), handle, kPage)), kPage};
    error_is(-::io_uring_register_buffers(ring.get(), &buffer, 1), kind.fixed,
             fmt::format("a fixed buffer in {} memory", kind.name));
  }
}

}  // namespace
