// SPDX-License-Identifier: Apache-2.0
// The harness of the tests that run inside the guest, as root, on boards that QEMU emulates.
// Every test runs in a process of its own with a time limit: a crash is a failed test.
#ifndef SLUICE_TESTS_VM_GUEST_H
#define SLUICE_TESTS_VM_GUEST_H

#include <fmt/format.h>
#include <sluice.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <sluice/device.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace guest {

// What the runner puts into the machine (tests/vm/run).
inline constexpr char kEdu[] = "0000:00:04.0";
inline constexpr char kEduPairA[] = "0000:00:05.0";  // two functions on one interrupt line
inline constexpr char kEduPairB[] = "0000:00:05.1";
inline constexpr char kTestdev[] = "0000:00:06.0";  // memory and I/O ports
inline constexpr char kIvshmem[] = "0000:00:07.0";  // a 256-byte window and 1 MiB of memory
inline constexpr char kRootPort[] = "0000:00:08.0";
inline constexpr char kEduBehindPort[] = "0000:01:00.0";

// Registers of the edu device.
inline constexpr uint64_t kId = 0x00, kLiveness = 0x04, kFactorial = 0x08, kStatus = 0x20;
inline constexpr uint64_t kIrqStatus = 0x24, kIrqRaise = 0x60, kIrqAck = 0x64;
inline constexpr uint64_t kEduIdentification = 0x010000ed;
inline constexpr uint64_t kStatusBusy = 0x01, kStatusIrq = 0x80;

// Seconds that a test may take.
unsigned time_limit();

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Registers a test for one of the guests of the runner; `body` throws Failure.
struct Test {
  Test(const char* guest, const char* name, void (*body)());
};

#define GUEST_TEST_OF(guest_name, name)                                  \
  static void name();                                                    \
  static const ::guest::Test name##_registered(guest_name, #name, name); \
  static void name()
// In the guest with plain boards, and in the one whose boards have the Device Interface.
#define GUEST_TEST(name) GUEST_TEST_OF("plain", name)
#define SDI_TEST(name) GUEST_TEST_OF("sdi", name)

inline void check(bool good, const std::string& what) {
  if (!good) throw Failure(what);
}

// Values are compared as 64-bit numbers and shown in both bases.
void same(uint64_t got, uint64_t wanted, const std::string& what);

// `got` is an errno value, 0 for success.
void error_is(int got, int wanted, const std::string& what);

template <typename T>
T must(sluice::Result<T> result, const std::string& what = "") {
  if (!result) throw Failure(what + ": " + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// A result that has to be an error of that code whose message contains all of `words`.
template <typename T>
void must_fail(const sluice::Result<T>& result, int code,
               std::initializer_list<const char*> words) {
  check(!result.has_value(), "succeeded");
  error_is(result.error().code, code, result.error().message);
  for (const char* word : words) {
    check(result.error().message.find(word) != std::string::npos,
          fmt::format("'{}' does not mention '{}'", result.error().message, word));
  }
}

// --- the machine -----------------------------------------------------------------------------
std::string read_file(const std::string& path);
// 0 or an errno value.
int write_file(const std::string& path, const std::string& text);
bool exists(const std::string& path);

// Gives a PCI function to the driver, takes it away; both wait until it is done.
void bind_board(const std::string& bus_name);
void unbind_board(const std::string& bus_name);
// Takes a board away for as long as it lives; a test that fails meanwhile leaves it bound.
class Unbound {
 public:
  explicit Unbound(const char* bus_name) : bus_name_(bus_name) { unbind_board(bus_name); }
  Unbound(const Unbound&) = delete;
  ~Unbound();

 private:
  const char* bus_name_;
};
// All that a mapping of the library's offers ends in an error that names the board and the place.
void is_taken_back(sluice::Mapping& mapping, const std::string& path);

// The device file of a bound board, found by its bus name.
std::string node_of(const std::string& bus_name);
sluice::Device open_board(const std::string& bus_name, bool read_only = false);
uint16_t pci_command(const std::string& bus_name);

// --- files, ioctls, mappings -----------------------------------------------------------------
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const std::string& path, int flags);
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd(const Fd&) = delete;
  ~Fd();
  int get() const { return fd_; }

 private:
  int fd_;
};

// 0 or an errno value.
int call(int fd, unsigned long request, void* arg);

struct sluice_reg reg(uint32_t window, uint64_t offset, uint32_t width, uint64_t value = 0);
struct sluice_map map_arg(uint32_t window, uint64_t offset, uint64_t length);

// mmap of a range of window 0 by its cookie; throws if any step fails.
volatile uint32_t* map_window(int fd, uint64_t offset, uint64_t length, int prot);

inline constexpr uint64_t kPage = 4096;

// --- the module ------------------------------------------------------------------------------
// Takes the driver away; what has just been closed may keep it for a moment. 0 or an errno value.
int unload_module(int timeout_ms = 2000);
int load_module(const char* parameters, const char* path = "/sluice.ko");

// --- processes -------------------------------------------------------------------------------
// Runs `body` in a child; its exit status as from waitpid().
int in_child(const std::function<void()>& body);
// The signal that touching `at` raises, 0 if none.
int signal_of_read(volatile uint32_t* at);

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_H
