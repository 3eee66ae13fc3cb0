// SPDX-License-Identifier: Apache-2.0
// Host memory that is uncached or write-combined is so in the kernel's own page tables, too, and is
// cached again there when it is freed, however that comes about: whoever gets the page next would
// be slow without knowing why. What the kernel's page tables hold is told by tests/vm/partner.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <optional>
#include <set>

#include "guest_sdi.h"
#include "partner/memtypes.h"

namespace {

using namespace guest;

// As many pages as lie under one large entry of the kernel's page tables, and a half more.
constexpr uint64_t kBytes = 3 << 20;

struct Kind {
  uint32_t kind, type;
};
constexpr Kind kKinds[] = {{SLUICE_ALLOC_UNCACHED, MEMTYPES_UNCACHED},
                           {SLUICE_ALLOC_WRITE_COMBINED, MEMTYPES_WRITE_COMBINED}};

using Frames = std::vector<uint64_t>;

class Kernel {
 public:
  Kernel() : fd_("/dev/sluice-memtypes", O_RDWR) {}

  // Errno values, 0 for success.
  int frame(const volatile void* at, uint64_t* ret_frame) const {
    memtypes_frame arg = {reinterpret_cast<uintptr_t>(at), 0};
    const int error = call(fd_.get(), MEMTYPES_IOC_FRAME, &arg);
    *ret_frame = arg.frame;
    return error;
  }
  int type(uint64_t frame, uint32_t* ret_type) const {
    memtypes_type arg = {frame, 0, 0};
    const int error = call(fd_.get(), MEMTYPES_IOC_TYPE, &arg);
    *ret_type = arg.type;
    return error;
  }

  // The frames of a mapping, each of them once.
  Frames frames(const volatile uint8_t* at, uint64_t length) const {
    Frames found;
    for (uint64_t i = 0; i < length; i += kPage) {
      uint64_t one = 0;
      error_is(frame(at + i, &one), 0, "FRAME");
      found.push_back(one);
    }
    same(std::set(found.begin(), found.end()).size(), length / kPage, "frames");
    return found;
  }

  void all_are(const Frames& frames, uint32_t wanted, const char* when) const {
    std::map<uint32_t, size_t> count;
    for (const uint64_t one : frames) {
      uint32_t got = 0;
      error_is(type(one, &got), 0, "TYPE");
      count[got]++;
    }
    check(!frames.empty(), "no frames");
    if (count[wanted] == frames.size()) return;
    throw Failure(
        fmt::format("{}: of {} frames {} are cached, {} write-combined, {} uncached, {} other; "
                    "expected type {}",
                    when, frames.size(), count[MEMTYPES_CACHED], count[MEMTYPES_WRITE_COMBINED],
                    count[MEMTYPES_UNCACHED], count[MEMTYPES_OTHER], wanted));
  }

 private:
  Fd fd_;
};

// An open file of the board with a piece of memory, mapped.
struct Piece {
  std::optional<Fd> fd;
  uint32_t handle;
  volatile uint8_t* at;
  Frames frames;

  Piece(const Kernel& kernel, const Kind& kind)
      : fd(Fd(node_of(kBoard), O_RDWR)),
        handle(allocate(fd->get(), kind.kind, kBytes)),
        at(map_object(fd->get(), handle, kBytes)),
        frames(kernel.frames(at, kBytes)) {
    kernel.all_are(frames, kind.type, "allocated");
  }
  void unmap() const { ::munmap(const_cast<uint8_t*>(at), kBytes); }
};

SDI_TEST(memory_is_cached_again_when_it_is_freed) {
  const Kernel kernel;
  for (const Kind& kind : kKinds) {
    const Piece mapped_longer(kernel, kind);
    free_object(mapped_longer.fd->get(), mapped_longer.handle);
    kernel.all_are(mapped_longer.frames, kind.type, "freed, and still mapped");
    mapped_longer.unmap();
    kernel.all_are(mapped_longer.frames, MEMTYPES_CACHED, "unmapped at last");

    const Piece kept_longer(kernel, kind);
    kept_longer.unmap();
    kernel.all_are(kept_longer.frames, kind.type, "unmapped, and not freed");
    error_is(reset(kept_longer.fd->get()), 0, "RESET");
    kernel.all_are(kept_longer.frames, kind.type, "after a reset");
    free_object(kept_longer.fd->get(), kept_longer.handle);
    kernel.all_are(kept_longer.frames, MEMTYPES_CACHED, "freed at last");
  }
}

SDI_TEST(memory_is_cached_again_when_its_file_is_closed) {
  const Kernel kernel;
  for (const Kind& kind : kKinds) {
    Piece piece(kernel, kind), mapped(kernel, kind);
    piece.unmap();
    piece.fd.reset();
    kernel.all_are(piece.frames, MEMTYPES_CACHED, "closed");
    // A mapping keeps the file.
    mapped.fd.reset();
    kernel.all_are(mapped.frames, kind.type, "closed, and still mapped");
    mapped.unmap();
    kernel.all_are(mapped.frames, MEMTYPES_CACHED, "unmapped at last");
  }
}

SDI_TEST(memory_is_cached_again_when_its_process_is_killed) {
  const Kernel kernel;
  for (const Kind& kind : kKinds) {
    int told[2];
    check(::pipe(told) == 0, "pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        const Piece piece(kernel, kind);
        [[maybe_unused]] const ssize_t n =
            ::write(told[1], piece.frames.data(), piece.frames.size() * sizeof(uint64_t));
        for (;;) ::pause();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "# in a child: %s\n", error.what());
      }
      ::_exit(1);
    }
    ::close(told[1]);
    Frames frames(kBytes / kPage);
    for (uint64_t& frame : frames) {
      check(::read(told[0], &frame, sizeof(frame)) == sizeof(frame), "the child said nothing");
    }
    kernel.all_are(frames, kind.type, "while it lives");
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it died of something else");
    kernel.all_are(frames, MEMTYPES_CACHED, "killed");
    ::close(told[0]);
  }
}

SDI_TEST(memory_is_cached_again_when_its_board_goes) {
  const Kernel kernel;
  const Piece uncached(kernel, kKinds[0]), combined(kernel, kKinds[1]);
  {
    const Unbound gone(kBoard);
    kernel.all_are(uncached.frames, MEMTYPES_CACHED, "the board is gone");
    kernel.all_are(combined.frames, MEMTYPES_CACHED, "the board is gone");
    same(static_cast<uint64_t>(signal_of_read(
             reinterpret_cast<volatile uint32_t*>(const_cast<uint8_t*>(uncached.at)))),
         SIGBUS, "signal of the mapping");
  }
  kernel.all_are(uncached.frames, MEMTYPES_CACHED, "it is back");
}

// What the tests above ask tells one type from another, and refuses what is no RAM.
SDI_TEST(the_kernel_tells_types_apart) {
  const Kernel kernel;
  const Fd fd(node_of(kBoard), O_RDWR);
  volatile uint8_t* coherent =
      map_object(fd.get(), allocate(fd.get(), SLUICE_ALLOC_COHERENT, kPage), kPage);
  kernel.all_are(kernel.frames(coherent, kPage), MEMTYPES_CACHED, "coherent memory");
  uint64_t frame = 0;
  uint32_t type = 0;
  volatile uint8_t* device =
      map_object(fd.get(), allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage), kPage);
  error_is(kernel.frame(device, &frame), 0, "FRAME of device memory");
  error_is(kernel.type(frame, &type), ENXIO, "TYPE of device memory");
  error_is(kernel.type(~uint64_t{0}, &type), ENXIO, "TYPE of no frame");
  error_is(kernel.type(uint64_t{1} << 40, &type), ENXIO, "TYPE of a frame far away");
  error_is(kernel.frame(&type, &frame), EINVAL, "FRAME of ordinary memory");
  error_is(kernel.frame(nullptr, &frame), EFAULT, "FRAME of nothing");
  same(in_child([] {
         check(::setuid(1000) == 0, "setuid");
         check(::open("/dev/sluice-memtypes", O_RDWR) < 0 && errno == EACCES, "a user may ask");
       }),
       0, "child");
}

// Nothing of all that was done before, programs killed amid an allocation among it, has left a page
// behind.
SDI_TEST(all_memory_is_cached_again) {
  const Kernel kernel;
  const uint64_t end = uint64_t{1} << (32 - 12);  // the guest has no memory above 4 GiB
  Frames ram, left;
  for (uint64_t frame = 0; frame < end; frame++) {
    uint32_t type = 0;
    const int error = kernel.type(frame, &type);
    if (error == 0) ram.push_back(frame);
    if (error == 0 && type != MEMTYPES_CACHED) left.push_back(frame);
  }
  check(ram.size() > (uint64_t{256} << 20) / kPage,
        fmt::format("{} frames of RAM only", ram.size()));
  check(left.empty(), fmt::format("{} of {} frames are not cached, {:#x} first", left.size(),
                                  ram.size(), left.empty() ? 0 : left[0]));
}

}  // namespace
