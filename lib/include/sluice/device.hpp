// SPDX-License-Identifier: Apache-2.0
// Boards: find them, open one, read and write registers, map windows, wait for interrupts, allocate
// memory, change clocks. Queues, which boards with the Device Interface have, are in queue.hpp.
// A Device and what is made from it may be used from several threads; each object is move-only.
// Memory, mappings and queues keep the board open: they may outlive their Device.
#ifndef SLUICE_DEVICE_HPP
#define SLUICE_DEVICE_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

enum class BoardKind : uint32_t { kPlain = 0, kSdi = 1 };
enum class BusKind : uint32_t { kPci = 0, kPlatform = 1 };
enum class WindowKind : uint32_t { kRegisters = 0, kMemory = 1, kPort = 2 };
// kNative: uncached registers, write-combined device memory, host memory as it was allocated.
enum class MemoryType : uint32_t { kUncached = 0, kWriteCombined = 1, kCached = 2, kNative = 3 };
// Where memory for a board lies: on it, or in the host (coherent and cached, uncached,
// write-combined, or cached pages that O_DIRECT takes).
enum class MemoryKind : uint32_t {
  kDevice = 0,
  kCoherent = 1,
  kUncached = 2,
  kWriteCombined = 3,
  kPages = 4
};

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
  uint32_t n_resets = 0;
  // Of boards with the Device Interface:
  uint64_t capabilities = 0;  // SLUICE_SDI_CAP_*
  uint64_t memory_size = 0;   // bytes of device memory
  uint64_t memory_free = 0;   // bytes not allocated
  uint32_t memory_window = 0;
  uint32_t n_queues = 0, n_queues_free = 0;
  uint32_t n_segments = 0;   // of a queue, at most
  uint32_t max_entries = 0;  // of a queue's rings
  uint32_t max_step_bytes = 0;
  uint32_t sdi_version = 0;  // major << 16 | minor
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
  // ECONNRESET: the board was reset, or is gone, and the mapping was taken back. Touching it
  // through data() raises SIGBUS then. Messages name the board and the offset.
  Result<uint64_t> read(uint64_t offset, unsigned width = 32) const;
  Result<void> write(uint64_t offset, uint64_t value, unsigned width = 32);
  // Copies many bytes in or out, in no particular order or width. ERANGE, EACCES,
  // ECONNRESET.
  Result<void> copy_in(uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> copy_out(uint64_t offset, std::span<std::byte> bytes) const;

 private:
  friend class Device;
  friend class Memory;
  Mapping(void* data, size_t size, bool writable, const std::string& of);
  void* data_ = nullptr;
  size_t size_ = 0;
  bool writable_ = false;
  std::string name_ = "mapping";  // "mapping of /dev/sluice0: window 0"
};

class Transport;  // how a Device reaches its board: /dev/sluiceN, or a board within this process
struct EmulatorOptions;  // emulator.hpp

// A piece of device memory, or of host memory for the board's use; zeroed when it is made and freed
// when it is destroyed, after it is taken out of every segment. Mappings of it may outlive it.
class Memory {
 public:
  Memory() = default;
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();

  uint64_t size() const { return size_; }  // bytes, whole pages
  // Bus address, or offset in device memory; ~0: not contiguous.
  uint64_t address() const { return address_; }
  uint32_t handle() const { return handle_; }
  // Maps `length` bytes (0: to the end) from `offset` (a multiple of the page size). ERANGE.
  Result<Mapping> map(uint64_t offset = 0, uint64_t length = 0,
                      MemoryType type = MemoryType::kNative, bool read_only = false) const;
  // A dma-buf of it: a file descriptor that the caller closes. ENOTSUP: no dma-bufs here.
  Result<int> export_dmabuf(bool writable = true) const;

 private:
  friend class Device;
  friend class Queue;
  Memory(std::shared_ptr<Transport> transport, uint32_t handle, uint64_t size, uint64_t address);
  std::shared_ptr<Transport> transport_;
  uint32_t handle_ = 0;
  uint64_t size_ = 0;
  uint64_t address_ = 0;
};

// The clocks of a board; frequencies in Hz. Fields as struct sluice_clock of the driver's ABI.
struct ClockInfo {
  uint32_t system_hz = 0;
  uint32_t source = 0;  // SLUICE_SDI_CLOCK_SOURCE_*
  uint32_t m = 0, n = 0, p = 0, q = 0;
  uint32_t wait_states = 0;
  uint32_t pll48_hz = 0;
  uint32_t bus_hz[2] = {};
  uint32_t timer_hz[4] = {};
  uint32_t hsi_hz = 0, hse_hz = 0, rated_hz = 0, boost_hz = 0;
};

class Device {
 public:
  // Opens a device file ("/dev/sluice0"), read-write unless `read_only`. ENOENT, EACCES (the
  // message says which group is needed), ENOTTY (not a Sluice device), EPROTO (ABI version).
  static Result<Device> open(const std::string& path, bool read_only = false);
  // A board within this process: no driver, no privileges. EINVAL: the options.
  static Result<Device> emulate(const EmulatorOptions& options);
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

  // new = (old & ~mask) | (value & mask), with no other access in between; returns old.
  Result<uint64_t> update_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                   unsigned width = 32);
  // Reads until (register & mask) == value; what was read last. ETIMEDOUT.
  Result<uint64_t> poll_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                 std::chrono::nanoseconds timeout, unsigned width = 32) const;

  // ENOMEM: no such piece is free; ENOTSUP: the board or the machine has no such memory; EPERM:
  // host memory for a board that is no bus master.
  Result<Memory> allocate(MemoryKind kind, uint64_t length);
  // Memory that is a dma-buf of somebody else's; `fd` stays the caller's.
  Result<Memory> import_dmabuf(int fd);

  // Function reset. Device memory loses its contents, queues are dead, mappings are taken back.
  // EBUSY: device memory is exported and pinned, and not `force`; ENOTSUP: no reset.
  Result<void> reset(bool force = false);

  // ENOTSUP: no clock block.
  Result<ClockInfo> clock() const;
  // Changes the system clock by the sequence that the Device Interface asks for. EDOM: no dividers
  // give exactly that frequency (the message names the two nearest); ERANGE; EPERM: above the rated
  // one without `boost`, or no right to; EIO: the board did not follow and runs from its internal
  // oscillator now.
  Result<ClockInfo> set_clock(uint32_t system_hz, bool boost = false);
  // What timer `timer` counts with; returns what the prescaler made of it. EINVAL, ERANGE.
  Result<uint32_t> set_timer(uint32_t timer, uint32_t hz);

  // For poll(2) and event loops.
  int fd() const;

 private:
  friend Device make_device(std::shared_ptr<Transport> transport);
  friend class Queue;
  explicit Device(std::shared_ptr<Transport> transport);
  std::shared_ptr<Transport> transport_;
};

}  // namespace sluice

#endif  // SLUICE_DEVICE_HPP
