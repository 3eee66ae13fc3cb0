// SPDX-License-Identifier: Apache-2.0
// The end of a board: unbinding, removal and reset while it is open, mapped, waited for and
// forked; and that nothing of it is left in the kernel afterwards.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>

#include "guest.h"
#include "guest_objects.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

const std::string kSys = "/sys/bus/pci/devices/";

// Everything that can be done with an open file of a board that has gone.
void check_gone(int fd) {
  auto arg = reg(0, kId, 32);
  error_is(call(fd, SLUICE_IOC_REG_READ, &arg), ENODEV, "REG_READ");
  const bool writable = (::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  error_is(call(fd, SLUICE_IOC_REG_WRITE, &arg), writable ? ENODEV : EBADF, "REG_WRITE");
  struct sluice_info info = {};
  info.size = sizeof(info);
  error_is(call(fd, SLUICE_IOC_INFO, &info), ENODEV, "INFO");
  struct sluice_window window = {};
  window.size = sizeof(window);
  error_is(call(fd, SLUICE_IOC_WINDOW, &window), ENODEV, "WINDOW");
  auto map = map_arg(0, 0, kPage);
  error_is(call(fd, SLUICE_IOC_MAP, &map), ENODEV, "MAP");
  struct sluice_irq irq = {};
  irq.size = sizeof(irq);
  error_is(call(fd, SLUICE_IOC_IRQ, &irq), ENODEV, "IRQ");
  pollfd poll_fd = {fd, POLLIN, 0};
  same(::poll(&poll_fd, 1, 0), 1, "poll");
  same(static_cast<uint64_t>(poll_fd.revents), POLLERR | POLLHUP, "poll events");
}

GUEST_TEST(unbinding_takes_mappings_back) {
  const Fd fd(node_of(kEdu), O_RDWR), reader(node_of(kEdu), O_RDONLY);
  auto arg = map_arg(0, 0, kPage);
  error_is(call(fd.get(), SLUICE_IOC_MAP, &arg), 0, "MAP");
  volatile uint32_t* all = map_window(fd.get(), 0, 1 << 20, PROT_READ | PROT_WRITE);
  volatile uint32_t* one = map_window(fd.get(), kPage, kPage, PROT_READ);
  volatile uint32_t* other = map_window(reader.get(), 0, kPage, PROT_READ);
  auto* moving = const_cast<uint32_t*>(map_window(fd.get(), 0, kPage, PROT_READ));
  void* place = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile uint32_t* moved =
      static_cast<uint32_t*>(::mremap(moving, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, place));
  volatile uint32_t* hidden = map_window(fd.get(), 0, kPage, PROT_READ);
  ::mprotect(const_cast<uint32_t*>(hidden), kPage, PROT_NONE);

  // A child holds the mappings, too, and waits for the end.
  int start[2];
  check(::pipe(start) == 0, "pipe");
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(10);
    char byte = 0;
    const bool told = ::read(start[0], &byte, 1) == 1;
    ::_exit(told && signal_of_read(all) == SIGBUS && signal_of_read(one) == SIGBUS ? 0 : 1);
  }
  same(*all, kEduIdentification, "id before");
  const Unbound unbound(kEdu);
  check(!exists("/dev/sluice0") || node_of(kEduPairA) == "/dev/sluice0", "the device file stays");

  ::mprotect(const_cast<uint32_t*>(hidden), kPage, PROT_READ);
  for (volatile uint32_t* at : {all, one, other, moved, hidden}) {
    same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "signal of a mapping");
  }
  check(::write(start[1], "x", 1) == 1, "pipe");
  int status = 0;
  ::waitpid(pid, &status, 0);
  same(status, 0, "the child's mappings");
  check_gone(fd.get());
  check_gone(reader.get());
  check(::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), arg.cookie) == MAP_FAILED &&
            errno == ENODEV,
        "mmap of an old cookie");
  check(::munmap(const_cast<uint32_t*>(all), 1 << 20) == 0, "munmap afterwards");

  // The board comes back under its old number; the old file does not come back to life.
  bind_board(kEdu);
  same(must(open_board(kEdu).read_register(0, kId)), kEduIdentification, "id once bound again");
  check_gone(fd.get());
}

GUEST_TEST(a_board_keeps_its_number) {
  const std::string node = node_of(kEdu), pair = node_of(kEduPairA);
  unbind_board(kEdu);
  unbind_board(kEduPairA);
  bind_board(kEduPairA);
  bind_board(kEdu);
  check(node_of(kEdu) == node && node_of(kEduPairA) == pair, "numbers changed");
}

GUEST_TEST(unbinding_wakes_sleepers) {
  sluice::Device board = open_board(kEdu);
  must(board.arm_interrupt());
  int code = 0;
  std::thread sleeper([&] {
    const auto result = board.wait_interrupt(15s);
    code = result ? 0 : result.error().code;
  });
  ::usleep(200000);
  const Unbound unbound(kEdu);
  sleeper.join();
  error_is(code, ENODEV, "the sleeper");
}

GUEST_TEST(removal_takes_mappings_back) {
  const Fd fd(node_of(kEduBehindPort), O_RDWR);
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE);
  same(*at, kEduIdentification, "id before");
  error_is(write_file(kSys + kEduBehindPort + "/remove", "1"), 0, "remove");
  same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "signal of the mapping");
  check_gone(fd.get());
  // The bus has forgotten the function, the file has not.
  sluice_reset reset{};
  reset.size = sizeof(reset);
  error_is(call(fd.get(), SLUICE_IOC_RESET, &reset), ENODEV, "reset of what is gone");
  error_is(write_file("/sys/bus/pci/rescan", "1"), 0, "rescan");
  bind_board(kEduBehindPort);
  same(must(open_board(kEduBehindPort).read_register(0, kId)), kEduIdentification, "id after");
  check_gone(fd.get());
}

GUEST_TEST(reset_takes_mappings_back) {
  sluice::Device board = open_board(kEduBehindPort);
  const Fd fd(node_of(kEduBehindPort), O_RDWR);
  volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ | PROT_WRITE);
  at[kLiveness / 4] = 0x1234;
  error_is(write_file(kSys + kEduBehindPort + "/reset", "1"), 0, "reset");
  same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "signal of the old mapping");
  // The file lives on, and so does the board.
  same(must(board.read_register(0, kId)), kEduIdentification, "id by the same file");
  same(*map_window(fd.get(), 0, kPage, PROT_READ), kEduIdentification, "id by a new mapping");
  same(pci_command(kEduBehindPort) & 0x4, 0, "bus master bit");
  const uint64_t before = must(board.arm_interrupt());
  must(board.write_register(0, kIrqRaise, 1));
  const auto count = must(board.wait_interrupt(5s));
  check(count && *count == before + 1, "no interrupt after the reset");
  must(board.write_register(0, kIrqAck, 1));
}

GUEST_TEST(an_open_file_holds_the_module) {
  const Fd fd(node_of(kEdu), O_RDONLY);
  const int status = in_child([] {
    ::close(STDERR_FILENO);  // the refusal is expected
    ::execl("/bin/rmmod", "rmmod", "sluice", nullptr);
  });
  check(status != 0, "the module was removed");
  check(exists("/sys/module/sluice"), "the module is gone");
}

// Uses a board in every way until told to stop; errors are expected, anything else is not.
void use_board(const std::string& path, const std::atomic<bool>& stop) {
  while (!stop) {
    const int raw = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (raw < 0) continue;
    const Fd fd(raw);
    auto arg = map_arg(0, 0, 16 * kPage);
    auto read = reg(0, kId, 32);
    if (call(fd.get(), SLUICE_IOC_REG_READ, &read) == 0) same(read.value, kEduIdentification, "id");
    if (call(fd.get(), SLUICE_IOC_MAP, &arg) != 0) continue;
    void* at = ::mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(),
                      static_cast<off_t>(arg.cookie));
    if (at == MAP_FAILED) continue;
    struct sluice_irq irq = {};
    irq.size = sizeof(irq);
    irq.flags = SLUICE_IRQ_ENABLE;
    call(fd.get(), SLUICE_IOC_IRQ, &irq);
    pollfd poll_fd = {fd.get(), POLLIN, 0};
    ::poll(&poll_fd, 1, 1);
    ::munmap(at, 16 * kPage);
  }
}

GUEST_TEST(unbinding_under_load) {
  const std::string path = node_of(kEdu);
  std::atomic<bool> stop{false};
  std::string why;
  std::thread user([&] {
    try {
      use_board(path, stop);
    } catch (const std::exception& error) {
      why = error.what();
    }
  });
  // A forking, touching process beside it: it may only ever die of SIGBUS.
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(time_limit());
    for (;;) {
      const int raw = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (raw < 0) continue;
      auto arg = map_arg(0, 0, kPage);
      if (call(raw, SLUICE_IOC_MAP, &arg) == 0) {
        void* at =
            ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, raw, static_cast<off_t>(arg.cookie));
        if (at != MAP_FAILED) {
          const pid_t child = ::fork();
          if (child == 0) {
            for (int i = 0; i < 50; i++) signal_of_read(static_cast<uint32_t*>(at));
            ::_exit(0);
          }
          signal_of_read(static_cast<uint32_t*>(at));
          ::munmap(at, kPage);
          ::waitpid(child, nullptr, 0);
        }
      }
      ::close(raw);
    }
  }
  for (int i = 0; i < 30; i++) {
    unbind_board(kEdu);
    bind_board(kEdu);
    ::usleep(5000);
  }
  stop = true;
  user.join();
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the forking process died");
  check(why.empty(), why);
  same(must(open_board(kEdu).read_register(0, kId)), kEduIdentification, "id afterwards");
}

// The allocations that the kernel still attributes to functions of the module, by slab tracking.
std::string allocations_of_the_module() {
  std::string found;
  for (const char* cache :
       {"kmalloc-8", "kmalloc-16", "kmalloc-32", "kmalloc-64", "kmalloc-96", "kmalloc-128",
        "kmalloc-192", "kmalloc-256", "kmalloc-512", "kmalloc-1k", "kmalloc-2k", "kmalloc-4k",
        "kmalloc-cg-32", "kmalloc-cg-64", "kmalloc-cg-96", "kmalloc-cg-128", "kmalloc-cg-192",
        "kmalloc-cg-256"}) {
    const std::string path = std::string("/sys/kernel/debug/slab/") + cache + "/alloc_traces";
    if (!exists(path)) continue;
    std::istringstream lines(read_file(path));
    for (std::string line; std::getline(lines, line);) {
      if (line.find(" sluice_") == line.npos || line.find("age=") == line.npos) continue;
      found += fmt::format("{}: {}; ", cache, line);
    }
  }
  return found;
}

GUEST_TEST(nothing_leaks) {
  {
    const Fd fd(node_of(kEdu), O_RDWR);
    volatile uint32_t* at = map_window(fd.get(), 0, kPage, PROT_READ);
    const std::string used = allocations_of_the_module();
    check(used.find("sluice_board_alloc") != used.npos, "a board's number is not tracked: " + used);
    Objects objects = live_objects();
    for (const char* kind : {"sluice_file", "sluice_range", "sluice_mapping"}) {
      same(objects[kind], 1, kind);
    }
    ::munmap(const_cast<uint32_t*>(at), kPage);
  }
  nothing_but_boards_is_left();
}

GUEST_TEST(unbinding_everything_leaves_nothing) {
  for (const auto& board : must(sluice::Device::list())) unbind_board(board.name);
  check(must(sluice::Device::list()).empty(), "a board is left");
  nothing_but_boards_is_left();
  // Numbers are remembered for as long as the module is loaded; nothing else is. A kernel that
  // keeps freed memory for a while, to catch late users, looks for what is lost by itself.
  const bool keeps = exists("/sys/kernel/debug/kmemleak");
  std::istringstream left(keeps ? "" : allocations_of_the_module());
  for (std::string part; std::getline(left, part, ';');) {
    check(part == " " || part.find("sluice_board_alloc") != part.npos, "left: " + part);
    check(part.find("kmalloc-cg") == part.npos && part.find("kmalloc-2k") == part.npos &&
              part.find("kmalloc-1k") == part.npos && part.find("kmalloc-4k") == part.npos,
          "left: " + part);
  }
  check(read_file("/proc/iomem").find("sluice") == std::string::npos, "a region is left");
  check(read_file("/proc/interrupts").find("sluice") == std::string::npos, "an interrupt is left");
}

GUEST_TEST(the_module_unloads_and_loads_again) {
  const auto rmmod = [] {
    return in_child([] { ::execl("/bin/rmmod", "rmmod", "sluice", nullptr); });
  };
  same(rmmod(), 0, "rmmod");
  check(read_file("/proc/modules").empty(), "the module is still there");
  same(in_child([] { ::execl("/bin/insmod", "insmod", "/sluice.ko", nullptr); }), 0, "insmod");
  // driver_override still names the driver: the boards are back without being asked for again.
  same(must(open_board(kEdu).read_register(0, kId)), kEduIdentification, "id");
  same(rmmod(), 0, "rmmod with boards bound");
  check(must(sluice::Device::list()).empty(), "a device file is left");
}

}  // namespace
