// SPDX-License-Identifier: Apache-2.0
// ioctl-fuzz SECONDS SEED PCI_NAME...: actors against the boards of a guest, as root in it:
// ordinary users, one life after the other in each of a few processes, with allocations that fail
// where the kernel can do that; meanwhile the boards are reset, re-clocked and taken out of the
// machine. Prints what was done, and fails if a process hangs. What the kernel makes of it is in
// its log.
#include <fcntl.h>
#include <glob.h>
#include <sluice.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

#include "tests/fuzz/ioctl/actor.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kProcesses = 4;
constexpr unsigned kUser = 1000;
constexpr int kActsOfALife = 400;

// What all processes count.
struct Counts {
  std::atomic<uint64_t> lives, calls, accepted;
};

std::vector<std::string> nodes() {
  std::vector<std::string> found;
  glob_t paths;
  if (::glob("/dev/sluice[0-9]*", 0, nullptr, &paths) == 0) {
    for (size_t i = 0; i < paths.gl_pathc; ++i) found.emplace_back(paths.gl_pathv[i]);
    ::globfree(&paths);
  }
  return found;
}

void write_file(const std::string& path, const char* text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::write(fd, text, std::strlen(text));
  ::close(fd);
}

// Every allocation can fail, without a word in the log.
bool prepare_failures() {
  for (const char* kind : {"failslab", "fail_page_alloc"}) {
    const std::string folder = std::string("/sys/kernel/debug/") + kind;
    write_file(folder + "/ignore-gfp-wait", "N");
    write_file(folder + "/min-order", "0");
    write_file(folder + "/verbose", "0");
  }
  write_file("/sys/kernel/debug/fail_usercopy/verbose", "0");
  return ::access("/proc/self/fail-nth", W_OK) == 0;
}

[[noreturn]] void live(uint64_t seed, bool failures, Counts& counts) {
  const rlimit most = {64 << 20, 64 << 20};
  ::setrlimit(RLIMIT_DATA, &most);
  if (::setgid(kUser) != 0 || ::setuid(kUser) != 0) ::_exit(1);
  ::prctl(PR_SET_DUMPABLE, 1);  // or /proc/self is not ours
  fuzz::ActorOptions options;
  options.seed = seed;
  options.boards = nodes();
  options.hostile = 40;
  options.fail = failures ? 15 : 0;
  {
    fuzz::Actor actor(options);
    for (int i = 0; i < kActsOfALife; ++i) actor.act();
    counts.calls += actor.n_calls();
    counts.accepted += actor.n_accepted();
    ++counts.lives;
  }
  ::_exit(0);
}

void open_to_all() {
  for (const std::string& node : nodes()) ::chmod(node.c_str(), 0666);
}

// One thing that happens to boards now and then.
void trouble(uint64_t random, char** names, int n_names) {
  const std::string device =
      std::string("/sys/bus/pci/devices/") + names[random % static_cast<uint64_t>(n_names)];
  switch (random >> 8 & 3) {
    case 0:
      write_file(device + "/remove", "1");
      write_file("/sys/bus/pci/rescan", "1");
      break;
    case 1:
      write_file(device + "/reset", "1");
      break;
    default:
      for (const std::string& node : nodes()) {
        const int fd = ::open(node.c_str(), O_RDWR | O_CLOEXEC);
        if (fd < 0) continue;
        sluice_clock arg = {};
        arg.size = sizeof(arg);
        arg.flags = SLUICE_CLOCK_SET;
        arg.system_hz = random >> 12 & 1 ? 168'000'000 : 84'000'000;
        ::ioctl(fd, SLUICE_IOC_CLOCK, &arg);
        ::close(fd);
      }
  }
  open_to_all();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: ioctl-fuzz SECONDS SEED PCI_NAME...\n");
    return 2;
  }
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  std::mt19937_64 random(static_cast<uint64_t>(std::atoll(argv[2])));
  void* shared =
      ::mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 1;
  auto& counts = *new (shared) Counts{};
  const bool failures = prepare_failures();
  std::printf("fuzzing %zu boards%s\n", nodes().size(),
              failures ? ", with allocations that fail" : "");
  open_to_all();
  pid_t pids[kProcesses] = {};
  Clock::time_point since[kProcesses], said = Clock::now(), troubled = Clock::now();
  for (bool ending = false, busy = true; !ending || busy; ::usleep(2000)) {
    const auto now = Clock::now();
    ending = now > end;
    busy = false;
    for (int i = 0; i < kProcesses; ++i) {
      int status;
      if (pids[i] != 0 && ::waitpid(pids[i], &status, WNOHANG) == pids[i]) pids[i] = 0;
      if (pids[i] == 0 && !ending) {
        const uint64_t seed = random();
        std::fflush(stdout);
        pids[i] = ::fork();
        since[i] = now;
        if (pids[i] == 0) live(seed, failures, counts);
      }
      if (pids[i] == 0) continue;
      busy = true;
      if (random() % 3000 == 0 || now - since[i] > 60s) ::kill(pids[i], SIGKILL);
      if (now - since[i] > 120s) {
        std::printf("process %d hangs\n", pids[i]);
        return 1;
      }
    }
    if (now - troubled > 700ms && !ending) {
      trouble(random(), argv + 3, argc - 3);
      troubled = now;
    }
    if (now - said > 10s) {
      std::printf("%llu lives, %llu ioctls, %llu accepted\n",
                  static_cast<unsigned long long>(counts.lives),
                  static_cast<unsigned long long>(counts.calls),
                  static_cast<unsigned long long>(counts.accepted));
      std::fflush(stdout);
      said = now;
    }
  }
  std::printf("done: %llu lives, %llu ioctls, %llu accepted\n",
              static_cast<unsigned long long>(counts.lives),
              static_cast<unsigned long long>(counts.calls),
              static_cast<unsigned long long>(counts.accepted));
  return counts.accepted != 0 ? 0 : 1;
}
