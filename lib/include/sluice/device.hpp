// SPDX-License-Identifier: Apache-2.0
// Boards: find them, open one, read and write registers, map windows, wait for interrupts.
// A Device and what is made from it may be used from several threads; each object is move-only.
#ifndef SLUICE_DEVICE_HPP
#define SLUICE_DEVICE_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

enum class BoardKind : uint32_t { kPlain = 0, kSdi = 1 };
enum class BusKind : uint32_t { kPci = 0, kPlatform = 1 };
enum class WindowKind : uint32_t { kRegisters = 0, kMemory = 1, kPort = 2 };
enum class MemoryType : uint32_t { kUncached = 0 };

// What a board is; fields as struct sluice_info of the driver's ABI.
struct BoardInfo {
  std::string path;  // device file
  std::string name;  // bus name, "0000:00:04.0"
  uint32_t abi_version = 0;
  BoardKind kind = BoardKind::kPlain;
  BusKind bus = BusKind::kPci;
  bool bus_master = false;
  bool has_irq = false;
  uint16_t vendor = 0, device = 0, subsystem_vendor = 0, subsystem_device = 0;
  uint32_t class_revision = 0;
  uint64_t irq_count = 0;
  uint32_t n_windows = 0;
};

struct WindowInfo {
  uint32_t index = 0;
  WindowKind kind = WindowKind::kRegisters;
  bool can_map = false;
  bool can_write = false;
  uint32_t bar = 0;
  uint64_t length = 0;  // bytes
};

// A mapped range of a window. Register accesses are volatile, of exactly the width asked for.
// Offsets are bytes from the mapping's start. Unmaps when destroyed.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  volatile void* data() const { return data_; }
  size_t size() const { return size_; }

  // Reads or writes one register of `width` bits (8, 16, 32, 64). EINVAL: width, alignment, or a
  // value too large for the width; ERANGE: outside the mapping; EACCES: mapped read-only.
  // Once the board is reset or gone, touching the mapping raises SIGBUS, here as through data().
  Result<uint64_t> read(uint64_t offset, unsigned width = 32) const;
  Result<void> write(uint64_t offset, uint64_t value, unsigned width = 32);

 private:
  friend class Device;
  Mapping(void* data, size_t size, bool writable) : data_(data), size_(size), writable_(writable) {}
  void* data_ = nullptr;
  size_t size_ = 0;
  bool writable_ = false;
};

class Transport;  // how a Device reaches its board: /dev/sluiceN today

class Device {
 public:
  // Opens a device file ("/dev/sluice0"), read-write unless `read_only`. ENOENT, EACCES (the
  // message says which group is needed), ENOTTY (not a Sluice device), EPROTO (ABI version).
  static Result<Device> open(const std::string& path, bool read_only = false);
  // Every board of this machine that may be opened, and with `skipped` the reasons for those that
  // may not.
  static Result<std::vector<BoardInfo>> list(std::vector<Error>* skipped = nullptr);

  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  Result<BoardInfo> info() const;
  Result<WindowInfo> window(uint32_t index) const;
  Result<std::vector<WindowInfo>> windows() const;

  // One register access through the driver; `width` in bits, `offset` in bytes from the window's
  // start. EINVAL: width, alignment, value; ERANGE: outside the window; ENXIO: no such window.
  Result<uint64_t> read_register(uint32_t window, uint64_t offset, unsigned width = 32) const;
  Result<void> write_register(uint32_t window, uint64_t offset, uint64_t value,
                              unsigned width = 32);

  // Maps `length` bytes (0: to the window's end) from `offset` (a multiple of the page size).
  Result<Mapping> map(uint32_t window, uint64_t offset = 0, uint64_t length = 0,
                      MemoryType type = MemoryType::kUncached, bool read_only = false) const;

  // Lets the next interrupt through and returns how many have been seen. ENXIO: no interrupt line.
  Result<uint64_t> arm_interrupt();
  // Waits until the count differs from what arm_interrupt() last returned; the new count, or
  // nullopt after `timeout`; a negative timeout waits for ever. ENODEV: the board is gone.
  Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds timeout);

  // For poll(2) and event loops.
  int fd() const;

 private:
  friend Device make_device(std::unique_ptr<Transport> transport);
  explicit Device(std::unique_ptr<Transport> transport);
  std::unique_ptr<Transport> transport_;
};

}  // namespace sluice

#endif  // SLUICE_DEVICE_HPP
