// SPDX-License-Identifier: Apache-2.0
// The edu board and its neighbours through the public library: registers, mappings, interrupts,
// and errors that say what is wrong.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "guest.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;
using sluice::Device;
using sluice::Mapping;

GUEST_TEST(no_board_is_taken_unasked) {
  check(must(Device::list()).empty(), "a board was bound without being asked for");
}

GUEST_TEST(driver_override_binds_a_board) {
  for (const char* name : {kEdu, kEduPairA, kEduPairB, kEduBehindPort, kIvshmem}) bind_board(name);
  struct stat status = {};
  check(::stat(node_of(kEdu).c_str(), &status) == 0, "no device file");
  same(status.st_mode & 0777, 0660, "mode of the device file");
}

GUEST_TEST(new_id_binds_a_board) {
  error_is(write_file("/sys/bus/pci/drivers/sluice/new_id", "1b36 0005"), 0, "new_id");
  same(must(open_board(kTestdev).info()).vendor, 0x1b36, "vendor");
}

GUEST_TEST(a_bridge_is_refused) {
  const std::string device = std::string("/sys/bus/pci/devices/") + kRootPort;
  error_is(write_file(device + "/driver_override", "sluice"), 0, "driver_override");
  if (exists(device + "/driver")) {
    error_is(write_file(device + "/driver/unbind", kRootPort), 0, "unbind");
  }
  check(write_file("/sys/bus/pci/drivers/sluice/bind", kRootPort) != 0, "a bridge was bound");
  write_file(device + "/driver_override", "\n");
  write_file("/sys/bus/pci/drivers_probe", kRootPort);
}

GUEST_TEST(info_names_the_board) {
  const auto info = must(open_board(kEdu).info());
  check(info.name == kEdu, "bus name " + info.name);
  same(info.vendor, 0x1234, "vendor");
  same(info.device, 0x11e8, "device");
  same(info.class_revision, 0x00ff0010, "class and revision");
  same(info.abi_version, SLUICE_ABI_VERSION, "ABI version");
  same(info.n_windows, 1, "windows");
  check(info.kind == sluice::BoardKind::kPlain && info.bus == sluice::BusKind::kPci, "kind");
  check(info.has_irq, "no interrupt line");
}

GUEST_TEST(windows_are_described) {
  const auto edu = must(open_board(kEdu).windows());
  same(edu.size(), 1, "windows of edu");
  check(edu[0].kind == sluice::WindowKind::kRegisters && edu[0].can_map && edu[0].can_write, "edu");
  same(edu[0].length, 1 << 20, "length");
  same(edu[0].bar, 0, "BAR");
  const auto shm = must(open_board(kIvshmem).windows());
  check(shm.back().kind == sluice::WindowKind::kMemory && shm.back().bar == 2, "memory window");
  const auto ports = must(open_board(kTestdev).windows());
  check(ports[1].kind == sluice::WindowKind::kPort && !ports[1].can_map, "port window");
}

GUEST_TEST(bus_mastering_is_off) {
  // Turned on behind the driver's back it shows, and binding turns it off.
  const std::string config = std::string("/sys/bus/pci/devices/") + kEdu + "/config";
  unbind_board(kEdu);
  const uint16_t on = pci_command(kEdu) | 0x4;
  {
    const Fd fd(config, O_WRONLY);
    check(::pwrite(fd.get(), &on, 2, 4) == 2, "cannot write the command register");
  }
  same(pci_command(kEdu) & 0x4, 0x4, "bus master bit set by hand");
  bind_board(kEdu);
  same(pci_command(kEdu) & 0x4, 0, "bus master bit once bound");
  check(!must(open_board(kEdu).info()).bus_master, "info says that bus mastering is on");
  {
    const Fd fd(config, O_WRONLY);
    check(::pwrite(fd.get(), &on, 2, 4) == 2, "cannot write the command register");
  }
  check(must(open_board(kEdu).info()).bus_master, "info does not see bus mastering");
  unbind_board(kEdu);
  bind_board(kEdu);
  for (const char* name : {kEdu, kEduPairA, kEduPairB, kEduBehindPort, kIvshmem, kTestdev}) {
    same(pci_command(name) & 0x4, 0, std::string("bus master bit of ") + name);
  }
}

GUEST_TEST(id_by_ioctl_and_by_mapping) {
  const Device board = open_board(kEdu);
  same(must(board.read_register(0, kId)), kEduIdentification, "by ioctl");
  const Mapping mapping = must(board.map(0));
  same(mapping.size(), 1 << 20, "size of the mapping");
  same(must(mapping.read(kId)), kEduIdentification, "by Mapping::read");
  same(*static_cast<volatile uint32_t*>(mapping.data()), kEduIdentification, "by a plain load");
}

GUEST_TEST(liveness_both_ways) {
  Device board = open_board(kEdu);
  Mapping mapping = must(board.map(0, 0, kPage));
  for (const uint32_t value : {0x00000000u, 0xffffffffu, 0x12345678u, 0xa5a5a5a5u}) {
    must(board.write_register(0, kLiveness, value), "ioctl write");
    same(must(board.read_register(0, kLiveness)), ~value, "ioctl, ioctl");
    same(must(mapping.read(kLiveness)), ~value, "ioctl, mapping");
    must(mapping.write(kLiveness, value ^ 0xff), "mapping write");
    same(must(mapping.read(kLiveness)), ~(value ^ 0xff), "mapping, mapping");
    same(must(board.read_register(0, kLiveness)), ~(value ^ 0xff), "mapping, ioctl");
  }
}

GUEST_TEST(factorial_by_registers) {
  Device board = open_board(kEdu);
  must(board.write_register(0, kStatus, 0));
  must(board.write_register(0, kFactorial, 10));
  while (must(board.read_register(0, kStatus)) & kStatusBusy) ::usleep(1000);
  same(must(board.read_register(0, kFactorial)), 3628800, "10!");
  Mapping mapping = must(board.map(0, 0, kPage));
  must(mapping.write(kFactorial, 12));
  while (must(mapping.read(kStatus)) & kStatusBusy) ::usleep(1000);
  same(must(mapping.read(kFactorial)), 479001600, "12!");
}

GUEST_TEST(interrupt_wakes_poll) {
  Device board = open_board(kEdu);
  const uint64_t before = must(board.arm_interrupt());
  check(!must(board.wait_interrupt(100ms)), "an interrupt from nowhere");
  must(board.write_register(0, kIrqRaise, 0x1));
  const auto count = must(board.wait_interrupt(5s));
  check(count.has_value(), "no interrupt arrived");
  same(*count, before + 1, "count");
  same(must(board.info()).irq_count, before + 1, "count of info");
  same(must(board.read_register(0, kIrqStatus)), 0x1, "the board's interrupt status");
  must(board.write_register(0, kIrqAck, 0x1));
  same(must(board.arm_interrupt()), before + 1, "count when re-armed");
  check(!must(board.wait_interrupt(100ms)), "woken without a new interrupt");
}

GUEST_TEST(interrupt_of_the_factorial) {
  Device board = open_board(kEdu);
  Mapping mapping = must(board.map(0, 0, kPage));
  must(mapping.write(kStatus, kStatusIrq));
  const uint64_t before = must(board.arm_interrupt());
  must(mapping.write(kFactorial, 5));
  const auto count = must(board.wait_interrupt(5s));
  check(count && *count == before + 1, "no interrupt at the end of the computation");
  same(must(mapping.read(kFactorial)), 120, "5!");
  must(mapping.write(kIrqAck, must(mapping.read(kIrqStatus))));
  must(mapping.write(kStatus, 0));
}

GUEST_TEST(interrupt_stays_masked_until_armed) {
  Device board = open_board(kEdu);
  const uint64_t before = must(board.arm_interrupt());
  must(board.write_register(0, kIrqRaise, 0x2));
  check(must(board.wait_interrupt(5s)).has_value(), "first");
  must(board.write_register(0, kIrqRaise, 0x4));
  ::usleep(50000);
  same(must(board.info()).irq_count, before + 1, "one count while the line is masked");
  // The request is still up: arming finds it at once.
  same(must(board.arm_interrupt()), before + 1, "count when armed with the line up");
  same(must(board.wait_interrupt(5s)).value_or(0), before + 2, "the pending request");
  must(board.write_register(0, kIrqAck, 0x6));
  must(board.arm_interrupt());
  check(!must(board.wait_interrupt(50ms)), "an interrupt after the acknowledgement");
}

GUEST_TEST(interrupt_wakes_every_file) {
  Device one = open_board(kEdu);
  Device two = open_board(kEdu, true);
  must(one.arm_interrupt());
  must(two.arm_interrupt());
  must(one.write_register(0, kIrqRaise, 0x1));
  check(must(one.wait_interrupt(5s)).has_value(), "first file");
  check(must(two.wait_interrupt(5s)).has_value(), "second file");
  must(one.write_register(0, kIrqAck, 0x1));
  must(one.arm_interrupt());
  pollfd fds = {two.fd(), POLLIN, 0};
  same(::poll(&fds, 1, 0), 1, "the second file has not looked yet");
  must(two.arm_interrupt());
  same(::poll(&fds, 1, 0), 0, "the second file has looked");
}

GUEST_TEST(interrupt_line_is_shared_politely) {
  Device a = open_board(kEduPairA), b = open_board(kEduPairB);
  const auto irq = [](const char* name) {
    return read_file(std::string("/sys/bus/pci/devices/") + name + "/irq");
  };
  check(irq(kEduPairA) == irq(kEduPairB), "the pair does not share a line");
  const uint64_t a_before = must(a.arm_interrupt()), b_before = must(b.arm_interrupt());
  for (int i = 0; i < 20; i++) {
    must(b.write_register(0, kIrqRaise, 1));
    check(must(b.wait_interrupt(5s)).has_value(), "b's interrupt");
    must(b.write_register(0, kIrqAck, 1));
    must(b.arm_interrupt());
  }
  same(must(b.info()).irq_count, b_before + 20, "b's count");
  same(must(a.info()).irq_count, a_before, "a's count");
  // a's request stays up, masked, while b goes on: it is counted once.
  must(a.write_register(0, kIrqRaise, 1));
  check(must(a.wait_interrupt(5s)).has_value(), "a's interrupt");
  must(b.write_register(0, kIrqRaise, 1));
  check(must(b.wait_interrupt(5s)).has_value(), "b's interrupt beside a's");
  same(must(a.info()).irq_count, a_before + 1, "a's count with its line masked");
  must(a.write_register(0, kIrqAck, 1));
  must(b.write_register(0, kIrqAck, 1));
}

GUEST_TEST(every_width_by_ioctl_and_by_mapping) {
  Device board = open_board(kIvshmem);
  const uint32_t window = must(board.info()).n_windows - 1;
  Mapping mapping = must(board.map(window, kPage, kPage));
  constexpr uint64_t kPattern = 0x8877665544332211;
  for (const unsigned width : {8u, 16u, 32u, 64u}) {
    const uint64_t mask = ~uint64_t{0} >> (64 - width);
    must(board.write_register(window, kPage, kPattern, 64));
    same(must(mapping.read(0, width)), kPattern & mask, fmt::format("mapping, {} bits", width));
    same(must(board.read_register(window, kPage, width)), kPattern & mask, "ioctl");
    // Only that many bits are written.
    must(board.write_register(window, kPage, 0, width));
    same(must(board.read_register(window, kPage, 64)), kPattern & ~mask, "written by ioctl");
    must(mapping.write(0, kPattern, 64));
    must(mapping.write(0, 0, width));
    same(must(mapping.read(0, 64)), kPattern & ~mask, "written by mapping");
  }
  must(board.write_register(window, (1 << 20) - 1, 0x5a, 8), "the last byte");
  same(must(board.read_register(window, (1 << 20) - 1, 8)), 0x5a, "the last byte");
}

GUEST_TEST(ports_by_ioctl_only) {
  Device board = open_board(kTestdev);
  // Byte 0 of the test device selects a test; byte 4 on is its header and starts with an offset.
  must(board.write_register(1, 0, 0, 8));
  must(board.read_register(1, 8, 32));
  must(board.read_register(1, 8, 16));
  must_fail(board.read_register(1, 8, 64), EOPNOTSUPP, {"window 1", "64-bit"});
  must_fail(board.map(1), EOPNOTSUPP, {"window 1", "I/O ports"});
}

GUEST_TEST(window_smaller_than_a_page) {
  Device board = open_board(kIvshmem);
  const auto window = must(board.window(0));
  same(window.length, 256, "length of the small window");
  check(window.can_map, "cannot be mapped");
  Mapping mapping = must(board.map(0));
  same(mapping.size(), 256, "size of the mapping");
  must_fail(mapping.read(256), ERANGE, {"0x100"});
  check(read_file("/proc/iomem").find("sluice (rest of page)") != std::string::npos,
        "the rest of the page is not reserved");
}

GUEST_TEST(errors_say_what_is_wrong) {
  Device board = open_board(kEdu);
  const std::string path = node_of(kEdu);
  must_fail(board.read_register(0, 1 << 20), ERANGE, {path.c_str(), "window 0", "0x100000"});
  must_fail(board.read_register(0, ~uint64_t{3}), ERANGE, {"0xfffffffffffffffc"});
  must_fail(board.read_register(0, 2), EINVAL, {"offset 0x2", "multiple of 4"});
  must_fail(board.read_register(0, 0, 24), EINVAL, {"width 24", "8, 16, 32 or 64"});
  must_fail(board.read_register(7, 0), ENXIO, {"window 7", "has 1"});
  must_fail(board.write_register(0, kLiveness, uint64_t{1} << 32), EINVAL, {"0x100000000", "32"});
  must_fail(board.window(1), ENXIO, {"window 1"});
  must_fail(board.map(0, 0, (1 << 20) + 1), ERANGE, {"0x100001", "0x100000"});
  must_fail(board.map(0, 1 << 20), ERANGE, {"0x100000"});
  must_fail(board.map(0, 12), EINVAL, {"0xc", "page size"});
  must_fail(board.map(1), ENXIO, {"window 1"});
  Mapping mapping = must(board.map(0, 0, kPage, sluice::MemoryType::kUncached, true));
  must_fail(mapping.write(kLiveness, 1), EACCES, {"read-only"});
  must_fail(mapping.read(kPage), ERANGE, {"0x1000"});
  const Device reader = open_board(kEdu, true);
  must_fail(reader.map(0), EACCES, {path.c_str(), "read-only"});
  Device writer = open_board(kEdu, true);
  must_fail(writer.write_register(0, kLiveness, 1), EBADF, {path.c_str(), "read-only"});
  must_fail(Device::open("/dev/null"), ENOTTY, {"/dev/null"});
  must_fail(Device::open("/dev/sluice99"), ENOENT, {"/dev/sluice99"});
}

GUEST_TEST(outside_the_group_is_refused) {
  // What packaging/udev does on a machine with udev.
  constexpr gid_t kGroup = 900;  // sluice, in the guest's /etc/group
  for (const auto& board : must(Device::list())) {
    check(::chown(board.path.c_str(), 0, kGroup) == 0, "chown");
  }
  const std::string path = node_of(kEdu);
  const auto as = [&](gid_t gid, const std::function<void()>& body) {
    return in_child([&] {
      check(::setgid(gid) == 0 && ::setuid(1000) == 0, "cannot become somebody else");
      body();
    });
  };
  same(as(1000,
          [&] {
            must_fail(Device::open(path), EACCES, {path.c_str(), "group sluice"});
            must_fail(Device::open(path, true), EACCES, {"group sluice"});
            std::vector<sluice::Error> skipped;
            check(must(Device::list(&skipped)).empty(), "a board that may not be opened is listed");
            check(!skipped.empty() && skipped[0].code == EACCES, "no reason is given");
          }),
       0, "outside the group");
  same(as(kGroup,
          [&] {
            const Device board = must(Device::open(path));
            same(must(board.read_register(0, kId)), kEduIdentification, "id");
            same(must(must(board.map(0, 0, kPage)).read(kId)), kEduIdentification, "mapped id");
          }),
       0, "inside the group");
}

GUEST_TEST(accesses_are_traced) {
  const std::string events = "/sys/kernel/tracing/events/sluice/enable";
  error_is(write_file(events, "1"), 0, events);
  Device board = open_board(kEdu);
  must(board.write_register(0, kLiveness, 0x600d));
  must(board.read_register(0, kLiveness));
  must(board.map(0, 0, kPage));
  write_file(events, "0");
  const std::string trace = read_file("/sys/kernel/tracing/trace");
  for (const char* line : {"sluice_reg_write: sluice0 window=0 offset=0x4 width=32 value=0x600d",
                           "sluice_reg_read: sluice0 window=0 offset=0x4 width=32 value=0xffff9ff2",
                           "sluice_map: sluice0 address="}) {
    check(trace.find(line) != std::string::npos, std::string("no line ") + line);
  }
}

}  // namespace
