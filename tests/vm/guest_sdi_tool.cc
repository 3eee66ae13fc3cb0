// SPDX-License-Identifier: Apache-2.0
// sluicectl on boards with the Device Interface: what it changes, what it shows, whom it names.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "guest_sdi.h"

namespace {

using namespace guest;

struct Output {
  int status = -1;
  std::string text;  // standard output and standard error
};

Output sluicectl(const std::string& arguments) {
  FILE* pipe = ::popen(("sluicectl " + arguments + " 2>&1 </dev/null").c_str(), "r");
  check(pipe != nullptr, "popen");
  Output out;
  char part[512];
  while (const size_t n = std::fread(part, 1, sizeof(part), pipe)) out.text.append(part, n);
  const int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

void tool(int status, const std::string& arguments, std::initializer_list<std::string> words) {
  const Output out = sluicectl(arguments);
  check(out.status == status,
        fmt::format("sluicectl {}: status {}: {}", arguments, out.status, out.text));
  for (const std::string& word : words) {
    check(out.text.find(word) != out.text.npos,
          fmt::format("sluicectl {}: no '{}' in '{}'", arguments, word, out.text));
  }
}

const std::string kOn = std::string("-d ") + kBoard + " ";

// Which is dearer is the machine's business; that each way is measured is ours.
SDI_TEST(sluicectl_bench_measures_every_way) {
  ::alarm(4 * time_limit());  // it measures some seconds, on an idle machine, and does so twice
  tool(0, kOn + "bench",
       {"one 32-bit register read", "mmap ", "ioctl ", "batch ", "pread ", "data to device memory",
        "pwrite", "DMA", "copy + DMA", "  16777216 ", "fastest"});
  tool(0, kOn + "bench --json", {"\"register_read_ns\": {", "\"bytes\": 4,", "\"copy + DMA\": "});
  tool(1, kOn + "bench 2", {"offset 0x2", "multiple of 4"});
  same(info_of(Fd(node_of(kBoard), O_RDWR).get()).memory_free,
       info_of(Fd(node_of(kBoard), O_RDWR).get()).memory_size, "free memory");
}

SDI_TEST(sluicectl_resets_a_board) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const uint32_t before = info_of(fd.get()).n_resets;
  tool(0, kOn + "reset", {});
  same(info_of(fd.get()).n_resets, before + 1, "resets");
  tool(0, kOn + "reset --force --json", {fmt::format("\"resets\": {}", before + 2)});
}

SDI_TEST(sluicectl_changes_clocks) {
  const auto hz = [] { return must(open_board(kBoard).clock()).system_hz; };
  tool(0, kOn + "clk set 100MHz", {"system       100 MHz", "wait states  3"});
  same(hz(), 100000000, "after set 100MHz");
  tool(1, kOn + "clk set 167999999", {"167500000", "168000000"});
  tool(1, kOn + "clk set 217M --yes", {"217000000", "216000000"});
  tool(2, kOn + "clk set boost", {"216 MHz", "168 MHz", "--yes"});
  same(hz(), 100000000, "after what was refused");
  tool(0, kOn + "clk boost --yes --json", {"\"system_hz\": 216000000"});
  same(hz(), 216000000, "after boost");
  tool(0, kOn + "clk default", {"system       168 MHz"});
  tool(0, kOn + "clk show --json", {"\"system_hz\": 168000000", "\"source\": \"pll\""});
  tool(0, kOn + "timer 1 500kHz", {"500 kHz"});
  same(must(open_board(kBoard).clock()).timer_hz[1], 500000, "timer 1");
  tool(1, kOn + "timer 1 0", {"above 0"});
  tool(1, kOn + "timer 1 200MHz", {"200000000"});
  tool(1, kOn + "timer 4 1MHz", {"timer 4"});
}

SDI_TEST(sluicectl_top_shows_rates) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 1 << 20);
  error_is(grant(fd.get(), queue.handle, 0, memory, 0, 1 << 20), 0, "GRANT");
  const auto idle = sluicectl(kOn + "top -n 1 --interval 0.1 --json");
  check(idle.text.find("\"entries_per_second\":0.0") != idle.text.npos, idle.text);
  FILE* pipe = ::popen(("sluicectl " + kOn + "top -n 3 --interval 0.5 --json").c_str(), "r");
  check(pipe != nullptr, "popen");
  const auto entry = copy(1, SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(0, 1 << 19), 1 << 19);
  for (int i = 0; i < 20; i++) {
    run(fd.get(), queue.handle, {entry});
    ::usleep(100000);
  }
  std::string text;
  char part[512];
  while (const size_t n = std::fread(part, 1, sizeof(part), pipe)) text.append(part, n);
  same(::pclose(pipe), 0, "status");
  same(std::count(text.begin(), text.end(), '\n'), 3, "lines");
  for (const char* key : {"\"entries_per_second\":", "\"bytes_written_per_second\":"}) {
    size_t above_zero = 0;
    for (size_t at = text.find(key); at != text.npos; at = text.find(key, at + 1)) {
      above_zero += std::strtod(text.c_str() + at + std::string(key).size(), nullptr) > 0;
    }
    check(above_zero >= 2, std::string(key) + " is 0 under load: " + text);
  }
  check(text.find("\"queues_used\":1") != text.npos, text);
  tool(0, "top -n 1 --interval 0.1", {"ENTRIES/s", node_of(kBoard), "live", "168 MHz", "1/7"});
}

SDI_TEST(sluicectl_who_names_processes) {
  const Fd fd(node_of(kBoard), O_RDWR), second(node_of(kBoard), O_RDONLY);
  make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const auto user_queue = make_queue(fd.get());
  map_object(fd.get(), allocate(fd.get(), SLUICE_ALLOC_COHERENT, kPage), kPage);
  check(user_queue.handle != 0, "handle");
  const std::string row = fmt::format("{:<14} {:>7} {:<16} {:>5} {:>6} {:>8}", node_of(kBoard),
                                      ::getpid(), "guest_tests", 2, 2, 1);
  tool(0, kOn + "who", {"DEVICE", row});
  tool(0, "who", {row});
  tool(0, kOn + "who --json", {fmt::format("\"pid\": {}", ::getpid()), "\"queues\": 2"});
  same(in_child([&] {
         check(::setgid(900) == 0 && ::setuid(1000) == 0, "cannot become somebody else");
         tool(1, kOn + "who", {"only root"});
       }),
       0, "as a user");
}

}  // namespace
