// SPDX-License-Identifier: Apache-2.0
// Many processes that do at random what they can with boards, killed at any moment, while the
// boards are reset and taken out of the machine. In the end everything is free, and everything
// works.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "guest_objects.h"
#include "guest_sdi.h"
#include "tests/fuzz/ioctl/actor.h"

namespace {

using namespace guest;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr size_t kProcesses = 8;
constexpr unsigned kUser = 1000;

// The kernel hands us `rounds=N` of its command line.
unsigned number_of(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text ? static_cast<unsigned>(std::max(1, std::atoi(text))) : otherwise;
}

// Boards that are being reset are not listed.
std::string node_soon(const char* board) {
  for (const auto start = Clock::now();; ::usleep(20000)) {
    try {
      return node_of(board);
    } catch (const Failure&) {
      if (Clock::now() - start > 10s) throw;
    }
  }
}

// A life: some calls as an ordinary user. What it leaves behind is the driver's business.
[[noreturn]] void live(uint64_t seed, std::vector<std::string> nodes) {
  ::alarm(0);
  // A way out of memory for all is no test of the driver.
  const rlimit most = {64 << 20, 64 << 20};
  ::setrlimit(RLIMIT_DATA, &most);
  if (::setgid(kUser) != 0 || ::setuid(kUser) != 0) ::_exit(1);
  fuzz::ActorOptions options;
  options.seed = seed;
  options.boards = std::move(nodes);
  options.hostile = 10;
  {
    fuzz::Actor actor(options);
    for (uint64_t n = 20 + seed % 100; n > 0; --n) actor.act();
  }
  ::_exit(0);
}

class Storm {
 public:
  Storm(unsigned rounds, unsigned removals) : rounds_(rounds), removals_(removals), random_(7) {}

  void rage() {
    open_to_all();
    pid_t pids[kProcesses] = {};
    Clock::time_point since[kProcesses];
    for (unsigned begun = 0, ended = 0; ended < rounds_;) {
      for (size_t i = 0; i < kProcesses; ++i) {
        if (pids[i] == 0) {
          if (begun == rounds_) continue;
          pids[i] = begin(begun++);
          since[i] = Clock::now();
        }
        if (random_() % 200 == 0) ::kill(pids[i], SIGKILL);
        if (Clock::now() - since[i] > 10s) ::kill(pids[i], SIGKILL);
        check(Clock::now() - since[i] < 40s, "a process does not go");
        int status = 0;
        if (::waitpid(pids[i], &status, WNOHANG) != pids[i]) continue;
        check(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0,
              fmt::format("a process ended with status {:#x}", status));
        pids[i] = 0;
        trouble(++ended);
      }
      ::usleep(1000);
    }
  }

 private:
  pid_t begin(unsigned number) {
    std::vector<std::string> nodes;
    for (const char* board : {kBoard, kLosing}) nodes.push_back(node_soon(board));
    const pid_t pid = ::fork();
    if (pid == 0) live(number + 1, nodes);
    check(pid > 0, "fork");
    return pid;
  }

  // What becomes of the boards meanwhile.
  void trouble(unsigned ended) {
    const unsigned every = std::max(1u, rounds_ / removals_);
    if (ended % every == every / 2) {
      const std::string device = std::string("/sys/bus/pci/devices/") + kBoard;
      error_is(write_file(device + "/remove", "1"), 0, "remove");
      error_is(write_file("/sys/bus/pci/rescan", "1"), 0, "rescan");
      open_to_all();
    } else if (ended % 10 == 0) {
      const Fd fd(node_soon(kBoard), O_RDWR);
      auto arg = argument<struct sluice_reset>();
      arg.flags = SLUICE_RESET_FORCE;
      const int error = call(fd.get(), SLUICE_IOC_RESET, &arg);
      check(error == 0 || error == EBUSY, fmt::format("RESET: {}", error));
    } else if (ended % 7 == 0) {
      const Fd fd(node_soon(kBoard), O_RDWR);
      auto arg = argument<struct sluice_clock>();
      arg.flags = SLUICE_CLOCK_SET;
      arg.system_hz = ended % 2 ? 168'000'000 : 84'000'000;
      const int error = call(fd.get(), SLUICE_IOC_CLOCK, &arg);
      check(error == 0 || error == EBUSY || error == ETIMEDOUT, fmt::format("CLOCK: {}", error));
    }
  }

  // Nobody makes device files for a group here.
  static void open_to_all() {
    for (const char* board : {kBoard, kLosing}) {
      const std::string node = node_soon(board);
      check(::chmod(node.c_str(), 0666) == 0, "chmod");
    }
  }

  unsigned rounds_, removals_;
  std::mt19937_64 random_;
};

}  // namespace

SDI_TEST(a_storm_of_processes_resets_and_removals) {
  const unsigned rounds = number_of("rounds", 500), removals = number_of("removals", 20);
  ::alarm(time_limit() * (3 + rounds / 100));
  const auto start = Clock::now();
  Storm(rounds, removals).rage();
  nothing_but_boards_is_left();
  for (const char* board : {kBoard, kLosing}) {
    const Fd fd(node_of(board), O_RDWR);
    const auto info = info_of(fd.get());
    same(info.n_queues_free, info.n_queues, "free queues");
    same(info.memory_free, info.memory_size, "free memory");
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
    same(run(fd.get(), queue.handle, {nop(0x77)})[0].id, 0x77, "id");
    ::chmod(node_of(board).c_str(), 0600);
  }
  const auto took = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start);
  fmt::print("{} rounds, {} removals: {} s\n", rounds, removals, took.count());
}
