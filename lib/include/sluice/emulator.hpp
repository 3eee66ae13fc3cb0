// SPDX-License-Identifier: Apache-2.0
// The emulated board: what it is like, how fast, and what goes wrong with it.
#ifndef SLUICE_EMULATOR_HPP
#define SLUICE_EMULATOR_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

// What goes wrong. A fault happens when `after` entries have been completed (0: at once), or, with
// `probability`, at each entry by chance.
enum class FaultKind : uint8_t {
  kHang,           // the board does nothing any more but obey a reset
  kLostInterrupt,  // a completion is written, its interrupt is not raised
  kAllOnes,        // every register reads all ones until the board is reset
  kLate,           // a completion comes `delay_ms` late
  kCorruption,     // a bit of device memory flips, and the board notices (SLUICE_SDI_E_DATA)
  kRemoval,        // the board is gone
  kNoLock,         // the PLL does not lock
};

struct Fault {
  FaultKind kind = FaultKind::kHang;
  uint64_t after = 0;
  double probability = 0;
  uint32_t delay_ms = 100;
};

// "hang@100", "lost-irq:0.01", "late@5,250ms": kind, then @ entries or : probability, then a delay.
// EINVAL says what was expected.
Result<Fault> parse_fault(const std::string& text);

struct EmulatorOptions {
  std::string name = "emu";
  uint64_t memory_size = uint64_t{4} << 30;  // bytes of device memory; taken when touched
  uint32_t n_queues = 7;
  uint32_t n_threads = 0;  // that execute lists; 0: as many as the process may use
  std::string isa;         // as EngineOptions::isa
  uint32_t hse_hz = 12'000'000;
  uint32_t rated_hz = 168'000'000;  // that the driver sets the clock to; at most 216 MHz
  // The board that is timed: what counts as a cycle. See docs/device-interface.md.
  uint32_t macs_per_cycle = 4096;
  uint64_t memory_bandwidth = 25'600'000'000;  // bytes a second
  std::vector<Fault> faults;
  uint64_t seed = 1;  // of faults by chance
};

// What an emulated board has done since it was switched on, by its own counters (which a reset sets
// to 0) and its model of time. Faults: since the last reset.
struct EmulatorStatus {
  struct Op {
    std::string name;
    uint64_t count = 0, cycles = 0;
  };
  uint32_t system_hz = 0;
  bool guest_connected = false;
  uint64_t n_faults = 0, n_resets = 0;
  uint64_t cycles = 0, stall_cycles = 0, entries = 0, runs = 0, commands = 0, macs = 0;
  uint64_t bytes_read = 0, bytes_written = 0, host_bytes_read = 0, host_bytes_written = 0;
  uint64_t interrupts = 0, nanoseconds = 0;
  std::vector<Op> ops;  // those that have been carried out
};

// How a board within a guest's memory interrupts: by inputs of an interrupt controller of QEMU,
// which whoever is connected to its option `-qtest` can move.
struct GuestInterrupts {
  std::string socket;            // of -qtest; empty: no interrupts, the driver polls
  std::string controller;        // its path in QEMU: "/machine/unattached/device[2]"
  std::vector<uint32_t> inputs;  // of it: that of vector 0, 1, ..., at most one more than queues
  bool level = false;            // one input, up until the driver has seen why; else edges
};

// The emulated board of a QEMU guest, as a PCI device: `-device ivshmem-doorbell` connects to a
// unix socket and gets windows, doorbell and interrupts; DMA goes to the file that backs the
// guest's memory (`-object memory-backend-file,share=on`), at most 2 GiB of it.
class GuestBoard {
 public:
  // `memory_size` of the options is the BAR's, a power of two from 2 MiB; its first MiB holds the
  // registers. EINVAL: the options; EADDRINUSE: somebody serves that socket.
  static Result<GuestBoard> create(const EmulatorOptions& options, const std::string& socket,
                                   const std::string& guest_memory);
  // The board as a piece of the guest's memory itself, for a platform device with no more than
  // that: no notify register; the board looks at its registers every millisecond. The file begins
  // at physical address `base` of the guest, the registers are at `address`, and device memory is
  // behind them. EINVAL: the options, the interrupts, or a place that is not in the file.
  static Result<GuestBoard> create_within(const EmulatorOptions& options,
                                          const std::string& guest_memory, uint64_t base,
                                          uint64_t address, const GuestInterrupts& interrupts = {});
  GuestBoard(GuestBoard&&) noexcept;
  GuestBoard& operator=(GuestBoard&&) noexcept;
  ~GuestBoard();

  // Serves one guest after the other until stop(). A guest that goes leaves a board that has been
  // off and on again.
  Result<void> serve();
  // From any thread.
  void stop();
  // Of the guest that is there, else of the one before.
  EmulatorStatus status() const;

 private:
  struct Impl;
  explicit GuestBoard(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // SLUICE_EMULATOR_HPP
