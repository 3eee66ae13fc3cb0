// SPDX-License-Identifier: Apache-2.0
// guest_tests: runs the tests whose names it is given, each in a process of its own, and prints
// `ok NAME` or `not ok NAME: why`. `--list GUEST` names those of a guest; `as UID GID CMD...` runs
// a command as somebody else.
#include "guest.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace guest {
namespace {

struct Entry {
  const char* guest;
  const char* name;
  void (*body)();
};

std::vector<Entry>& tests() {
  static std::vector<Entry> all;
  return all;
}

const std::string kDevices = "/sys/bus/pci/devices/";
const std::string kDriver = "/sys/bus/pci/drivers/sluice/";

// The reason of the failure, empty for success.
std::string run_body(void (*body)()) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

std::string run_test(const Entry& entry) {
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return "pipe failed";
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(time_limit());
    const std::string why = run_body(entry.body);
    [[maybe_unused]] const ssize_t n = ::write(pipe_fds[1], why.data(), why.size());
    ::_exit(why.empty() ? 0 : 1);
  }
  ::close(pipe_fds[1]);
  std::string why;
  char chunk[512];
  for (ssize_t n; (n = ::read(pipe_fds[0], chunk, sizeof(chunk))) > 0;) why.append(chunk, n);
  ::close(pipe_fds[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0 && why.empty()) return "exited";
  return why;
}

int run_tests(int count, char** names) {
  int failed = 0;
  for (int i = 0; i < count; i++) {
    const Entry* found = nullptr;
    for (const Entry& entry : tests()) {
      if (std::strcmp(entry.name, names[i]) == 0) found = &entry;
    }
    const std::string why = found ? run_test(*found) : "no such test";
    if (why.empty()) {
      std::printf("ok %s\n", names[i]);
    } else {
      std::printf("not ok %s: %s\n", names[i], why.c_str());
      failed++;
    }
    std::fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}

int run_as(int argc, char** argv) {
  if (argc < 5) return 2;
  const gid_t gid = static_cast<gid_t>(std::atoi(argv[3]));
  const uid_t uid = static_cast<uid_t>(std::atoi(argv[2]));
  if (::setgroups(0, nullptr) || ::setgid(gid) || ::setuid(uid)) return 126;
  ::execvp(argv[4], argv + 4);
  return 127;
}

sigjmp_buf on_fault;
volatile sig_atomic_t caught;

void remember_fault(int number) {
  caught = number;
  siglongjmp(on_fault, 1);
}

}  // namespace

Test::Test(const char* guest, const char* name, void (*body)()) {
  tests().push_back({guest, name, body});
}

void same(uint64_t got, uint64_t wanted, const std::string& what) {
  if (got != wanted) throw Failure(fmt::format("{}: got {:#x}, expected {:#x}", what, got, wanted));
}

void error_is(int got, int wanted, const std::string& what) {
  if (got == wanted) return;
  throw Failure(fmt::format("{}: got {}, expected {}", what, got ? strerrorname_np(got) : "success",
                            wanted ? strerrorname_np(wanted) : "success"));
}

std::string read_file(const std::string& path) {
  const Fd fd(path, O_RDONLY);
  std::string text;
  char chunk[4096];
  for (ssize_t n; (n = ::read(fd.get(), chunk, sizeof(chunk))) > 0;) text.append(chunk, n);
  return text;
}

int write_file(const std::string& path, const std::string& text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) return errno;
  return ::write(fd.get(), text.data(), text.size()) < 0 ? errno : 0;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void bind_board(const std::string& bus_name) {
  const std::string device = kDevices + bus_name;
  error_is(write_file(device + "/driver_override", "sluice"), 0, "driver_override");
  if (!exists(device + "/driver")) {
    error_is(write_file("/sys/bus/pci/drivers_probe", bus_name), 0, "drivers_probe");
  }
  check(exists(kDriver + bus_name), bus_name + " was not bound");
}

void unbind_board(const std::string& bus_name) {
  error_is(write_file(kDriver + "unbind", bus_name), 0, "unbind " + bus_name);
}

Unbound::~Unbound() {
  try {
    bind_board(bus_name_);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "# %s\n", error.what());
  }
}

void is_taken_back(sluice::Mapping& mapping, const std::string& path) {
  std::byte bytes[64] = {};
  for (const uint64_t offset : {0x0, 0x40, 0xfc0}) {
    const std::string place = fmt::format("offset {:#x}:", offset);
    const auto words = {path.c_str(), place.c_str(), "taken back"};
    for (const unsigned width : {8u, 16u, 32u, 64u}) {
      must_fail(mapping.read(offset, width), ECONNRESET, words);
      must_fail(mapping.write(offset, 1, width), ECONNRESET, words);
    }
    must_fail(mapping.copy_in(offset, bytes), ECONNRESET, words);
    must_fail(mapping.copy_out(offset, bytes), ECONNRESET, words);
  }
  must_fail(mapping.read(mapping.size()), ERANGE, {path.c_str(), "past the end"});
}

std::string node_of(const std::string& bus_name) {
  for (const auto& board : must(sluice::Device::list())) {
    if (board.name == bus_name) return board.path;
  }
  throw Failure("no device file for " + bus_name);
}

sluice::Device open_board(const std::string& bus_name, bool read_only) {
  return must(sluice::Device::open(node_of(bus_name), read_only));
}

uint16_t pci_command(const std::string& bus_name) {
  const std::string config = read_file(kDevices + bus_name + "/config");
  check(config.size() >= 6, "no PCI configuration space");
  return static_cast<uint16_t>(static_cast<uint8_t>(config[4]) | static_cast<uint8_t>(config[5])
                                                                     << 8);
}

Fd::Fd(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
  if (fd_ < 0) throw Failure(path + ": " + std::strerror(errno));
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

int call(int fd, unsigned long request, void* arg) {
  return ::ioctl(fd, request, arg) == 0 ? 0 : errno;
}

struct sluice_reg reg(uint32_t window, uint64_t offset, uint32_t width, uint64_t value) {
  struct sluice_reg arg = {};
  arg.size = sizeof(arg);
  arg.window = window;
  arg.offset = offset;
  arg.width = width;
  arg.value = value;
  return arg;
}

struct sluice_map map_arg(uint32_t window, uint64_t offset, uint64_t length) {
  struct sluice_map arg = {};
  arg.size = sizeof(arg);
  arg.window = window;
  arg.offset = offset;
  arg.length = length;
  return arg;
}

volatile uint32_t* map_window(int fd, uint64_t offset, uint64_t length, int prot) {
  struct sluice_map arg = map_arg(0, offset, length);
  error_is(call(fd, SLUICE_IOC_MAP, &arg), 0, "SLUICE_IOC_MAP");
  void* at = ::mmap(nullptr, length, prot, MAP_SHARED, fd, static_cast<off_t>(arg.cookie));
  if (at == MAP_FAILED) throw Failure(std::string("mmap: ") + std::strerror(errno));
  return static_cast<volatile uint32_t*>(at);
}

// The time limit of a test. The kernel gives what it does not know of its command line to the first
// process as environment: `patience=N` is for kernels that check themselves as they go.
unsigned time_limit() {
  constexpr unsigned kSeconds = 20;
  const char* patience = std::getenv("patience");
  return kSeconds * (patience ? static_cast<unsigned>(std::max(1, std::atoi(patience))) : 1);
}

int unload_module(int timeout_ms) {
  for (int waited = 0;; waited += 20) {
    if (::syscall(SYS_delete_module, "sluice", O_NONBLOCK) == 0) return 0;
    const int error = errno;
    if (waited >= timeout_ms) return error;
    ::usleep(20000);
  }
}

int load_module(const char* parameters, const char* path) {
  const Fd file(path, O_RDONLY);
  return ::syscall(SYS_finit_module, file.get(), parameters, 0) == 0 ? 0 : errno;
}

int in_child(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(time_limit());
    try {
      body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "# in a child: %s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

int signal_of_read(volatile uint32_t* at) {
  struct sigaction action = {}, old_bus = {}, old_segv = {};
  action.sa_handler = remember_fault;
  ::sigaction(SIGBUS, &action, &old_bus);
  ::sigaction(SIGSEGV, &action, &old_segv);
  caught = 0;
  if (sigsetjmp(on_fault, 1) == 0) [[maybe_unused]]
    const uint32_t value = *at;
  ::sigaction(SIGBUS, &old_bus, nullptr);
  ::sigaction(SIGSEGV, &old_segv, nullptr);
  return caught;
}

}  // namespace guest

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "as") == 0) return guest::run_as(argc, argv);
  if (argc == 3 && std::strcmp(argv[1], "--list") == 0) {
    for (const auto& entry : guest::tests()) {
      if (std::strcmp(entry.guest, argv[2]) == 0) std::puts(entry.name);
    }
    return 0;
  }
  return guest::run_tests(argc - 1, argv + 1);
}
