// SPDX-License-Identifier: Apache-2.0
// Registers beyond single accesses: read-modify-write, polls, batches; pread and pwrite at cookies.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "guest.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

constexpr uint32_t kMemory = 1;  // the window of the ivshmem board

struct sluice_reg_op op(uint32_t what, uint64_t offset, uint64_t value, uint64_t mask = 0,
                        uint64_t timeout_ns = 0) {
  struct sluice_reg_op one = {};
  one.op = what;
  one.window = kMemory;
  one.width = 32;
  one.offset = offset;
  one.value = value;
  one.mask = mask;
  one.timeout_ns = timeout_ns;
  return one;
}

int batch(int fd, std::vector<struct sluice_reg_op>* ops, uint32_t* done, int* error) {
  struct sluice_reg_batch arg = {};
  arg.size = sizeof(arg);
  arg.count = static_cast<uint32_t>(ops->size());
  arg.ops = reinterpret_cast<uint64_t>(ops->data());
  const int code = call(fd, SLUICE_IOC_REG_BATCH, &arg);
  *done = arg.done;
  *error = -arg.error;
  return code;
}

GUEST_TEST(registers_are_updated) {
  sluice::Device board = open_board(kIvshmem);
  must(board.write_register(kMemory, 64, 0x11223344));
  same(must(board.update_register(kMemory, 64, 0xff00, 0xab00)), 0x11223344, "old value");
  same(must(board.read_register(kMemory, 64)), 0x1122ab44, "new value");
  must_fail(board.update_register(kMemory, 64, 0xff, 0x100), EINVAL, {"outside mask"});
  must_fail(board.update_register(kMemory, 66, 0xff, 1), EINVAL, {"multiple of 4"});
  sluice::Device reader = open_board(kIvshmem, true);
  must_fail(reader.update_register(kMemory, 64, 1, 1), EBADF, {"read-only"});
  // Two that update the same register lose nothing.
  must(board.write_register(kMemory, 64, 0));
  std::thread other([&] {
    for (uint32_t i = 0; i < 2000; i++)
      must(board.update_register(kMemory, 64, 0xffff, i & 0xffff));
  });
  for (uint32_t i = 0; i < 2000; i++) {
    const uint64_t old = must(board.update_register(kMemory, 64, 0xffff0000, i << 16));
    same(old >> 16, i ? i - 1 : 0, "the other's update undid ours");
  }
  other.join();
}

GUEST_TEST(registers_are_polled) {
  sluice::Device board = open_board(kIvshmem);
  must(board.write_register(kMemory, 128, 0x5));
  same(must(board.poll_register(kMemory, 128, 0x4, 0x4, 0ns)), 0x5, "there already");
  must_fail(board.poll_register(kMemory, 128, 0x2, 0x2, 30ms), ETIMEDOUT, {"0x80", "in time"});
  std::thread later([&] {
    ::usleep(100000);
    static_cast<void>(board.write_register(kMemory, 128, 0x7));
  });
  const auto seen = board.poll_register(kMemory, 128, 0x2, 0x2, 10s);
  later.join();
  same(must(seen), 0x7, "seen");
}

GUEST_TEST(batches_are_checked_and_run_in_order) {
  const Fd fd(node_of(kIvshmem), O_RDWR);
  uint32_t done = 0;
  int error = 0;
  std::vector<struct sluice_reg_op> ops = {op(SLUICE_REG_OP_WRITE, 0, 0x1000),
                                           op(SLUICE_REG_OP_UPDATE, 0, 0x2, 0xf),
                                           op(SLUICE_REG_OP_READ, 0, 0),
                                           op(SLUICE_REG_OP_POLL, 0, 0x2, 0x2, 1000),
                                           op(SLUICE_REG_OP_POLL, 0, 0x4, 0x4, 1000),
                                           op(SLUICE_REG_OP_WRITE, 0, 0x77)};
  error_is(batch(fd.get(), &ops, &done, &error), 0, "BATCH");
  same(done, 4, "accesses done");
  error_is(error, ETIMEDOUT, "why it ended");
  same(ops[1].value, 0x1000, "old value of the update");
  same(ops[2].value, 0x1002, "read");
  same(ops[3].value, 0x1002, "polled");
  auto read = reg(kMemory, 0, 32);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &read), 0, "READ");
  same(read.value, 0x1002, "what comes after the failure is not done");
  // A bad access anywhere, and nothing happens.
  for (const auto& bad :
       {op(4, 0, 0), op(SLUICE_REG_OP_WRITE, 2, 0), op(SLUICE_REG_OP_READ, 0, 0, 1),
        op(SLUICE_REG_OP_UPDATE, 0, 1, 2), op(SLUICE_REG_OP_READ, 0, 0, 0, 1)}) {
    ops = {op(SLUICE_REG_OP_WRITE, 0, 0x99), bad};
    error_is(batch(fd.get(), &ops, &done, &error), EINVAL, "a bad access");
  }
  ops = {op(SLUICE_REG_OP_WRITE, 0, 0x99), op(SLUICE_REG_OP_READ, 1 << 20, 0)};
  error_is(batch(fd.get(), &ops, &done, &error), ERANGE, "outside the window");
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &read), 0, "READ");
  same(read.value, 0x1002, "after bad batches");
  ops.assign(SLUICE_REG_BATCH_MAX, op(SLUICE_REG_OP_READ, 0, 0));
  error_is(batch(fd.get(), &ops, &done, &error), 0, "the longest");
  same(ops.back().value, 0x1002, "the last read");
  ops.push_back(ops.back());
  error_is(batch(fd.get(), &ops, &done, &error), EINVAL, "too long");
}

GUEST_TEST(cookies_can_be_read_and_written) {
  const Fd fd(node_of(kIvshmem), O_RDWR), reader(node_of(kIvshmem), O_RDONLY);
  auto arg = map_arg(kMemory, 2 * kPage, 2 * kPage);
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  std::vector<uint8_t> bytes(2 * kPage), back(2 * kPage + 100);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
  // Odd ends, and over a page's end.
  same(static_cast<uint64_t>(::pwrite(fd.get(), bytes.data() + 3, 2 * kPage - 10, arg.cookie + 3)),
       2 * kPage - 10, "pwrite");
  same(static_cast<uint64_t>(::pread(fd.get(), back.data() + 3, 2 * kPage - 10, arg.cookie + 3)),
       2 * kPage - 10, "pread");
  check(std::memcmp(bytes.data() + 3, back.data() + 3, 2 * kPage - 10) == 0, "other bytes");
  auto read = reg(kMemory, 2 * kPage + 8, 64);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &read), 0, "READ");
  check(std::memcmp(&read.value, bytes.data() + 8, 8) == 0, "by another way");
  same(static_cast<uint64_t>(::pread(fd.get(), back.data(), back.size(), arg.cookie)), 2 * kPage,
       "it ends where the range ends");
  check(::pread(fd.get(), back.data(), 1, arg.cookie + 2 * kPage) == -1 && errno == EINVAL,
        "past it");
  check(::pread(reader.get(), back.data(), 1, arg.cookie) == -1 && errno == EINVAL, "another file");
  check(::pwrite(reader.get(), back.data(), 1, arg.cookie) == -1 && errno == EBADF, "a reader");
  void* const nowhere = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(::pread(fd.get(), nowhere, 8, arg.cookie) == -1 && errno == EFAULT, "a bad address");
  // The registers of a window that is smaller than a page end before the page does.
  arg = map_arg(0, 0, 256);
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP of 256 bytes");
  same(static_cast<uint64_t>(::pread(fd.get(), back.data(), 512, arg.cookie)), 256,
       "a small window");
}

int physical(int fd, uint64_t address, uint32_t width, uint64_t* value, uint32_t flags = 0) {
  struct sluice_phys arg = {};
  arg.size = sizeof(arg);
  arg.flags = flags;
  arg.width = width;
  arg.address = address;
  arg.value = *value;
  const int error = call(fd, SLUICE_IOC_PHYS, &arg);
  if (error == 0) *value = arg.value;
  return error;
}

GUEST_TEST(physical_addresses_are_off_unless_asked_for) {
  const Fd fd(node_of(kEdu), O_RDWR);
  uint64_t value = 0;
  error_is(physical(fd.get(), 0xfed00000, 32, &value), EOPNOTSUPP, "PHYS");
  struct sluice_info info = {};
  info.size = sizeof(info);
  error_is(call(fd.get(), SLUICE_IOC_INFO, &info), 0, "INFO");
  same(info.state & SLUICE_STATE_RAW_PHYS, 0, "state");
}

int module(std::vector<const char*> command) {
  command.push_back(nullptr);
  return in_child([&] { ::execv(command[0], const_cast<char* const*>(command.data())); });
}

void try_physical_addresses() {
  const Fd fd(node_of(kEdu), O_RDWR), reader(node_of(kEdu), O_RDONLY);
  const uint64_t edu = std::stoull(
      read_file(std::string("/sys/bus/pci/devices/") + kEdu + "/resource"), nullptr, 16);
  const auto read = [&](uint64_t address, uint32_t width) {
    uint64_t value = 0;
    error_is(physical(reader.get(), address, width, &value), 0, fmt::format("{:#x}", address));
    return value;
  };
  const auto error_of = [&](uint64_t address, uint32_t width, uint64_t value = 0,
                            uint32_t flags = 0) {
    return physical(fd.get(), address, width, &value, flags);
  };
  same(read(edu + kId, 32), kEduIdentification, "edu's identification");
  same(read(0xfed00000, 64) >> 16 & 0xffff, 0x8086, "vendor of the HPET");
  uint64_t value = 0x600df00d;
  error_is(physical(fd.get(), edu + kLiveness, 32, &value, SLUICE_PHYS_WRITE), 0, "write");
  same(must(open_board(kEdu).read_register(0, kLiveness)), 0xffffffff & ~value, "by the window");
  error_is(physical(reader.get(), edu + kLiveness, 32, &value, SLUICE_PHYS_WRITE), EBADF, "reader");
  for (const uint64_t ram : {0x100000ull, 0x1000000ull, 0x8000000ull}) {
    error_is(error_of(ram, 32), EACCES, fmt::format("RAM at {:#x}", ram));
    error_is(error_of(ram, 32, 0, SLUICE_PHYS_WRITE), EACCES, fmt::format("RAM at {:#x}", ram));
  }
  error_is(error_of(edu + 2, 32), EINVAL, "alignment");
  error_is(error_of(edu, 24), EINVAL, "width");
  error_is(error_of(edu + kLiveness, 8, 0x100, SLUICE_PHYS_WRITE), EINVAL, "value");
  error_is(error_of(1ull << 60, 32), EINVAL, "beyond what the CPU has");
  error_is(error_of(edu, 32, 0, 2), EINVAL, "unknown flag");
  for (size_t at : {offsetof(struct sluice_phys, reserved0), offsetof(struct sluice_phys, reserved),
                    sizeof(struct sluice_phys) - 1}) {
    struct sluice_phys arg = {};
    arg.size = sizeof(arg);
    arg.width = 32;
    arg.address = edu;
    reinterpret_cast<uint8_t*>(&arg)[at] = 1;
    error_is(call(fd.get(), SLUICE_IOC_PHYS, &arg), EINVAL, fmt::format("reserved byte {}", at));
  }
  same(in_child([&] {
         check(::setgid(900) == 0 && ::setuid(1000) == 0, "cannot become somebody else");
         error_is(error_of(edu, 32), EPERM, "as a user");
       }),
       0, "as a user");
  const std::string tool = fmt::format("sluicectl -d {} phys ", kEdu);
  const auto shell = [](const std::string& command) {
    return static_cast<uint64_t>(module({"/bin/sh", "-c", command.c_str()}));
  };
  same(shell(fmt::format("[ $({}r {:#x}) = 0x010000ed ]", tool, edu)), 0, "sluicectl phys r");
  same(shell(fmt::format("{}w {:#x} 7", tool, edu + kLiveness)), 0, "sluicectl phys w");
  same(read(edu + kLiveness, 32), 0xffffffff & ~7ull, "what sluicectl wrote");
  same(shell(tool + "r 0x100000 2>&1 | grep -q 'is memory'"), 0, "sluicectl on RAM");
}

GUEST_TEST(registers_by_physical_address) {
  same(static_cast<uint64_t>(module({"/bin/insmod", "/sluice.ko", "raw_phys=1"})), 0, "insmod");
  try_physical_addresses();
  same(static_cast<uint64_t>(module({"/bin/rmmod", "sluice"})), 0, "rmmod");
}

}  // namespace
