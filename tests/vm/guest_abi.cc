// SPDX-License-Identifier: Apache-2.0
// The ioctl ABI, called raw: sizes, flags, reserved words, hostile pointers, bounds and modes.
// Each rule of uapi/sluice.h is tried on every ioctl, as guest_abi_calls.cc names them.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "guest_abi_calls.h"

namespace {

using namespace guest;

// An argument that the ioctl accepts, followed by `extra` bytes of zero; its size counts them.
std::vector<uint8_t> good_argument(const Call& entry, Caller& caller, size_t extra = 0) {
  std::vector<uint8_t> bytes(entry.size + extra);
  entry.fill(caller, bytes.data());
  const auto size = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &size, sizeof(size));
  return bytes;
}

// The call has to succeed, and is undone.
void accepted(const Call& entry, Caller& caller, void* arg, const std::string& what,
              unsigned long request = 0) {
  error_is(call(caller.fd(), request ? request : entry.request, arg), 0, what);
  entry.undo(caller, arg);
}

void refused(const Call& entry, Caller& caller, void* arg, int code, const std::string& what) {
  error_is(call(caller.fd(), entry.request, arg), code, what);
}

using Calls = std::span<const Call>;
using Rule = void (*)(const Call& entry, Caller& caller);

// Each call has a file of its own.
void on_each(Calls calls, Rule rule) {
  for (const Call& entry : calls) {
    Caller caller(entry.board);
    rule(entry, caller);
  }
}

// A rule of all ioctls, as a test in both guests.
#define ABI_RULE(name, entry, caller)                         \
  static void name##_rule(const Call&, Caller&);              \
  GUEST_TEST(name) { on_each(plain_calls(), name##_rule); }   \
  SDI_TEST(sdi_##name) { on_each(sdi_calls(), name##_rule); } \
  static void name##_rule(const Call& entry, Caller& caller)

Fd open_edu(int flags = O_RDWR) { return Fd(node_of(kEdu), flags); }

ABI_RULE(good_arguments_are_accepted, entry, caller) {
  for (int i = 0; i < 3; i++) {
    auto bytes = good_argument(entry, caller);
    accepted(entry, caller, bytes.data(), entry.name);
  }
}

// All that the driver has are in the tables, so that none is forgotten.
void every_ioctl_is_known(Calls calls, int fd) {
  for (unsigned nr = 0; nr < 0x20; nr++) {
    // Off here; registers_by_physical_address has its rules.
    if (nr == _IOC_NR(SLUICE_IOC_PHYS)) continue;
    std::vector<uint8_t> none(kPage);  // a size of 0: EINVAL where there is an ioctl
    const int error = call(fd, _IOC(_IOC_READ | _IOC_WRITE, SLUICE_IOC_MAGIC, nr, 96), none.data());
    if (error == ENOTTY) continue;
    error_is(error, EINVAL, fmt::format("number {}", nr));
    const auto is_it = [&](const Call& entry) { return _IOC_NR(entry.request) == nr; };
    check(std::any_of(calls.begin(), calls.end(), is_it) ||
              std::any_of(plain_calls().begin(), plain_calls().end(), is_it),
          fmt::format("number {} is not in the tables", nr));
  }
}

SDI_TEST(every_ioctl_is_in_the_tables) {
  const Caller caller(kBoard);
  every_ioctl_is_known(sdi_calls(), caller.fd());
}

GUEST_TEST(unknown_ioctls_are_refused) {
  Caller caller(kEdu);
  auto bytes = good_argument(plain_calls()[0], caller, 512);
  const int fd = caller.fd();
  for (unsigned nr = 0x20; nr < 256; nr++) {
    error_is(call(fd, _IOC(_IOC_READ | _IOC_WRITE, SLUICE_IOC_MAGIC, nr, 96), bytes.data()), ENOTTY,
             fmt::format("number {}", nr));
  }
  error_is(call(fd, _IOC(_IOC_READ | _IOC_WRITE, 'x', 0, 96), bytes.data()), ENOTTY, "type");
  error_is(call(fd, _IOC(_IOC_READ, SLUICE_IOC_MAGIC, 0, 96), bytes.data()), ENOTTY, "read");
  error_is(call(fd, _IOC(_IOC_NONE, SLUICE_IOC_MAGIC, 0, 0), nullptr), ENOTTY, "none");
}

ABI_RULE(unknown_flags_are_refused, entry, caller) {
  const auto good = good_argument(entry, caller);
  for (unsigned bit = 0; bit < 32; bit++) {
    if (entry.known_flags >> bit & 1) continue;
    auto bytes = good;
    const uint32_t flags = 1u << bit;
    std::memcpy(bytes.data() + 4, &flags, 4);
    refused(entry, caller, bytes.data(), EINVAL, fmt::format("{} flag {}", entry.name, bit));
  }
}

ABI_RULE(reserved_words_must_be_zero, entry, caller) {
  const auto good = good_argument(entry, caller);
  for (uint32_t at = entry.reserved; at < entry.reserved + 16; at++) {
    auto bytes = good;
    bytes[at] = 1;
    refused(entry, caller, bytes.data(), EINVAL, fmt::format("{} byte {}", entry.name, at));
  }
}

// The words named reserved0 are no part of the reserved words, and every handler looks at them.
SDI_TEST(odd_reserved_words_must_be_zero) {
  const auto try_one = [](const char* name, size_t at) {
    for (const Call& entry : sdi_calls()) {
      if (std::string(entry.name) != name) continue;
      Caller caller(entry.board);
      for (size_t byte = at; byte < at + 4; byte++) {
        auto bytes = good_argument(entry, caller);
        bytes[byte] = 0x80;
        refused(entry, caller, bytes.data(), EINVAL, fmt::format("{} byte {}", name, byte));
      }
      return;
    }
    throw Failure(std::string("no call ") + name);
  };
  try_one("FREE", offsetof(struct sluice_free, reserved0));
  try_one("QUEUE", offsetof(struct sluice_queue, reserved0));
  try_one("GRANT", offsetof(struct sluice_grant, reserved0));
  try_one("NOTIFY", offsetof(struct sluice_notify, reserved0));
  try_one("RESET", offsetof(struct sluice_reset, reserved0));
}

ABI_RULE(short_structs_are_refused, entry, caller) {
  const auto good = good_argument(entry, caller);
  for (uint32_t size = 0; size < entry.min_size; size++) {
    auto bytes = good;
    std::memcpy(bytes.data(), &size, 4);
    refused(entry, caller, bytes.data(), EINVAL, fmt::format("{} of {} bytes", entry.name, size));
  }
}

// A program that was built when the struct was shorter gets what it knows, and no byte more.
ABI_RULE(structs_of_the_first_version_are_served, entry, caller) {
  auto bytes = good_argument(entry, caller);
  std::memcpy(bytes.data(), &entry.min_size, 4);
  std::memset(bytes.data() + entry.min_size, 0xcc, bytes.size() - entry.min_size);
  accepted(entry, caller, bytes.data(), entry.name);
  for (size_t at = entry.min_size; at < bytes.size(); at++) {
    same(bytes[at], 0xcc, fmt::format("{}: byte {}", entry.name, at));
  }
}

ABI_RULE(long_structs_must_end_in_zeros, entry, caller) {
  for (const size_t extra : {1, 7, 8, 64, 1000}) {
    auto bytes = good_argument(entry, caller, extra);
    bytes.back() = 1;
    refused(entry, caller, bytes.data(), E2BIG,
            fmt::format("{} + {} with a tail", entry.name, extra));
    bytes.back() = 0;
    // A caller built against a newer header has the larger size in the number, too.
    const unsigned long request =
        _IOC(_IOC_READ | _IOC_WRITE, SLUICE_IOC_MAGIC, _IOC_NR(entry.request), bytes.size());
    accepted(entry, caller, bytes.data(), fmt::format("{} + {}", entry.name, extra), request);
    for (size_t at = entry.size; at < bytes.size(); at++) {
      same(bytes[at], 0, fmt::format("{}: byte {} after the call", entry.name, at));
    }
  }
  auto bytes = good_argument(entry, caller, 2 * kPage);
  refused(entry, caller, bytes.data(), E2BIG, "beyond a page");
}

ABI_RULE(garbage_is_refused, entry, caller) {
  std::vector<uint8_t> bytes(2 * kPage, 0xff);
  refused(entry, caller, bytes.data(), E2BIG, entry.name);
  const uint32_t size = entry.size;
  std::memcpy(bytes.data(), &size, 4);
  refused(entry, caller, bytes.data(), EINVAL, entry.name);
}

GUEST_TEST(random_arguments_do_no_harm) {
  Caller caller(kEdu, O_RDONLY);  // writes are refused, whatever they say
  std::mt19937_64 random(1);
  const Calls calls = plain_calls();
  for (int i = 0; i < 20000; i++) {
    const Call& entry = calls[random() % calls.size()];
    auto bytes = good_argument(entry, caller);
    for (int n = static_cast<int>(random() % 6); n > 0; n--) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random() % 4 ? random() % 80 : 0xff);
    }
    if (entry.request == SLUICE_IOC_REG_POLL) {  // or it waits for what does not come
      std::memset(bytes.data() + offsetof(struct sluice_reg_poll, timeout_ns), 0, 7);
    }
    const int error = call(caller.fd(), entry.request, bytes.data());
    const bool known = error == 0 || error == EINVAL || error == ERANGE || error == E2BIG ||
                       error == EBADF || error == EOPNOTSUPP || error == ENOSPC ||
                       error == ENOENT || error == EFAULT || error == ETIMEDOUT;
    check(known, fmt::format("{}: error {}", entry.name, error));
  }
}

ABI_RULE(arguments_beside_an_unmapped_page, entry, caller) {
  auto* pages = static_cast<uint8_t*>(
      ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::munmap(pages + kPage, kPage);
  uint8_t* end = pages + kPage;
  const auto bytes = good_argument(entry, caller);
  for (const size_t missing : {size_t{1}, size_t{4}, bytes.size() - 4, bytes.size() - 1}) {
    std::memcpy(end - bytes.size() + missing, bytes.data(), bytes.size() - missing);
    refused(entry, caller, end - bytes.size() + missing, EFAULT,
            fmt::format("{}: {} bytes past the page", entry.name, missing));
  }
  refused(entry, caller, end, EFAULT, "unmapped");
  refused(entry, caller, nullptr, EFAULT, "null");
  refused(entry, caller, reinterpret_cast<void*>(0xffff888000000000), EFAULT, "kernel address");
  std::memcpy(end - bytes.size(), bytes.data(), bytes.size());
  accepted(entry, caller, end - bytes.size(), "struct ends with the page");
  ::munmap(pages, kPage);
}

// What the call did stays done, but the caller hears of it; files of their own each.
GUEST_TEST(read_only_arguments) {
  auto* page = static_cast<uint8_t*>(
      ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (const Call& entry : plain_calls()) {
    Caller caller(entry.board);
    const auto bytes = good_argument(entry, caller);
    std::memcpy(page, bytes.data(), bytes.size());
    ::mprotect(page, kPage, PROT_READ);
    refused(entry, caller, page, EFAULT, "read-only memory");
    ::mprotect(page, kPage, PROT_READ | PROT_WRITE);
  }
}

bool is_in(const std::vector<Range>& ranges, size_t at) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& range) { return at >= range.first && at < range.last; });
}

// Outputs are the same whatever the caller left in them, and nothing else is touched.
ABI_RULE(no_stale_byte_comes_back, entry, caller) {
  std::vector<std::vector<uint8_t>> seen;
  for (const uint8_t fill : {0x00, 0xaa, 0x55}) {
    auto bytes = good_argument(entry, caller);
    for (size_t at = 0; at < bytes.size(); at++) {
      if (is_in(entry.out, at)) bytes[at] = fill;
    }
    bytes.resize(bytes.size() + 64, 0xcc);  // beyond the size that the struct gives
    const auto before = bytes;
    accepted(entry, caller, bytes.data(), entry.name);
    for (size_t at = 0; at < bytes.size(); at++) {
      if (is_in(entry.out, at) || is_in(entry.in_out, at)) continue;
      same(bytes[at], before[at], fmt::format("{}: byte {}", entry.name, at));
    }
    for (const Range& range : entry.out) {
      for (uint32_t at = range.first; fill && at + 4 <= range.last; at += 4) {
        const uint32_t stale = fill * 0x01010101u;
        check(std::memcmp(bytes.data() + at, &stale, 4) != 0,
              fmt::format("{}: word at {} is what the caller left", entry.name, at));
      }
    }
    seen.push_back(bytes);
  }
  for (size_t at = 0; entry.steady && at < seen[0].size(); at++) {
    if (is_in(entry.in_out, at)) continue;
    check(seen[0][at] == seen[1][at] && seen[1][at] == seen[2][at],
          fmt::format("{}: stale byte {}", entry.name, at));
  }
}

GUEST_TEST(names_end_in_zeros) {
  const Fd fd = open_edu();
  struct sluice_info info = {};
  info.size = sizeof(info);
  error_is(call(fd.get(), SLUICE_IOC_INFO, &info), 0, "INFO");
  for (size_t at = std::strlen(info.name); at < sizeof(info.name); at++) {
    same(static_cast<uint8_t>(info.name[at]), 0, "after the name");
  }
}

GUEST_TEST(failed_calls_write_nothing) {
  const Fd fd = open_edu();
  auto arg = reg(0, 2, 32, 0xaaaaaaaa);
  const auto before = arg;
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &arg), EINVAL, "misaligned");
  check(std::memcmp(&arg, &before, sizeof(arg)) == 0, "the argument was changed");
}

GUEST_TEST(register_bounds) {
  const Fd fd = open_edu();
  const uint64_t length = 1 << 20;
  const auto read = [&](uint32_t window, uint64_t offset, uint32_t width) {
    auto arg = reg(window, offset, width);
    return call(fd.get(), SLUICE_IOC_REG_READ, &arg);
  };
  for (const uint32_t width : {0u, 1u, 7u, 12u, 24u, 33u, 63u, 65u, 128u, 256u, ~0u}) {
    error_is(read(0, 0, width), EINVAL, fmt::format("width {}", width));
  }
  error_is(read(0, 1, 16), EINVAL, "offset 1, 16 bits");
  error_is(read(0, 2, 32), EINVAL, "offset 2, 32 bits");
  error_is(read(0, 4, 64), EINVAL, "offset 4, 64 bits");
  error_is(read(0, length - 4, 32), 0, "the last register");
  error_is(read(0, length, 32), ERANGE, "just past the end");
  error_is(read(0, length, 8), ERANGE, "one byte past the end");
  for (const uint64_t offset : {uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63,
                                ~uint64_t{7}, uint64_t{0} - length}) {
    error_is(read(0, offset, 32), ERANGE, fmt::format("offset {:#x}", offset));
    error_is(read(0, offset, 64), ERANGE, fmt::format("offset {:#x}", offset));
  }
  for (const uint32_t window : {1u, 2u, 6u, 0x80000000u, ~0u}) {
    error_is(read(window, 0, 32), EINVAL, fmt::format("window {}", window));
  }
  for (const uint32_t width : {8u, 16u, 32u}) {
    auto arg = reg(0, kLiveness, width, uint64_t{1} << width);
    error_is(call(fd.get(), SLUICE_IOC_REG_WRITE, &arg), EINVAL, "a value beyond the width");
  }
}

GUEST_TEST(access_modes_are_kept) {
  const Fd reader = open_edu(O_RDONLY), writer = open_edu(O_WRONLY);
  auto arg = reg(0, kLiveness, 32, 1);
  error_is(call(reader.get(), SLUICE_IOC_REG_READ, &arg), 0, "read by a reader");
  error_is(call(reader.get(), SLUICE_IOC_REG_WRITE, &arg), EBADF, "write by a reader");
  arg = reg(0, kLiveness, 32, 1);
  error_is(call(writer.get(), SLUICE_IOC_REG_WRITE, &arg), 0, "write by a writer");
  error_is(call(writer.get(), SLUICE_IOC_REG_READ, &arg), EBADF, "read by a writer");
}

GUEST_TEST(not_a_file_to_read_or_seek) {
  const Fd fd = open_edu();
  char byte = 0;
  check(::read(fd.get(), &byte, 1) == -1 && errno == EINVAL, "read");
  check(::write(fd.get(), &byte, 1) == -1 && errno == EINVAL, "write");
  check(::pread(fd.get(), &byte, 1, 0) == -1, "pread");
  check(::lseek(fd.get(), 0, SEEK_SET) == -1 && errno == ESPIPE, "lseek");
}

GUEST_TEST(interrupts_of_a_board_without_a_line) {
  const Fd fd(node_of(kIvshmem), O_RDWR);
  struct sluice_irq arg = {};
  arg.size = sizeof(arg);
  arg.flags = SLUICE_IRQ_ENABLE;
  error_is(call(fd.get(), SLUICE_IOC_IRQ, &arg), ENXIO, "IRQ");
}

}  // namespace
