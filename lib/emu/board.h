// SPDX-License-Identifier: Apache-2.0
// The emulated board: it serves a register window and a device memory that are plain memory to it
// and to its driver, on a thread of its own. It trusts no word that somebody else can write.
#ifndef SLUICE_LIB_EMU_BOARD_H
#define SLUICE_LIB_EMU_BOARD_H

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sluice/emulator.hpp>

#include "core/file.h"
#include "emu/board_host.h"
#include "emu/clock.h"
#include "emu/faults.h"
#include "emu/queue.h"
#include "emu/timing.h"
#include "emu/words.h"
#include "ops/executor.h"

namespace sluice::emu {

// What a board is soldered to.
struct Surface {
  std::byte* window = nullptr;  // Registers::bytes(n_queues) or more, zeroed
  std::byte* memory = nullptr;
  uint64_t memory_size = 0;
  uint64_t memory_offset = 0;  // what the control page says about it
  uint32_t n_vectors = 1;
  bool line = false;    // a line, held up, and no vectors: n_vectors is 1
  bool silent = false;  // nobody can ring: the board looks every so often
};

inline constexpr uint32_t kMaxEntries = 4096;
inline constexpr uint32_t kMaxSegments = 4096;
inline constexpr uint32_t kMaxCommands = 1u << 16;
inline constexpr uint32_t kMaxTensors = 1u << 16;
inline constexpr uint32_t kMaxStepBytes = 16u << 20;
inline constexpr uint32_t kMaxLists = 64;

class Board {
 public:
  // EINVAL: the options; what choose_kernels() says about the ISA.
  static Result<std::unique_ptr<Board>> create(const EmulatorOptions& options,
                                               const Surface& surface, BoardHost& host);
  // Stops; a list that runs is stopped between two pieces of work.
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  // Powers up, and starts the thread that serves.
  void start();
  // The notify register: a write of 8 bytes to this eventfd wakes the board.
  int notify_fd() const { return notify_.get(); }
  void notify();
  // Off and on again, as seen by the driver; returns when that is done. Any thread.
  void power_cycle();
  // All that it has counted since it was switched on. Any thread.
  sluice_sdi_counters total() const { return timing_.total(); }
  // What the control page says is to be written to the notify register.
  void set_notify_word(uint32_t word);
  // The longest that the board looks for work before it sleeps. 0: it sleeps at once.
  void set_spin(std::chrono::nanoseconds longest) { longest_spin_ = longest.count(); }
  // Times that it has gone to sleep.
  uint64_t n_sleeps() const { return n_sleeps_.load(); }
  unsigned n_threads() const { return executor_.n_threads(); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class Condition : uint8_t { kWorking, kHung, kAllOnes, kRemoved };

  Board(const EmulatorOptions& options, const Surface& surface, BoardHost& host,
        const Kernels& kernels, Fd notify);

  // board.cc: life and sleep.
  void serve();
  bool pass();
  void sleep();
  void learn(std::chrono::nanoseconds slept);
  std::optional<Time> next_deadline() const;
  void set_idle(bool idle);
  bool works() const { return condition_ == Condition::kWorking && !clock_.hung(); }

  // control.cc: requests, reset, faults of the whole board, interrupts.
  void reset();
  void describe();
  bool serve_control(const BoardQueue* running);
  uint32_t act(uint32_t action, uint64_t argument);
  uint32_t enable(uint32_t q);
  uint32_t disable(uint32_t q);
  uint32_t change_segments(uint32_t q);
  uint32_t read_segments(BoardQueue& queue);
  void strike_board(bool chance);
  void go(Condition condition);
  void raise(uint32_t vector);
  void hold_line();
  bool keep_going(const BoardQueue& running, unsigned thread);

  // entries.cc: what queues hold.
  bool serve_queue(BoardQueue& queue);
  bool serve_entry(BoardQueue& queue);
  struct Outcome;
  Outcome execute(BoardQueue& queue, const sluice_sdi_entry& entry);
  Outcome nop(BoardQueue& queue, const sluice_sdi_entry& entry);
  Outcome copy(BoardQueue& queue, const sluice_sdi_entry& entry);
  Outcome load_list(BoardQueue& queue, const sluice_sdi_entry& entry);
  Outcome run_list(BoardQueue& queue, const sluice_sdi_entry& entry);
  Outcome unload_list(BoardQueue& queue, const sluice_sdi_entry& entry);
  void unload_all(BoardQueue& queue);
  void complete(BoardQueue& queue, uint32_t id, const Outcome& outcome);
  void put(BoardQueue& queue, const sluice_sdi_completion& completion);
  void flush_interrupt(BoardQueue& queue, Time now);
  void record(const BoardQueue& queue, uint32_t id, const Outcome& outcome);
  void flip_bit(std::byte* data, uint64_t size);
  void corrupt_device_memory(const BoardQueue& queue);

  const EmulatorOptions options_;
  const Surface surface_;
  BoardHost& host_;
  const Registers registers_;
  Executor executor_;
  Timing timing_;
  Injector injector_;
  ClockBlock clock_;
  std::vector<BoardQueue> queues_;
  Condition condition_ = Condition::kWorking;
  bool paused_ = false;     // no entry begins
  bool fatal_ = false;      // device memory has lost its contents
  uint64_t n_entries_ = 0;  // completed since the board was made
  bool cancelled_ = false;  // the run in progress is to stop: its queue or the board goes
  Work copied_;             // what the entry in progress has moved
  std::vector<uint32_t> step_words_;
  // What the board said last in words that the other side should not write, but could.
  uint32_t acknowledged_ = 0, n_resets_ = 0;
  uint64_t n_faults_ = 0, irq_events_ = 0;
  bool line_ = false;  // up

  Fd notify_;
  std::atomic<uint32_t> notify_word_{0};
  std::atomic<int64_t> longest_spin_;
  std::chrono::nanoseconds spin_{};
  std::atomic<uint64_t> n_sleeps_{0};
  std::atomic<bool> power_cycle_{false}, stop_{false};
  std::thread thread_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_BOARD_H
