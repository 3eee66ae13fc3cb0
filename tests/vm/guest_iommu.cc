// SPDX-License-Identifier: Apache-2.0
// A board behind an IOMMU that translates: edu's own DMA engine reaches what SLUICE_IOC_ALLOC gave
// it by the address that it said, and nothing else.
#include <fcntl.h>
#include <sys/klog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "guest_dmabuf.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

// edu's DMA engine and the memory of its own that it copies from and to.
constexpr uint64_t kDmaSource = 0x80, kDmaTarget = 0x88, kDmaCount = 0x90, kDmaCommand = 0x98;
constexpr uint64_t kDmaStart = 1, kDmaToHost = 2;
constexpr uint64_t kEduMemory = 0x40000, kEduMemoryBytes = 4096;
constexpr uint64_t kBytes = 2048;  // less than all of it: QEMU 7.2 aborts at the last byte

void write_register(int fd, uint64_t offset, uint64_t value) {
  auto arg = reg(0, offset, 64, value);
  error_is(call(fd, SLUICE_IOC_REG_WRITE, &arg), 0, fmt::format("register {:#x}", offset));
}

void transfer(int fd, uint64_t from, uint64_t to, uint64_t direction) {
  write_register(fd, kDmaSource, from);
  write_register(fd, kDmaTarget, to);
  write_register(fd, kDmaCount, kBytes);
  write_register(fd, kDmaCommand, kDmaStart | direction);
  auto poll = argument<struct sluice_reg_poll>();
  poll.width = 64;
  poll.offset = kDmaCommand;
  poll.mask = kDmaStart;
  poll.timeout_ns = 5'000'000'000;
  error_is(call(fd, SLUICE_IOC_REG_POLL, &poll), 0, "the end of a transfer");
}

void to_board(int fd, uint64_t address) { transfer(fd, address, kEduMemory, 0); }
void to_host(int fd, uint64_t address) { transfer(fd, kEduMemory, address, kDmaToHost); }

struct Memory {
  Memory(int fd, uint32_t kind) {
    auto arg = argument<struct sluice_alloc>();
    arg.kind = kind;
    arg.length = kPage;
    error_is(call(fd, SLUICE_IOC_ALLOC, &arg), 0, "ALLOC");
    handle = arg.handle;
    address = arg.address;
    bytes = map_object(fd, handle, kPage);
  }
  uint32_t handle;
  uint64_t address;
  volatile uint8_t* bytes;
};

// What `setpci -s 00:04.0 COMMAND=4:4` does.
void let_it_master(bool on) {
  const Fd config(std::string("/sys/bus/pci/devices/") + kEdu + "/config", O_RDWR);
  uint16_t command = 0;
  check(::pread(config.get(), &command, 2, 4) == 2, "the command register");
  command = static_cast<uint16_t>(on ? command | 4 : command & ~4);
  check(::pwrite(config.get(), &command, 2, 4) == 2, "the command register");
}

// The IOMMU's faults in the kernel's log so far.
unsigned count_faults() {
  std::vector<char> log(1 << 20);
  const int n = ::klogctl(3, log.data(), static_cast<int>(log.size()));
  check(n > 0, "the kernel's log");
  const std::string text(log.data(), static_cast<size_t>(n));
  unsigned found = 0;
  for (size_t at = 0; (at = text.find("DMAR: [DMA ", at)) != text.npos; at++) found++;
  return found;
}

unsigned faults_above(unsigned before) {
  for (int i = 0; i < 100 && count_faults() <= before; i++) ::usleep(20000);
  return count_faults();
}

GUEST_TEST_OF("iommu", boards_behind_an_iommu_are_bound) {
  check(exists("/sys/class/iommu/dmar0"), "no IOMMU");
  bind_board(kEdu);
  const std::string type =
      read_file(std::string("/sys/bus/pci/devices/") + kEdu + "/iommu_group/type");
  check(type == "DMA\n", "the IOMMU does not translate: " + type);
}

GUEST_TEST_OF("iommu", memory_needs_a_bus_master) {
  const Fd fd(node_of(kEdu), O_RDWR);
  auto arg = argument<struct sluice_alloc>();
  arg.kind = SLUICE_ALLOC_COHERENT;
  arg.length = kPage;
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &arg), EPERM, "ALLOC without bus mastering");
  let_it_master(true);
  check(info_of(fd.get()).state & SLUICE_STATE_BUS_MASTER, "it is not said to be bus master");
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &arg), 0, "ALLOC with bus mastering");
}

GUEST_TEST_OF("iommu", dma_goes_through_the_iommu) {
  let_it_master(true);
  const Fd fd(node_of(kEdu), O_RDWR);
  const unsigned faults = count_faults();
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_UNCACHED,
                              SLUICE_ALLOC_WRITE_COMBINED, SLUICE_ALLOC_PAGES}) {
    const Memory from(fd.get(), kind), to(fd.get(), kind);
    const auto salt = static_cast<uint8_t>(50 + kind);
    put_pattern(from.bytes, kPage, salt);
    put_pattern(to.bytes, kPage, 1);
    to_board(fd.get(), from.address);
    to_host(fd.get(), to.address);
    holds_pattern(to.bytes, kBytes, salt, "to the board and back");
    // Not a byte more.
    check(to.bytes[kBytes] != from.bytes[kBytes], "it copied more than it was told");
    free_object(fd.get(), from.handle);
    free_object(fd.get(), to.handle);
  }
  same(count_faults(), faults, "faults of the IOMMU");
}

// A read that the IOMMU stops leaves the engine's memory as it was, or zeroed.
void nothing_is_read(int fd, uint64_t address, const Memory& good, const char* what) {
  put_pattern(good.bytes, kPage, 67);
  to_board(fd, good.address);
  to_board(fd, address);
  put_pattern(good.bytes, kPage, 1);
  to_host(fd, good.address);
  if (std::all_of(good.bytes, good.bytes + kBytes, [](uint8_t byte) { return byte == 0; })) return;
  holds_pattern(good.bytes, kBytes, 67, what);
}

GUEST_TEST_OF("iommu", what_was_not_granted_is_stopped) {
  let_it_master(true);
  const Fd fd(node_of(kEdu), O_RDWR);
  const Memory good(fd.get(), SLUICE_ALLOC_COHERENT);
  uint64_t freed = 0;
  {
    const Memory gone(fd.get(), SLUICE_ALLOC_COHERENT);
    put_pattern(gone.bytes, kPage, 66);
    to_board(fd.get(), gone.address);
    freed = gone.address;
    ::munmap(const_cast<uint8_t*>(gone.bytes), kPage);
    free_object(fd.get(), gone.handle);
  }
  const unsigned faults = count_faults();
  to_host(fd.get(), freed);
  check(faults_above(faults) > faults, "a write to freed memory was not stopped");
  nothing_is_read(fd.get(), freed, good, "freed memory");
  nothing_is_read(fd.get(), 0x1000000, good, "the kernel's own code");
  // What was granted still works.
  put_pattern(good.bytes, kPage, 68);
  to_board(fd.get(), good.address);
  put_pattern(good.bytes, kPage, 1);
  to_host(fd.get(), good.address);
  holds_pattern(good.bytes, kBytes, 68, "granted memory");
}

// Without its board nobody reaches the memory: what the IOMMU let through went with it.
GUEST_TEST_OF("iommu", unbinding_takes_the_grants_back) {
  let_it_master(true);
  uint64_t address = 0;
  const Fd fd(node_of(kEdu), O_RDWR);
  {
    // What is freed last is given out first: that is the last of these.
    const Memory memory(fd.get(), SLUICE_ALLOC_PAGES);
    const Memory one(fd.get(), SLUICE_ALLOC_COHERENT), two(fd.get(), SLUICE_ALLOC_PAGES);
    put_pattern(memory.bytes, kPage, 69);
    address = memory.address;
    to_board(fd.get(), address);
  }
  unbind_board(kEdu);
  bind_board(kEdu);
  let_it_master(true);
  const Fd again(node_of(kEdu), O_RDWR);
  const Memory good(again.get(), SLUICE_ALLOC_COHERENT);
  check(good.address != address, "the address was given out again: nothing can be said");
  nothing_is_read(again.get(), address, good, "memory of a board that was unbound");
}

}  // namespace
