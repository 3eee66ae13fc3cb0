// SPDX-License-Identifier: Apache-2.0
// Memory objects: what is given out, what it is mapped as, who may do what to it and to the
// windows.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "guest_sdi.h"

namespace {

using namespace guest;

Fd open_sdi(const char* name = kBoard, int flags = O_RDWR) { return Fd(node_of(name), flags); }

int try_allocate(int fd, uint32_t kind, uint64_t length) {
  auto arg = argument<struct sluice_alloc>();
  arg.kind = kind;
  arg.length = length;
  return call(fd, SLUICE_IOC_ALLOC, &arg);
}

std::vector<struct sluice_mapping_info> mappings_of(int fd, uint32_t flags = 0) {
  std::vector<struct sluice_mapping_info> all(64);
  auto arg = argument<struct sluice_mappings>();
  arg.flags = flags;
  arg.count = static_cast<uint32_t>(all.size());
  arg.entries = reinterpret_cast<uint64_t>(all.data());
  error_is(call(fd, SLUICE_IOC_MAPPINGS, &arg), 0, "MAPPINGS");
  same(arg.count, arg.total, "mappings listed");
  all.resize(arg.count);
  return all;
}

// The memory type that the page tables of the mapping at `at` have.
uint32_t effective(int fd, const volatile void* at) {
  for (const auto& one : mappings_of(fd)) {
    if (one.address == reinterpret_cast<uintptr_t>(at)) return one.effective;
  }
  throw Failure("the mapping is not listed");
}

SDI_TEST(memory_has_the_type_it_was_asked_for) {
  const Fd fd = open_sdi();
  constexpr uint64_t kLength = 3 * kPage;
  const struct {
    uint32_t kind, type, effective;
  } cases[] = {
      {SLUICE_ALLOC_DEVICE, SLUICE_MAP_NATIVE, SLUICE_MAP_WRITE_COMBINED},
      {SLUICE_ALLOC_DEVICE, SLUICE_MAP_WRITE_COMBINED, SLUICE_MAP_WRITE_COMBINED},
      {SLUICE_ALLOC_DEVICE, SLUICE_MAP_UNCACHED, SLUICE_MAP_UNCACHED},
      {SLUICE_ALLOC_COHERENT, SLUICE_MAP_NATIVE, SLUICE_MAP_CACHED},
      {SLUICE_ALLOC_UNCACHED, SLUICE_MAP_NATIVE, SLUICE_MAP_UNCACHED},
      {SLUICE_ALLOC_WRITE_COMBINED, SLUICE_MAP_NATIVE, SLUICE_MAP_WRITE_COMBINED},
      {SLUICE_ALLOC_PAGES, SLUICE_MAP_CACHED, SLUICE_MAP_CACHED},
  };
  for (const auto& one : cases) {
    const uint32_t handle = allocate(fd.get(), one.kind, kLength);
    volatile uint8_t* at = map_object(fd.get(), handle, kLength, one.type);
    same(effective(fd.get(), at), one.effective,
         fmt::format("kind {}, type {}", one.kind, one.type));
    for (uint64_t i = 0; i < kLength; i++) same(at[i], 0, "a byte of new memory");
    at[kLength - 1] = 0x5a;
    same(at[kLength - 1], 0x5a, "what was written");
  }
  const uint32_t device = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  const uint32_t host = allocate(fd.get(), SLUICE_ALLOC_COHERENT, kPage);
  auto arg = argument<struct sluice_map>();
  arg.flags = SLUICE_MAP_OBJECT;
  arg.length = kPage;
  for (const auto& [handle, type] : {std::pair{device, SLUICE_MAP_CACHED},
                                     {host, SLUICE_MAP_UNCACHED},
                                     {host, SLUICE_MAP_WRITE_COMBINED},
                                     {host, 17}}) {
    arg.window = handle;
    arg.type = static_cast<uint32_t>(type);
    error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), EOPNOTSUPP, fmt::format("type {}", type));
  }
}

// The kernel's own record: device memory is write-combined, registers and doorbells are uncached.
SDI_TEST(the_kernel_records_the_types) {
  const Fd fd = open_sdi();
  std::istringstream lines(read_file(std::string("/sys/bus/pci/devices/") + kBoard + "/resource"));
  uint64_t start = 0, end = 0, flags = 0;
  for (int i = 0; i <= 2; i++) lines >> std::hex >> start >> end >> flags;
  auto read = reg(0, offsetof(struct sluice_sdi_control, memory_offset), 64);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &read), 0, "memory_offset");
  auto arg = argument<struct sluice_alloc>();
  arg.kind = SLUICE_ALLOC_DEVICE;
  arg.length = 5 * kPage;
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &arg), 0, "ALLOC");
  map_object(fd.get(), arg.handle, 5 * kPage);
  const auto queue = make_queue(fd.get());
  void* doorbell = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(),
                          static_cast<off_t>(queue.doorbell_cookie));
  check(doorbell != MAP_FAILED, "mmap of the doorbell");
  const std::string list = read_file("/sys/kernel/debug/x86/pat_memtype_list");
  const auto has = [&](uint64_t from, uint64_t length, const char* type) {
    const std::string range = fmt::format("{:#018x}-{:#018x}", from, from + length);
    const size_t line = list.find(range);
    check(line != list.npos, "no record of " + range);
    check(list.find(type, line) < list.find('\n', line), list.substr(line, 80));
  };
  has(start + read.value + arg.address, 5 * kPage, "write-combining");
  has(start + (SLUICE_SDI_PAGE_DOORBELL + queue.index) * kPage, kPage, "uncached");
  has(start, 4 * kPage, "uncached");
}

SDI_TEST(more_caching_than_asked_for_is_refused) {
  const Fd fd = open_sdi();
  const uint32_t handle = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  auto arg = argument<struct sluice_map>();
  arg.flags = SLUICE_MAP_OBJECT;
  arg.window = handle;
  arg.length = kPage;
  arg.type = SLUICE_MAP_UNCACHED;
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  void* combined = const_cast<uint8_t*>(map_object(fd.get(), handle, kPage));
  check(::mmap(nullptr, kPage, 3, MAP_SHARED, fd.get(), static_cast<off_t>(arg.cookie)) ==
                MAP_FAILED &&
            errno == EBUSY,
        "an uncached mapping beside a write-combined one");
  ::munmap(combined, kPage);
  volatile uint8_t* uncached = map_object(fd.get(), handle, kPage, SLUICE_MAP_UNCACHED);
  same(effective(fd.get(), uncached), SLUICE_MAP_UNCACHED, "alone");
  // The other way round is only slow, and is reported.
  volatile uint8_t* second = map_object(fd.get(), handle, kPage, SLUICE_MAP_WRITE_COMBINED);
  same(effective(fd.get(), second), SLUICE_MAP_UNCACHED, "beside an uncached one");
}

// More than the guest has, a piece at a time: what is freed is there for the next.
SDI_TEST(host_memory_comes_back) {
  ::alarm(3 * time_limit());  // thousands of pages change their type
  const Fd fd = open_sdi();
  constexpr uint64_t kLength = 32 << 20;
  for (int round = 0; round < 5; round++) {
    for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_UNCACHED,
                                SLUICE_ALLOC_WRITE_COMBINED, SLUICE_ALLOC_PAGES}) {
      const uint32_t handle = allocate(fd.get(), kind, kLength);
      volatile uint8_t* at = map_object(fd.get(), handle, kLength);
      same(at[kLength - 1], 0, "the last byte");
      at[kLength - 1] = 1;
      free_object(fd.get(), handle);
      ::munmap(const_cast<uint8_t*>(at), kLength);
    }
  }
}

// Nobody is killed for it: the kernel's log would say so.
SDI_TEST(more_memory_than_there_is_is_refused) {
  const Fd fd = open_sdi();
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_UNCACHED,
                              SLUICE_ALLOC_WRITE_COMBINED, SLUICE_ALLOC_PAGES}) {
    for (const uint64_t length : {uint64_t{480} << 20, uint64_t{1} << 40, ~uint64_t{0} - kPage}) {
      error_is(try_allocate(fd.get(), kind, length), ENOMEM, fmt::format("kind {}", kind));
    }
  }
}

// Each request would do; all together would leave nothing to anybody.
SDI_TEST(some_memory_is_left_to_others) {
  const auto line = [](const char* name) {
    const std::string text = read_file("/proc/meminfo");
    return std::strtoull(text.c_str() + text.find(name) + std::strlen(name), nullptr, 10) << 10;
  };
  const Fd fd = open_sdi();
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_PAGES}) {
    const Fd taker = open_sdi();
    int error = 0;
    for (int i = 0; i < 4096 && error == 0; ++i) error = try_allocate(taker.get(), kind, 4 << 20);
    error_is(error, ENOMEM, fmt::format("kind {}", kind));
    check(line("MemAvailable:") > line("MemTotal:") / 10, "hardly anything is left");
    check(line("MemAvailable:") < line("MemTotal:") / 3, "much is left");
  }
}

SDI_TEST(page_backed_memory_takes_direct_io) {
  const Fd fd = open_sdi();
  const auto through_gup = [&](uint32_t kind) {
    const uint32_t handle = allocate(fd.get(), kind, kPage);
    auto* at = const_cast<uint8_t*>(map_object(fd.get(), handle, kPage));
    char text[] = "from far";
    const iovec local = {text, sizeof(text)}, remote = {at, sizeof(text)};
    // The kernel takes hold of the pages to do this, as it does for O_DIRECT.
    const ssize_t n = ::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0);
    if (n < 0) return errno;
    check(std::memcmp(at, text, sizeof(text)) == 0, "other bytes");
    return 0;
  };
  error_is(through_gup(SLUICE_ALLOC_PAGES), 0, "pages");
  error_is(through_gup(SLUICE_ALLOC_COHERENT), EFAULT, "a mapping of frames");
}

SDI_TEST(device_memory_is_given_out_once) {
  const Fd fd = open_sdi();
  const uint64_t size = info_of(fd.get()).memory_size;
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, size + kPage), ENOMEM, "too much");
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, ~uint64_t{0}), ENOMEM, "wraps");
  std::vector<struct sluice_alloc> all;
  for (uint64_t pages = 1; pages < 40; pages += 3) {
    auto arg = argument<struct sluice_alloc>();
    arg.kind = SLUICE_ALLOC_DEVICE;
    arg.length = pages * kPage - 5;
    error_is(call(fd.get(), SLUICE_IOC_ALLOC, &arg), 0, "ALLOC");
    all.push_back(arg);
  }
  const auto whole = [](uint64_t length) { return (length + kPage - 1) / kPage * kPage; };
  uint64_t used = 0;
  for (const auto& a : all) {
    used += whole(a.length);
    check(a.address % kPage == 0 && a.address + a.length <= size, "outside the memory");
    for (const auto& b : all) {
      check(a.handle == b.handle || a.address >= b.address + whole(b.length) ||
                b.address >= a.address + whole(a.length),
            "two pieces overlap");
    }
  }
  same(info_of(fd.get()).memory_free, size - used, "free memory");
  // A hole is found again, and is zeroed again.
  const auto hole = all[5];
  std::memset(const_cast<uint8_t*>(map_object(fd.get(), hole.handle, whole(hole.length))), 0xee,
              hole.length);
  free_object(fd.get(), hole.handle);
  // It is mapped: its memory is not free yet, though its handle is.
  same(info_of(fd.get()).memory_free, size - used, "free memory while it is mapped");
  for (const auto& one : mappings_of(fd.get())) {
    same(*reinterpret_cast<uint8_t*>(one.address), 0xee, "a mapping outlives the handle");
    ::munmap(reinterpret_cast<void*>(one.address), one.length);
  }
  same(info_of(fd.get()).memory_free, size - used + whole(hole.length), "free memory afterwards");
  auto again = argument<struct sluice_alloc>();
  again.kind = SLUICE_ALLOC_DEVICE;
  again.length = hole.length;
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &again), 0, "ALLOC");
  same(again.address, hole.address, "the hole");
  volatile uint8_t* at = map_object(fd.get(), again.handle, whole(hole.length));
  for (uint64_t i = 0; i < whole(hole.length); i++) same(at[i], 0, "a byte of reused memory");
  const uint64_t rest = info_of(fd.get()).memory_free;
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, rest), 0, "all that is left");
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, 1), ENOMEM, "when nothing is left");
}

SDI_TEST(allocations_are_checked) {
  const Fd fd = open_sdi(), reader = open_sdi(kBoard, O_RDONLY);
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, 0), EINVAL, "no bytes");
  error_is(try_allocate(fd.get(), 5, kPage), EINVAL, "no such kind");
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_COHERENT, uint64_t{1} << 50), ENOMEM, "a lot");
  error_is(try_allocate(reader.get(), SLUICE_ALLOC_DEVICE, kPage), EBADF, "a reader");
  auto arg = argument<struct sluice_free>();
  arg.handle = 1234;
  error_is(call(fd.get(), SLUICE_IOC_FREE, &arg), ENOENT, "no such object");
  const uint32_t handle = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  auto map = argument<struct sluice_map>();
  map.flags = SLUICE_MAP_OBJECT;
  map.window = handle;
  map.length = kPage;
  map.type = SLUICE_MAP_NATIVE;
  error_is(call(fd.get(), SLUICE_IOC_MAP, &map), 0, "MAP");
  free_object(fd.get(), handle);
  check(::mmap(nullptr, kPage, 3, MAP_SHARED, fd.get(), static_cast<off_t>(map.cookie)) ==
                MAP_FAILED &&
            errno == EINVAL,
        "the cookie of a freed object");
  error_is(call(fd.get(), SLUICE_IOC_MAP, &map), ENOENT, "MAP of a freed object");
}

SDI_TEST(control_pages_are_guarded) {
  const Fd fd = open_sdi();
  const auto try_map = [&](uint32_t window, uint64_t offset, uint64_t length, int prot) {
    auto arg = argument<struct sluice_map>();
    arg.window = window;
    arg.type = SLUICE_MAP_NATIVE;
    arg.offset = offset;
    arg.length = length;
    if (const int error = call(fd.get(), SLUICE_IOC_MAP, &arg)) return error;
    void* at = ::mmap(nullptr, length, prot, MAP_SHARED, fd.get(), static_cast<off_t>(arg.cookie));
    return at == MAP_FAILED ? errno : 0;
  };
  for (const uint64_t page : {SLUICE_SDI_PAGE_CONTROL, SLUICE_SDI_PAGE_COUNTERS}) {
    error_is(try_map(0, page * kPage, kPage, PROT_READ), 0, fmt::format("page {}", page));
    error_is(try_map(0, page * kPage, kPage, PROT_READ | PROT_WRITE), EACCES, "for writing");
  }
  for (const uint64_t page : {1, 2, 4, 15, 16, 17, 22}) {
    error_is(try_map(0, page * kPage, kPage, PROT_READ), EPERM, fmt::format("page {}", page));
  }
  error_is(try_map(0, 0, 2 * kPage, PROT_READ), EPERM, "pages 0 and 1");
  // Nobody but root writes registers or sees all of the memory.
  const auto as_user = [&](const std::function<int()>& body) {
    return in_child([&] {
      check(::setgid(900) == 0 && ::setuid(1000) == 0, "cannot become somebody else");
      error_is(body(), EPERM, "as a user");
    });
  };
  auto write = reg(0, offsetof(struct sluice_sdi_control, irq_mask), 64, 0);
  error_is(call(fd.get(), SLUICE_IOC_REG_WRITE, &write), 0, "root writes a control register");
  same(as_user([&] { return call(fd.get(), SLUICE_IOC_REG_WRITE, &write); }), 0, "write");
  auto read = reg(1, 0, 32);
  same(as_user([&] { return call(fd.get(), SLUICE_IOC_REG_READ, &read); }), 0, "memory, read");
  same(as_user([&] { return try_map(1, 0, kPage, PROT_READ); }), 0, "memory, map");
  error_is(try_map(1, 0, kPage, PROT_READ), 0, "root maps the memory");
}

SDI_TEST(mappings_are_listed) {
  const Fd fd = open_sdi(), other = open_sdi();
  const uint32_t handle = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 4 * kPage);
  volatile uint8_t* at =
      map_object(fd.get(), handle, 2 * kPage, SLUICE_MAP_NATIVE, kPage, PROT_READ);
  const auto all = mappings_of(fd.get());
  same(all.size(), 1, "mappings");
  same(all[0].address, reinterpret_cast<uintptr_t>(at), "address");
  same(all[0].length, 2 * kPage, "length");
  same(all[0].offset, kPage, "offset");
  same(all[0].window, handle, "handle");
  same(all[0].flags, SLUICE_MAPPING_OBJECT, "flags");
  same(all[0].pid, static_cast<uint64_t>(::getpid()), "pid");
  same(mappings_of(other.get()).size(), 0, "another file's");
  same(mappings_of(other.get(), SLUICE_MAPPINGS_ALL).size(), 1, "everybody's");
  same(in_child([&] {
         check(::setuid(1000) == 0, "setuid");
         auto arg = argument<struct sluice_mappings>();
         arg.flags = SLUICE_MAPPINGS_ALL;
         error_is(call(other.get(), SLUICE_IOC_MAPPINGS, &arg), EPERM, "everybody's, as a user");
       }),
       0, "child");
  error_is(reset(fd.get()), 0, "RESET");
  same(mappings_of(fd.get()).at(0).flags, SLUICE_MAPPING_OBJECT | SLUICE_MAPPING_REVOKED,
       "flags after a reset");
}

// A plain board has no memory of its own that the driver knows of, and must not reach the host's.
GUEST_TEST(plain_boards_have_no_queues_or_memory) {
  const Fd fd(node_of(kEdu), O_RDWR);
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage), EOPNOTSUPP, "device memory");
  error_is(try_allocate(fd.get(), SLUICE_ALLOC_COHERENT, kPage), EPERM, "host memory");
  auto arg = argument<struct sluice_queue>();
  arg.n_entries = 4;
  arg.n_segments = 1;
  error_is(call(fd.get(), SLUICE_IOC_QUEUE, &arg), EOPNOTSUPP, "QUEUE");
}

}  // namespace
