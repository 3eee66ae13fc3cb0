// SPDX-License-Identifier: Apache-2.0
// Clocks of a board with the Device Interface: what is set, what is refused, what goes on
// meanwhile; and what sysfs and debugfs show.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest_sdi.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

constexpr uint32_t kMhz = 1000000;

std::string attribute(const char* name) {
  const std::string node = node_of(kBoard);
  return read_file("/sys/class/misc/" + node.substr(5) + "/" + name);
}

SDI_TEST(the_rated_clock_is_set_when_a_board_is_bound) {
  const auto clock = must(open_board(kBoard).clock());
  same(clock.system_hz, clock.rated_hz, "system clock");
  same(clock.source, SLUICE_SDI_CLOCK_SOURCE_PLL, "source");
  same(clock.wait_states, (clock.rated_hz - 1) / (30 * kMhz), "wait states");
  same(uint64_t{clock.hse_hz} / clock.m * clock.n / clock.p, clock.system_hz, "dividers");
  check(attribute("clock/system_hz") == fmt::format("{}\n", clock.rated_hz), "sysfs");
  check(attribute("clock/source") == "pll\n", "sysfs: source");
}

std::string sensors() {
  const std::string folder = std::string("/sys/bus/pci/devices/") + kBoard + "/hwmon/";
  for (int i = 0; i < 16; i++) {
    const std::string path = fmt::format("{}hwmon{}/", folder, i);
    if (exists(path)) return path;
  }
  return "";
}

SDI_TEST(sensors_show_the_clocks) {
  const std::string path = sensors();
  check(!path.empty(), "there are no sensors");
  check(read_file(path + "name") == "sluice\n", "name");
  check(read_file(path + "freq1_label") == "system\n", "label");
  {
    sluice::Device board = open_board(kBoard);
    const auto before = must(board.clock());
    must(board.set_clock(100 * kMhz));
    must(board.set_timer(3, 1 * kMhz));
    const auto now = must(board.clock());
    const uint64_t shown[] = {now.system_hz,   now.bus_hz[0],   now.bus_hz[1],  now.timer_hz[0],
                              now.timer_hz[1], now.timer_hz[2], now.timer_hz[3]};
    for (size_t i = 0; i < std::size(shown); i++) {
      same(std::stoull(read_file(fmt::format("{}freq{}_input", path, i + 1))), shown[i],
           fmt::format("sensor {}", i + 1));
    }
    must(board.set_clock(before.rated_hz));
  }
  // They go before the board does, whoever reads them.
  const Fd held(path + "freq1_input", O_RDONLY);
  unbind_board(kBoard);
  check(sensors().empty(), "sensors of a board that is gone");
  char byte = 0;
  check(::pread(held.get(), &byte, 1, 0) < 0 && errno == ENODEV, "an old file can be read");
  bind_board(kBoard);
  check(std::stoull(read_file(sensors() + "freq1_input")) > 0, "no sensors after binding again");
}

SDI_TEST(clocks_are_set_and_refused) {
  sluice::Device board = open_board(kBoard);
  const auto before = must(board.clock());
  must(board.set_timer(0, 1 * kMhz));
  for (const uint32_t mhz : {16u, 100u, 48u, 150u, 168u}) {
    const auto now = must(board.set_clock(mhz * kMhz), fmt::format("{} MHz", mhz));
    same(now.system_hz, mhz * kMhz, "system clock");
    same(now.wait_states, (mhz * kMhz - 1) / (30 * kMhz), "wait states");
    same(now.timer_hz[0], 1 * kMhz, "the timer keeps its frequency");
  }
  must_fail(board.set_clock(216 * kMhz), EPERM, {"rated", "boost"});
  same(must(board.set_clock(216 * kMhz, true)).system_hz, 216 * kMhz, "boost");
  must_fail(board.set_clock(217 * kMhz, true), ERANGE, {"217000000"});
  must_fail(board.set_clock(167'999'999), EDOM, {"nearest", "168000000"});
  must_fail(board.set_timer(4, 1), EINVAL, {"timer 4"});
  must_fail(board.set_timer(1, 0), EINVAL, {"above 0"});
  must_fail(board.set_timer(1, 1), ERANGE, {"timer 1"});
  must(board.set_clock(before.rated_hz));
  same(in_child([&] {
         check(::setgid(900) == 0 && ::setuid(1000) == 0, "cannot become somebody else");
         must_fail(board.set_clock(100 * kMhz), EPERM, {"root"});
         must(board.clock());
       }),
       0, "as a user");
  must_fail(sluice::Device::open("/dev/null"), ENOTTY, {"/dev/null"});
}

SDI_TEST(entries_survive_a_change_of_clocks) {
  std::atomic<bool> stop{false};
  std::string why;
  std::atomic<uint32_t> n{0};
  std::thread user([&] {
    try {
      const Fd fd(node_of(kBoard), O_RDWR);
      const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
      const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 2 << 20);
      error_is(grant(fd.get(), queue.handle, 0, memory, 0, 2 << 20), 0, "GRANT");
      const auto entry = copy(1, SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(0, 1 << 20), 1 << 20);
      while (!stop) {
        for (const auto& done : run(fd.get(), queue.handle, {entry, entry, entry})) {
          same(done.status, SLUICE_SDI_OK, "status");
          n++;
        }
      }
    } catch (const std::exception& error) {
      why = error.what();
    }
  });
  sluice::Device board = open_board(kBoard);
  std::string failed;
  // At least so often, and until enough went through in between.
  for (int i = 0; (i < 12 || n < 20) && i < 2000 && failed.empty(); i++) {
    const auto now = board.set_clock((i % 2 ? 168 : 60) * kMhz);
    if (!now) failed = now.error().message;
  }
  stop = true;
  user.join();
  check(failed.empty(), failed);
  check(why.empty(), why);
  check(n >= 20, "entries hardly get through");
}

SDI_TEST(a_board_shows_itself) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 3 * kPage);
  error_is(grant(fd.get(), queue.handle, 2, memory, kPage, kPage, SLUICE_GRANT_READ), 0, "GRANT");
  map_object(fd.get(), memory, kPage);
  check(attribute("state") == "live\n", "state");
  check(attribute("queues") == "7\n" && attribute("queues_free") == "6\n", "queues");
  const auto info = info_of(fd.get());
  check(attribute("memory_free") == fmt::format("{}\n", info.memory_size - 3 * kPage), "memory");
  const std::string folder = "/sys/kernel/debug/sluice/" + node_of(kBoard).substr(5) + "/";
  const auto shows = [&](const char* file, const std::string& text) {
    const std::string all = read_file(folder + file);
    check(all.find(text) != all.npos, fmt::format("{}: no '{}' in '{}'", file, text, all));
  };
  shows("queues", fmt::format("queue {}: driver's rings of 16, 8 segments", queue.index));
  shows("segments", fmt::format("queue {} segment 2: r- device, length 0x1000", queue.index));
  shows("mappings", fmt::format("pid {}: ", ::getpid()));
  shows("mappings", "write-combined as write-combined");
}

SDI_TEST(queues_are_traced) {
  const std::string events = "/sys/kernel/tracing/events/sluice/enable";
  error_is(write_file(events, "1"), 0, events);
  {
    const Fd fd(node_of(kBoard), O_RDWR);
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
    run(fd.get(), queue.handle, {nop(0x1234)});
    same(run(fd.get(), queue.handle, {copy(9, 0, 64, 64)})[0].status, SLUICE_SDI_E_SEGMENT,
         "status");
    ::usleep(200000);
    must(open_board(kBoard).set_clock(168 * kMhz));
    error_is(reset(fd.get()), 0, "RESET");
  }
  write_file(events, "0");
  const std::string trace = read_file("/sys/kernel/tracing/trace");
  for (const char* line :
       {"queue=0 index=0 opcode=0 id=4660", "queue=0 id=4660 status=0", "first: status=3 queue=0",
        "wanted=168000000 now=168000000 result=0", "sluice_reset: "}) {
    check(trace.find(line) != std::string::npos, std::string("no line ") + line);
  }
}

}  // namespace
