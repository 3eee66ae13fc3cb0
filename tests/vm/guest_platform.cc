// SPDX-License-Identifier: Apache-2.0
// Boards of the module parameter plain=: the registers of a PCI function that nobody has, given by
// their physical address; and what is refused. The module is not loaded when these begin.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "guest.h"

namespace {

using namespace guest;

const std::string kPlatformDriver = "/sys/bus/platform/drivers/sluice/";
constexpr char kFirst[] = "sluice-plain.0", kSecond[] = "sluice-plain.1";
constexpr uint64_t kEduBytes = 1 << 20;

uint64_t address_of(const char* bus_name) {
  return std::stoull(read_file(std::string("/sys/bus/pci/devices/") + bus_name + "/resource"),
                     nullptr, 16);
}

// 0 or an errno value.
int load(const std::string& parameters) {
  const Fd file("/sluice.ko", O_RDONLY);
  return ::syscall(SYS_finit_module, file.get(), parameters.c_str(), 0) == 0 ? 0 : errno;
}

void unload() {
  check(::syscall(SYS_delete_module, "sluice", O_NONBLOCK) == 0, "the module cannot be removed");
}

// From now on the driver of PCI functions leaves this one alone.
void keep_free(const char* bus_name) {
  const std::string device = std::string("/sys/bus/pci/devices/") + bus_name;
  error_is(write_file(device + "/driver_override", "nobody"), 0, "driver_override");
}

void check_nothing_is_left() {
  check(read_file("/proc/modules").find("sluice") == std::string::npos, "the module is loaded");
  check(read_file("/proc/iomem").find("sluice") == std::string::npos, "a region is left");
  check(!exists(std::string("/sys/bus/platform/devices/") + kFirst), "a device is left");
}

struct sluice_info info_of(int fd) {
  struct sluice_info info = {};
  info.size = sizeof(info);
  error_is(call(fd, SLUICE_IOC_INFO, &info), 0, "INFO");
  return info;
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  check(pipe != nullptr, "popen");
  std::string text;
  char part[512];
  while (const size_t n = std::fread(part, 1, sizeof(part), pipe)) text.append(part, n);
  ::pclose(pipe);
  return text;
}

void shows(const std::string& text, const std::string& words) {
  check(text.find(words) != text.npos, fmt::format("no '{}' in '{}'", words, text));
}

// What a board without a bus of its own can and cannot do.
void check_is_plain_platform_board() {
  const Fd fd(node_of(kFirst), O_RDWR);
  const auto info = info_of(fd.get());
  same(info.bus, SLUICE_BUS_PLATFORM, "bus");
  same(info.kind, SLUICE_BOARD_PLAIN, "kind");
  same(info.n_windows, 1, "windows");
  same(info.vendor | info.device | info.class_revision | info.state, 0, "numbers and state");
  struct sluice_irq irq = {};
  irq.size = sizeof(irq);
  error_is(call(fd.get(), SLUICE_IOC_IRQ, &irq), ENXIO, "IRQ");
  struct sluice_reset reset = {};
  reset.size = sizeof(reset);
  error_is(call(fd.get(), SLUICE_IOC_RESET, &reset), EOPNOTSUPP, "RESET");
  struct sluice_alloc alloc = {};
  alloc.size = sizeof(alloc);
  alloc.kind = SLUICE_ALLOC_COHERENT;
  alloc.length = kPage;
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &alloc), EPERM, "ALLOC: it gets no memory");
  auto past = reg(0, kEduBytes, 32);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &past), ERANGE, "past the end");
}

void check_registers(const char* name) {
  const Fd fd(node_of(name), O_RDWR);
  auto id = reg(0, kId, 32);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &id), 0, "REG_READ");
  same(id.value, kEduIdentification, "identification by ioctl");
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE);
  same(at[kId / 4], kEduIdentification, "identification by mapping");
  at[kLiveness / 4] = 0x12345678;
  auto live = reg(0, kLiveness, 32);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &live), 0, "REG_READ");
  same(live.value, 0xedcba987, "what the mapping wrote");
  struct sluice_mapping_info mapped[4] = {};
  struct sluice_mappings list = {};
  list.size = sizeof(list);
  list.count = std::size(mapped);
  list.entries = reinterpret_cast<uint64_t>(mapped);
  error_is(call(fd.get(), SLUICE_IOC_MAPPINGS, &list), 0, "MAPPINGS");
  same(mapped[0].effective, SLUICE_MAP_UNCACHED, "memory type in effect");
  check(::munmap(const_cast<uint32_t*>(at), kPage) == 0, "munmap");
}

void check_comes_and_goes() {
  const std::string node = node_of(kFirst);
  const Fd fd(node, O_RDWR);
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ);
  same(static_cast<uint64_t>(signal_of_read(at)), 0, "a touch of the mapping");
  error_is(write_file(kPlatformDriver + "unbind", kFirst), 0, "unbind");
  same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "a touch of the mapping");
  auto id = reg(0, kId, 32);
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &id), ENODEV, "REG_READ of an old file");
  check(must(sluice::Device::list()).size() > 1, "the others have gone, too");
  error_is(write_file(kPlatformDriver + "bind", kFirst), 0, "bind");
  check(node_of(kFirst) == node, "it has another number now");
  error_is(call(fd.get(), SLUICE_IOC_REG_READ, &id), ENODEV, "REG_READ of an old file");
}

GUEST_TEST(ranges_of_a_parameter_become_boards) {
  keep_free(kEdu);
  keep_free(kEduPairA);
  // Beside them, boards on the PCI bus: all of them live side by side.
  error_is(load(fmt::format("plain={:#x}:{:#x},{:#x}:4096", address_of(kEdu), kEduBytes,
                            address_of(kEduPairA))),
           0, "load");
  check_is_plain_platform_board();
  check_registers(kFirst);
  check_registers(kSecond);
  same(must(open_board(kEduPairB).read_register(0, kId)), kEduIdentification, "on the PCI bus");
  check_comes_and_goes();
  check_registers(kFirst);
  shows(output_of("sluicectl list"), "sluice-plain.0 -          plain        1  no");
  const std::string info = output_of(std::string("sluicectl info -d ") + kFirst);
  shows(info, "sluice-plain.0 (platform)");
  shows(info, "window 0     registers, range 0, 1048576 bytes (0x100000), map, write");
  check(info.find("0000:0000") == info.npos, "numbers that it has not: " + info);
  // The claim holds against the function's own driver.
  error_is(write_file(std::string("/sys/bus/pci/devices/") + kEdu + "/driver_override", "sluice"),
           0, "driver_override");
  write_file("/sys/bus/pci/drivers_probe", kEdu);
  check(!exists(std::string("/sys/bus/pci/drivers/sluice/") + kEdu), "claimed twice");
  keep_free(kEdu);
}

// With every board of the test before still bound, and one open.
GUEST_TEST(boards_of_a_parameter_go_with_the_module) {
  check_registers(kSecond);
  unload();
  check_nothing_is_left();
  check(must(sluice::Device::list()).empty(), "a device file is left");
}

GUEST_TEST(ranges_that_make_no_sense_are_refused) {
  ::alarm(4 * time_limit());  // the module is loaded for each
  const std::string edu = fmt::format("{:#x}", address_of(kEdu));
  const std::string bound = fmt::format("{:#x}", address_of(kEduPairB));
  std::string many = "plain=" + edu + ":8";
  for (int i = 0; i < 16; i++) many += "," + edu + ":8";
  const struct {
    std::string value;
    int error;
    std::string words;  // what the kernel's log says
  } cases[] = {
      {"", EINVAL, "entry 0, ''"},
      {edu, EINVAL, "entry 0, '" + edu + "'"},
      {edu + ":", EINVAL, "expected <address>:<length>"},
      {":4096", EINVAL, "entry 0, ':4096'"},
      {edu + ":0", EINVAL, "entry 0, '" + edu + ":0'"},
      {edu + ":4096:1", EINVAL, "entry 0, '" + edu + ":4096:1'"},
      {edu + ":-1", EINVAL, "entry 0, '" + edu + ":-1'"},
      {edu + ":4k", EINVAL, "entry 0, '" + edu + ":4k'"},
      {"here:there", EINVAL, "entry 0, 'here:there'"},
      {edu + ":4096,nonsense", EINVAL, "entry 1, 'nonsense'"},
      {"0xfffffffffffffff8:9", EINVAL, "no such addresses"},
      {"0x10000000000000000:8", EINVAL, "entry 0, '0x10000000000000000:8'"},
      {"0x1000000000000000:4096", EINVAL, "0x1000 bytes at 0x1000000000000000: no such"},
      {edu + "0:0xffffffffffffffff", EINVAL, "no such addresses"},
      {"0x1000001:8", EINVAL, "a multiple of 8"},
      {"0x1000000:4096", EACCES, "memory, not registers"},
      {"0:0x100000000", EACCES, "memory, not registers"},
      {edu + ":4096," + edu + ":4096", EBUSY, "are in use"},
      {edu + ":4096,0x1000000:8", EACCES, "plain: entry 1, '0x1000000:8': refused"},
      {bound + ":4096", EBUSY, "plain: entry 0, '" + bound + ":4096': refused"},
  };
  for (size_t i = 0; i < std::size(cases); i++) {
    const std::string mark = fmt::format("case {} of plain", i);
    write_file("/dev/kmsg", mark + "\n");
    error_is(load("plain=" + cases[i].value), cases[i].error, "plain=" + cases[i].value);
    shows(output_of("dmesg | sed '1,/" + mark + "/d'"), cases[i].words);
    check_nothing_is_left();
  }
  error_is(load(many), EINVAL, "more entries than there may be");
  check_nothing_is_left();
  // A device that has no registers, whatever is asked for; not every kernel has this one.
  const std::string speaker = "/sys/bus/platform/devices/pcspkr/driver_override";
  error_is(load(""), 0, "load");
  if (exists(speaker)) {
    error_is(write_file(speaker, "sluice"), 0, "driver_override");
    check(write_file(kPlatformDriver + "bind", "pcspkr") != 0, "a board without registers");
    error_is(write_file(speaker, "\n"), 0, "driver_override");
  }
  unload();
  check_nothing_is_left();
}

}  // namespace
