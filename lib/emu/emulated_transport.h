// SPDX-License-Identifier: Apache-2.0
// A board within this process as a transport; see emulated_transport.cc.
#ifndef SLUICE_LIB_EMU_EMULATED_TRANSPORT_H
#define SLUICE_LIB_EMU_EMULATED_TRANSPORT_H

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "device/transport.h"
#include "emu/board.h"
#include "emu/driver.h"
#include "emu/host_memory.h"

namespace sluice::emu {

class EmulatedTransport final : public Transport, private BoardHost {
 public:
  static Result<std::shared_ptr<EmulatedTransport>> create(const EmulatorOptions& options);
  ~EmulatedTransport() override;
  EmulatedTransport(const EmulatedTransport&) = delete;
  EmulatedTransport& operator=(const EmulatedTransport&) = delete;

  Result<BoardInfo> info() override;
  Result<WindowInfo> window(uint32_t index) override;
  Result<uint64_t> read_register(uint32_t window, uint64_t offset, unsigned width) override;
  Result<void> write_register(uint32_t window, uint64_t offset, uint64_t value,
                              unsigned width) override;
  Result<uint64_t> update_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                   unsigned width) override;
  Result<uint64_t> poll_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                 std::chrono::nanoseconds timeout, unsigned width) override;
  Result<Range> map(uint32_t window, uint64_t offset, uint64_t length, MemoryType type,
                    bool read_only) override;
  Result<uint64_t> arm_interrupt() override;
  Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds timeout) override;

  Result<Object> allocate(MemoryKind kind, uint64_t length) override;
  Result<Range> map_object(uint32_t handle, uint64_t offset, uint64_t length, MemoryType type,
                           bool read_only) override;
  void free(uint32_t handle) override;

  Result<Rings> create_queue(const QueueOptions& options) override;
  Result<void> grant(uint32_t queue, uint32_t segment, uint32_t handle, uint64_t offset,
                     uint64_t length, unsigned access) override;
  Result<void> notify(uint32_t queue) override;
  Result<void> wait(uint32_t queue, std::chrono::nanoseconds timeout) override;

  Result<void> reset(bool force) override;
  Result<ClockInfo> clock() override;
  Result<ClockInfo> set_clock(uint32_t system_hz, bool boost) override;
  Result<uint32_t> set_timer(uint32_t timer, uint32_t hz) override;
  int fd() const override { return event_fd_.get(); }

  Board& board() { return *board_; }

 private:
  struct Grant {
    uint32_t handle;
    std::shared_ptr<MemoryObject> page_list;  // of memory that is not contiguous
  };
  struct DriverQueue {
    uint32_t handle = 0, index = 0, n_entries = 0, n_segments = 0;
    bool dead = false;  // the board was reset
    std::shared_ptr<std::atomic<bool>> died = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<MemoryObject> rings, table;
    const sluice_sdi_completion* cq = nullptr;
    std::map<uint32_t, Grant> grants;  // by segment
  };
  struct Vector {
    std::mutex mutex;
    std::condition_variable changed;
    std::atomic<uint32_t> n_waiting{0};
  };

  explicit EmulatedTransport(const EmulatorOptions& options);
  Result<void> plug_in();
  Result<void> bring_up();
  Result<void> check_alive() const;
  Result<std::shared_ptr<MemoryObject>> find_object(uint32_t handle) const;
  Result<DriverQueue*> find_queue(uint32_t handle) const;
  Result<void> set_segment(DriverQueue& queue, uint32_t segment, const sluice_sdi_segment& entry);
  bool revoke_segment(DriverQueue& queue, uint32_t segment);
  bool revoke_all(DriverQueue& queue, uint32_t handle);
  void discard(DriverQueue& queue, bool stopped);
  static void wake(Vector& vector);

  std::byte* dma(uint64_t address, uint64_t length) override {
    return memory_->dma(address, length);
  }
  std::shared_ptr<PagedView> map_pages(std::vector<uint64_t> pages, uint32_t page_shift,
                                       uint64_t length) override {
    return memory_->map_pages(std::move(pages), page_shift, length);
  }
  std::byte* device_memory(uint64_t offset, uint64_t length) override {
    return memory_->device_memory(offset, length);
  }
  void interrupt(uint32_t vector) override;
  void removed() override;

  const EmulatorOptions options_;
  Fd window_file_;
  MemoryMap window_;
  std::unique_ptr<HostMemory> memory_;
  Fd event_fd_;
  std::optional<Driver> driver_;
  std::unique_ptr<Board> board_;

  mutable std::mutex mutex_;  // what follows, and the order of requests
  std::map<uint32_t, std::shared_ptr<MemoryObject>> objects_;
  std::vector<std::unique_ptr<DriverQueue>> queues_;
  std::vector<std::shared_ptr<MemoryObject>> limbo_;  // freed, but the board may still touch it
  uint32_t next_handle_ = 1;
  uint32_t n_resets_ = 0;

  std::deque<Vector> vectors_;
  std::atomic<uint64_t> n_interrupts_{0}, armed_at_{0};
  std::atomic<bool> armed_{false}, gone_{false};
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_EMULATED_TRANSPORT_H
