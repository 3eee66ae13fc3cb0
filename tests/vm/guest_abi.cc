// SPDX-License-Identifier: Apache-2.0
// The ioctl ABI, called raw: sizes, flags, reserved words, hostile pointers, bounds and modes.
// The table below names every ioctl; each rule of uapi/sluice.h is tried on all of them.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "guest.h"

namespace {

using namespace guest;

struct Call {
  const char* name;
  unsigned long request;
  uint32_t size;
  uint32_t min_size;  // in version 1
  uint32_t reserved;  // offset of the reserved words
  uint32_t known_flags;
  uint32_t first_out;  // outputs begin here,
  uint32_t last_out;   // and end before that
};

constexpr Call kCalls[] = {
    {"INFO", SLUICE_IOC_INFO, sizeof(struct sluice_info), 96,
     offsetof(struct sluice_info, reserved), 0, offsetof(struct sluice_info, abi_version),
     offsetof(struct sluice_info, reserved)},
    {"WINDOW", SLUICE_IOC_WINDOW, sizeof(struct sluice_window), 48,
     offsetof(struct sluice_window, reserved), 0, offsetof(struct sluice_window, kind),
     offsetof(struct sluice_window, reserved)},
    {"REG_READ", SLUICE_IOC_REG_READ, sizeof(struct sluice_reg), 48,
     offsetof(struct sluice_reg, reserved), 0, offsetof(struct sluice_reg, value),
     offsetof(struct sluice_reg, reserved)},
    {"REG_WRITE", SLUICE_IOC_REG_WRITE, sizeof(struct sluice_reg), 48,
     offsetof(struct sluice_reg, reserved), 0, 0, 0},
    {"MAP", SLUICE_IOC_MAP, sizeof(struct sluice_map), 56, offsetof(struct sluice_map, reserved),
     SLUICE_MAP_OBJECT, offsetof(struct sluice_map, cookie), offsetof(struct sluice_map, reserved)},
    {"IRQ", SLUICE_IOC_IRQ, sizeof(struct sluice_irq), 32, offsetof(struct sluice_irq, reserved),
     SLUICE_IRQ_ENABLE, offsetof(struct sluice_irq, count), offsetof(struct sluice_irq, reserved)},
};

// A struct that the ioctl accepts, followed by `extra` bytes of zero.
std::vector<uint8_t> good_argument(const Call& entry, size_t extra = 0) {
  std::vector<uint8_t> bytes(entry.size + extra);
  if (entry.request == SLUICE_IOC_REG_READ || entry.request == SLUICE_IOC_REG_WRITE) {
    const auto arg = reg(0, kLiveness, 32);
    std::memcpy(bytes.data(), &arg, sizeof(arg));
  } else if (entry.request == SLUICE_IOC_MAP) {
    const auto arg = map_arg(0, 0, kPage);
    std::memcpy(bytes.data(), &arg, sizeof(arg));
  }
  const auto size = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &size, sizeof(size));
  return bytes;
}

Fd open_edu(int flags = O_RDWR) { return Fd(node_of(kEdu), flags); }

GUEST_TEST(good_arguments_are_accepted) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    auto bytes = good_argument(entry);
    error_is(call(fd.get(), entry.request, bytes.data()), 0, entry.name);
  }
}

GUEST_TEST(unknown_ioctls_are_refused) {
  const Fd fd = open_edu();
  auto bytes = good_argument(kCalls[0], 512);
  for (unsigned nr = 0x20; nr < 256; nr++) {
    error_is(call(fd.get(), _IOC(_IOC_READ | _IOC_WRITE, SLUICE_IOC_MAGIC, nr, 96), bytes.data()),
             ENOTTY, fmt::format("number {}", nr));
  }
  error_is(call(fd.get(), _IOC(_IOC_READ | _IOC_WRITE, 'x', 0, 96), bytes.data()), ENOTTY, "type");
  error_is(call(fd.get(), _IOC(_IOC_READ, SLUICE_IOC_MAGIC, 0, 96), bytes.data()), ENOTTY, "read");
  error_is(call(fd.get(), _IOC(_IOC_NONE, SLUICE_IOC_MAGIC, 0, 0), nullptr), ENOTTY, "none");
}

GUEST_TEST(unknown_flags_are_refused) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    for (unsigned bit = 0; bit < 32; bit++) {
      if (entry.known_flags >> bit & 1) continue;
      auto bytes = good_argument(entry);
      const uint32_t flags = 1u << bit;
      std::memcpy(bytes.data() + 4, &flags, 4);
      error_is(call(fd.get(), entry.request, bytes.data()), EINVAL,
               fmt::format("{} flag {}", entry.name, bit));
    }
  }
}

GUEST_TEST(reserved_words_must_be_zero) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    for (uint32_t at = entry.reserved; at < entry.reserved + 16; at++) {
      auto bytes = good_argument(entry);
      bytes[at] = 1;
      error_is(call(fd.get(), entry.request, bytes.data()), EINVAL,
               fmt::format("{} byte {}", entry.name, at));
    }
  }
}

GUEST_TEST(short_structs_are_refused) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    for (uint32_t size = 0; size < entry.min_size; size++) {
      auto bytes = good_argument(entry);
      std::memcpy(bytes.data(), &size, 4);
      error_is(call(fd.get(), entry.request, bytes.data()), EINVAL,
               fmt::format("{} of {} bytes", entry.name, size));
    }
  }
}

// A program that was built when the struct was shorter gets what it knows, and no byte more.
GUEST_TEST(structs_of_the_first_version_are_served) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    auto bytes = good_argument(entry);
    std::memcpy(bytes.data(), &entry.min_size, 4);
    std::memset(bytes.data() + entry.min_size, 0xcc, bytes.size() - entry.min_size);
    error_is(call(fd.get(), entry.request, bytes.data()), 0, entry.name);
    for (size_t at = entry.min_size; at < bytes.size(); at++) {
      same(bytes[at], 0xcc, fmt::format("{}: byte {}", entry.name, at));
    }
  }
}

GUEST_TEST(long_structs_must_end_in_zeros) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    for (const size_t extra : {1, 7, 8, 64, 1000}) {
      auto bytes = good_argument(entry, extra);
      // A caller built against a newer header has the larger size in the number, too.
      const unsigned long request =
          _IOC(_IOC_READ | _IOC_WRITE, SLUICE_IOC_MAGIC, _IOC_NR(entry.request), bytes.size());
      error_is(call(fd.get(), request, bytes.data()), 0, fmt::format("{} + {}", entry.name, extra));
      for (size_t at = entry.size; at < bytes.size(); at++) {
        same(bytes[at], 0, fmt::format("{}: byte {} after the call", entry.name, at));
      }
      bytes.back() = 1;
      error_is(call(fd.get(), request, bytes.data()), E2BIG,
               fmt::format("{} + {} with a tail", entry.name, extra));
    }
    auto bytes = good_argument(entry, 2 * kPage);
    error_is(call(fd.get(), entry.request, bytes.data()), E2BIG, "beyond a page");
  }
}

GUEST_TEST(garbage_is_refused) {
  const Fd fd = open_edu();
  for (const Call& entry : kCalls) {
    std::vector<uint8_t> bytes(2 * kPage, 0xff);
    error_is(call(fd.get(), entry.request, bytes.data()), E2BIG, entry.name);
    const uint32_t size = entry.size;
    std::memcpy(bytes.data(), &size, 4);
    error_is(call(fd.get(), entry.request, bytes.data()), EINVAL, entry.name);
  }
}

GUEST_TEST(random_arguments_do_no_harm) {
  const Fd fd = open_edu(O_RDONLY);  // writes are refused, whatever they say
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; i++) {
    const Call& entry = kCalls[random() % std::size(kCalls)];
    auto bytes = good_argument(entry);
    for (int n = static_cast<int>(random() % 6); n > 0; n--) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random() % 4 ? random() % 80 : 0xff);
    }
    const int error = call(fd.get(), entry.request, bytes.data());
    const bool known = error == 0 || error == EINVAL || error == ERANGE || error == E2BIG ||
                       error == EBADF || error == EOPNOTSUPP || error == ENOSPC || error == ENOENT;
    check(known, fmt::format("{}: error {}", entry.name, error));
  }
}

GUEST_TEST(arguments_beside_an_unmapped_page) {
  const Fd fd = open_edu();
  auto* pages = static_cast<uint8_t*>(
      ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::munmap(pages + kPage, kPage);
  for (const Call& entry : kCalls) {
    const auto bytes = good_argument(entry);
    uint8_t* end = pages + kPage;
    std::memcpy(end - bytes.size(), bytes.data(), bytes.size());
    error_is(call(fd.get(), entry.request, end - bytes.size()), 0, "struct ends with the page");
    for (const size_t missing : {size_t{1}, size_t{4}, bytes.size() - 4, bytes.size() - 1}) {
      std::memcpy(end - bytes.size() + missing, bytes.data(), bytes.size() - missing);
      error_is(call(fd.get(), entry.request, end - bytes.size() + missing), EFAULT,
               fmt::format("{}: {} bytes past the page", entry.name, missing));
    }
    error_is(call(fd.get(), entry.request, end), EFAULT, "unmapped");
    error_is(call(fd.get(), entry.request, nullptr), EFAULT, "null");
    error_is(call(fd.get(), entry.request, reinterpret_cast<void*>(0xffff888000000000)), EFAULT,
             "kernel address");
    std::memcpy(pages, bytes.data(), bytes.size());
    ::mprotect(pages, kPage, PROT_READ);
    error_is(call(fd.get(), entry.request, pages), EFAULT, "read-only memory");
    ::mprotect(pages, kPage, PROT_READ | PROT_WRITE);
  }
}

GUEST_TEST(no_stale_byte_comes_back) {
  const Fd fd = open_edu();
  // Outputs are the same whatever the caller left in them, and nothing else is touched.
  for (const Call& entry : kCalls) {
    std::vector<std::vector<uint8_t>> seen;
    for (const uint8_t fill : {0x00, 0xaa, 0x55}) {
      auto bytes = good_argument(entry, 0);
      std::memset(bytes.data() + entry.first_out, fill, entry.last_out - entry.first_out);
      bytes.resize(bytes.size() + 64, 0xcc);  // beyond the size that the struct gives
      const auto before = bytes;
      error_is(call(fd.get(), entry.request, bytes.data()), 0, entry.name);
      for (size_t at = 0; at < bytes.size(); at++) {
        const bool output = (at >= entry.first_out && at < entry.last_out) ||
                            (at >= entry.min_size && at < entry.size);
        if (!output) same(bytes[at], before[at], fmt::format("{}: byte {}", entry.name, at));
      }
      seen.push_back(bytes);
    }
    check(seen[0] == seen[1] && seen[1] == seen[2], std::string(entry.name) + ": stale output");
  }
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
