// SPDX-License-Identifier: Apache-2.0
// Mappings: cookies, what mmap() may and may not ask, memory type, and what processes do to them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <sstream>

#include "guest.h"

namespace {

using namespace guest;

constexpr uint64_t kWindow = 1 << 20;

struct Grant {
  Fd fd;
  uint64_t cookie;
};

// The edu board opened, with a cookie of `length` bytes from `offset`.
Grant grant(uint64_t offset, uint64_t length, int flags = O_RDWR) {
  Fd fd(node_of(kEdu), flags);
  auto arg = map_arg(0, offset, length);
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  return {std::move(fd), arg.cookie};
}

// mmap()'s errno, 0 if it worked (and is undone).
int try_mmap(int fd, uint64_t length, int prot, int flags, uint64_t offset) {
  void* at = ::mmap(nullptr, length, prot, flags, fd, static_cast<off_t>(offset));
  if (at == MAP_FAILED) return errno;
  ::munmap(at, length);
  return 0;
}

int try_grant(int fd, struct sluice_map arg) { return call(fd, SLUICE_IOC_MAP, &arg); }

// Where a BAR begins, from sysfs.
uint64_t bar_start(const char* bus_name, int bar) {
  std::istringstream lines(
      read_file(std::string("/sys/bus/pci/devices/") + bus_name + "/resource"));
  uint64_t start = 0, end = 0, flags = 0;
  for (int i = 0; i <= bar; i++) lines >> std::hex >> start >> end >> flags;
  check(start != 0, fmt::format("no address of BAR {}", bar));
  return start;
}

GUEST_TEST(private_mappings_are_refused) {
  const Grant g = grant(0, kPage);
  error_is(try_mmap(g.fd.get(), kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, g.cookie), EINVAL,
           "private, read-write");
  error_is(try_mmap(g.fd.get(), kPage, PROT_READ, MAP_PRIVATE, g.cookie), EINVAL, "private, read");
  error_is(try_mmap(g.fd.get(), kPage, PROT_READ, MAP_SHARED, g.cookie), 0, "shared, read");
}

GUEST_TEST(executable_mappings_are_refused) {
  const Grant g = grant(0, kPage);
  error_is(try_mmap(g.fd.get(), kPage, PROT_READ | PROT_EXEC, MAP_SHARED, g.cookie), EPERM, "mmap");
  void* at = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, g.fd.get(), g.cookie);
  check(::mprotect(at, kPage, PROT_READ | PROT_EXEC) == -1 && errno == EACCES, "mprotect");
}

GUEST_TEST(readers_cannot_map_for_writing) {
  const Grant g = grant(0, kPage, O_RDONLY);
  error_is(try_mmap(g.fd.get(), kPage, PROT_READ | PROT_WRITE, MAP_SHARED, g.cookie), EACCES,
           "writable mapping of a read-only file");
  void* at = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, g.fd.get(), g.cookie);
  check(at != MAP_FAILED, "read-only mapping of a read-only file");
  same(*static_cast<volatile uint32_t*>(at), kEduIdentification, "id");
  check(::mprotect(at, kPage, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "mprotect");
}

GUEST_TEST(ranges_are_checked) {
  const Fd fd(node_of(kEdu), O_RDWR);
  error_is(try_grant(fd.get(), map_arg(0, 0, kWindow)), 0, "all");
  error_is(try_grant(fd.get(), map_arg(0, kWindow - kPage, kPage)), 0, "the last page");
  error_is(try_grant(fd.get(), map_arg(0, 0, kWindow + 1)), ERANGE, "one byte too long");
  error_is(try_grant(fd.get(), map_arg(0, kPage, kWindow)), ERANGE, "a page too long");
  error_is(try_grant(fd.get(), map_arg(0, kWindow, kPage)), ERANGE, "past the end");
  error_is(try_grant(fd.get(), map_arg(0, kPage, ~uint64_t{0})), ERANGE, "length wraps");
  error_is(try_grant(fd.get(), map_arg(0, ~uint64_t{0} - kPage + 1, kPage)), ERANGE,
           "offset wraps");
  error_is(try_grant(fd.get(), map_arg(0, 0, 0)), EINVAL, "length 0");
  error_is(try_grant(fd.get(), map_arg(0, 4, kPage)), EINVAL, "offset not of a page");
  error_is(try_grant(fd.get(), map_arg(1, 0, kPage)), EINVAL, "window 1");
  auto arg = map_arg(0, 0, kPage);
  arg.type = 1;
  error_is(try_grant(fd.get(), arg), EOPNOTSUPP, "unknown memory type");
}

GUEST_TEST(only_cookies_can_be_mapped) {
  const Grant g = grant(0, 4 * kPage);
  const auto map = [&](uint64_t length, uint64_t offset) {
    return try_mmap(g.fd.get(), length, PROT_READ, MAP_SHARED, offset);
  };
  error_is(map(4 * kPage, g.cookie), 0, "the cookie");
  error_is(map(kPage, g.cookie + 3 * kPage), 0, "a page inside");
  error_is(map(5 * kPage, g.cookie), EINVAL, "longer than the cookie");
  error_is(map(2 * kPage, g.cookie + 3 * kPage), EINVAL, "over the end");
  error_is(map(kPage, g.cookie + 4 * kPage), EINVAL, "the page after");
  error_is(map(kPage, 0), EINVAL, "offset 0");
  std::istringstream resource(read_file(std::string("/sys/bus/pci/devices/") + kEdu + "/resource"));
  uint64_t address = 0;
  resource >> std::hex >> address;
  check(address != 0, "no address in sysfs");
  error_is(map(kPage, address), EINVAL, "the bus address");
  const Fd other(node_of(kEdu), O_RDWR);
  error_is(try_mmap(other.get(), kPage, PROT_READ, MAP_SHARED, g.cookie), EINVAL,
           "another file's cookie");
}

GUEST_TEST(cookies_are_reused_and_bounded) {
  const Grant g = grant(0, kPage);
  auto arg = map_arg(0, 0, kPage);
  error_is(call(g.fd.get(), SLUICE_IOC_MAP, &arg), 0, "again");
  same(arg.cookie, g.cookie, "cookie of the same range");
  int error = 0;
  int distinct = 1;
  for (uint64_t length = 1; length < 256 && !error; length++) {
    for (uint64_t page = 0; page + length <= 256 && !error; page++) {
      error = try_grant(g.fd.get(), map_arg(0, page * kPage, length * kPage));
      if (!error) distinct++;
    }
  }
  error_is(error, ENOSPC, "endless ranges");
  same(distinct, 4097, "ranges of one file, one counted twice");
  error_is(try_grant(g.fd.get(), map_arg(0, 0, kPage)), 0, "a known range still works");
}

GUEST_TEST(a_cookie_maps_its_own_range) {
  const Fd fd(node_of(kIvshmem), O_RDWR);
  constexpr uint32_t window = 1;
  for (uint64_t page = 0; page < 8; page++) {
    auto write = reg(window, page * kPage, 32, 0xb0a0 + page);
    error_is(call(fd.get(), SLUICE_IOC_REG_WRITE, &write), 0, "write");
  }
  auto arg = map_arg(window, 2 * kPage, 4 * kPage);
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  for (uint64_t skip = 0; skip < 4; skip++) {
    void* at = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), arg.cookie + skip * kPage);
    check(at != MAP_FAILED, "mmap");
    same(*static_cast<volatile uint32_t*>(at), 0xb0a0 + 2 + skip, "first word of the page");
  }
}

// The kernel's record of who uses the range with which memory type: the number of users, all of
// which must be uncached.
int uncached_users(uint64_t start, uint64_t end) {
  std::istringstream list(read_file("/sys/kernel/debug/x86/pat_memtype_list"));
  int found = 0;
  for (std::string line; std::getline(list, line);) {
    if (line.find(fmt::format("{:#018x}-{:#018x}", start, end)) == line.npos) continue;
    check(line.rfind("PAT: [mem", 0) == 0 && line.find("uncached") != line.npos, line);
    found++;
  }
  return found;
}

GUEST_TEST(mappings_are_uncached) {
  const Fd edu(node_of(kEdu), O_RDWR), shm(node_of(kIvshmem), O_RDWR);
  const uint64_t registers = bar_start(kEdu, 0), memory = bar_start(kIvshmem, 2);
  map_window(edu.get(), 0, kWindow, PROT_READ | PROT_WRITE);
  // The driver's own mapping of the registers is the other user.
  same(static_cast<uint64_t>(uncached_users(registers, registers + kWindow)), 2, "registers");
  auto arg = map_arg(1, 0, 16 * kPage);
  error_is(call(shm.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  void* at = ::mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, shm.get(),
                    static_cast<off_t>(arg.cookie));
  check(at != MAP_FAILED, "mmap of device memory");
  // The driver leaves device memory alone, so this mapping alone decides its type.
  same(static_cast<uint64_t>(uncached_users(memory, memory + 16 * kPage)), 1, "device memory");
}

GUEST_TEST(mappings_are_io_and_not_dumped) {
  const Fd fd(node_of(kEdu), O_RDWR);
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE);
  std::istringstream smaps(read_file("/proc/self/smaps"));
  const std::string head = fmt::format("{:x}-", reinterpret_cast<uintptr_t>(at));
  std::string line;
  while (std::getline(smaps, line) && line.rfind(head, 0) != 0) continue;
  while (std::getline(smaps, line) && line.rfind("VmFlags:", 0) != 0) continue;
  for (const char* flag : {" pf", " io", " de", " dd"}) {
    check(line.find(flag) != line.npos, fmt::format("{}: no{}", line, flag));
  }
}

GUEST_TEST(partial_changes_are_refused) {
  const Fd fd(node_of(kEdu), O_RDWR);
  auto* at = const_cast<uint32_t*>(map_window(fd.get(), 0, 4 * kPage, PROT_READ | PROT_WRITE));
  auto* second = reinterpret_cast<uint8_t*>(at) + kPage;
  check(::munmap(second, kPage) == -1 && errno == EINVAL, "munmap of a page in the middle");
  check(::munmap(at, kPage) == -1 && errno == EINVAL, "munmap of the first page");
  check(::mprotect(second, kPage, PROT_READ) == -1 && errno == EINVAL, "mprotect of a page");
  check(::mremap(at, 4 * kPage, 8 * kPage, MREMAP_MAYMOVE) == MAP_FAILED, "mremap that grows");
  check(::mremap(at, 4 * kPage, kPage, 0) == MAP_FAILED, "mremap that shrinks");
  check(::madvise(at, 4 * kPage, MADV_DONTNEED) == -1, "MADV_DONTNEED");
  same(*at, kEduIdentification, "the mapping afterwards");
  check(::mprotect(at, 4 * kPage, PROT_READ) == 0, "mprotect of all");
  check(::munmap(at, 4 * kPage) == 0, "munmap of all");
}

GUEST_TEST(a_moved_mapping_works) {
  const Fd fd(node_of(kEdu), O_RDWR);
  auto* at = const_cast<uint32_t*>(map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE));
  void* place = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* moved = ::mremap(at, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  check(moved == place, "mremap");
  same(*static_cast<volatile uint32_t*>(moved), kEduIdentification, "id at the new place");
  same(static_cast<uint64_t>(signal_of_read(at)), SIGSEGV, "signal at the old place");
}

GUEST_TEST(fork_inherits_a_mapping) {
  const Fd fd(node_of(kEdu), O_RDWR);
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE);
  same(in_child([&] {
         same(*at, kEduIdentification, "id in the child");
         at[kLiveness / 4] = 0x1234;
         same(in_child([&] { same(at[kLiveness / 4], ~0x1234u, "in the grandchild"); }), 0, "fork");
       }),
       0, "child");
  same(at[kLiveness / 4], ~0x1234u, "the child's write");
}

GUEST_TEST(a_mapping_outlives_its_descriptor) {
  volatile uint32_t* at = nullptr;
  {
    const Fd fd(node_of(kEdu), O_RDWR);
    at = map_window(fd.get(), 0, kPage, PROT_READ);
  }
  same(*at, kEduIdentification, "id after close");
}

GUEST_TEST(killing_a_mapped_process_frees_the_board) {
  for (int i = 0; i < 5; i++) {
    int ready[2];
    check(::pipe(ready) == 0, "pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Fd fd(node_of(kEdu), O_RDWR);
      volatile uint32_t* at = map_window(fd.get(), 0, kWindow, PROT_READ | PROT_WRITE);
      [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
      for (;;) at[kLiveness / 4] = at[0];
    }
    char byte = 0;
    check(::read(ready[0], &byte, 1) == 1, "the child did not map");
    ::close(ready[0]);
    ::close(ready[1]);
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "not killed");
  }
  // Nobody holds it any more: it can be taken away and given back at once.
  unbind_board(kEdu);
  bind_board(kEdu);
  same(must(open_board(kEdu).read_register(0, kId)), kEduIdentification, "id afterwards");
}

}  // namespace
