// SPDX-License-Identifier: Apache-2.0
// A board without a driver: the test writes its registers itself, in whatever order it likes.
#ifndef SLUICE_TESTS_UNIT_EMU_RAW_H
#define SLUICE_TESTS_UNIT_EMU_RAW_H

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/aligned.h"
#include "emu/board.h"
#include "emu_support.h"

namespace sluice::test {

struct RawBoard : emu::BoardHost {
  static constexpr uint64_t kBus = 0x100000, kHostBytes = 1 << 20;
  static constexpr uint32_t kEntries = 64;
  // Offsets in host memory.
  static constexpr uint64_t kSq = 0, kCq = 8192, kTable = 16384, kData = 32768;

  PageBuffer window, host, memory;
  emu::Registers r;
  std::unique_ptr<emu::Board> board;
  std::atomic<uint32_t> n_interrupts[64] = {};
  uint32_t generation = 0, clock_request = 0, tail = 0, head = 0;

  std::atomic<bool> line_up{false};

  explicit RawBoard(const EmulatorOptions& options = small_board(), uint64_t memory_size = 4 << 20,
                    bool line = false)
      : window(must(PageBuffer::allocate(emu::Registers::bytes(options.n_queues)))),
        host(must(PageBuffer::allocate(kHostBytes))),
        memory(must(PageBuffer::allocate(memory_size))),
        r(window.data()) {
    emu::Surface surface;
    surface.window = window.data();
    surface.memory_size = memory_size;
    surface.n_vectors = line ? 1 : options.n_queues + 1;
    surface.line = line;
    board = must(emu::Board::create(options, surface, *this));
    board->start();
  }
  ~RawBoard() override { board.reset(); }

  std::byte* dma(uint64_t address, uint64_t length) override {
    const uint64_t offset = address - kBus;
    return offset > kHostBytes || length > kHostBytes - offset ? nullptr : host.data() + offset;
  }
  std::shared_ptr<emu::PagedView> map_pages(std::vector<uint64_t>, uint32_t, uint64_t) override {
    return nullptr;
  }
  std::byte* device_memory(uint64_t offset, uint64_t length) override {
    return offset > memory.size() || length > memory.size() - offset ? nullptr
                                                                     : memory.data() + offset;
  }
  void interrupt(uint32_t vector) override { n_interrupts[vector]++; }
  void set_line(bool up) override { line_up = up; }

  static bool eventually(const std::function<bool()>& holds,
                         std::chrono::milliseconds limit = 5000ms) {
    const auto start = std::chrono::steady_clock::now();
    while (!holds()) {
      if (std::chrono::steady_clock::now() - start > limit) return false;
      std::this_thread::sleep_for(50us);
    }
    return true;
  }
  // The result of a request, or nothing if it is not carried out within the limit.
  std::optional<uint32_t> request(uint32_t action, uint64_t argument = 0,
                                  std::chrono::milliseconds limit = 5000ms) {
    const uint32_t word = SLUICE_SDI_REQUEST(++generation, action);
    emu::store(r.control().argument[0], argument);
    emu::store(r.control().request, word);
    board->notify();
    if (!eventually([&] { return emu::load(r.control().acknowledge) == word; }, limit)) {
      return std::nullopt;
    }
    return emu::load(r.control().result);
  }
  std::optional<uint32_t> commit_clock(std::chrono::milliseconds limit = 5000ms) {
    emu::store(r.clock().request, ++clock_request);
    board->notify();
    if (!eventually([&] { return emu::load(r.clock().acknowledge) == clock_request; }, limit)) {
      return std::nullopt;
    }
    return emu::load(r.clock().result);
  }
  void set_segment(uint32_t i, uint64_t base, uint64_t length, uint32_t flags) {
    reinterpret_cast<sluice_sdi_segment*>(host.data() + kTable)[i] = {base, length, flags, 0, 0};
  }
  // Queue 0, with device memory as segment 0 and host memory from kData on as segment 1.
  uint32_t enable_queue(uint32_t coalesce_count = 0, uint32_t coalesce_us = 0,
                        uint32_t vector = 1) {
    const uint32_t both = SLUICE_SDI_SEGMENT_READ | SLUICE_SDI_SEGMENT_WRITE;
    set_segment(0, 0, memory.size(), both);
    set_segment(1, kBus + kData, kHostBytes - kData, both | SLUICE_SDI_SEGMENT_HOST);
    sluice_sdi_queue& q = r.queue(0);
    q = {};
    q.sq_base = kBus + kSq;
    q.cq_base = kBus + kCq;
    q.segments = kBus + kTable;
    q.n_segments = 4;
    q.n_entries = kEntries;
    q.vector = vector;
    q.coalesce_count = coalesce_count;
    q.coalesce_us = coalesce_us;
    std::memset(host.data() + kCq, 0, kEntries * sizeof(Completion));
    r.doorbell(0).sq_tail = r.doorbell(0).cq_head = 0;
    tail = head = 0;
    return request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 0).value_or(~0u);
  }
  void submit(const QueueEntry& entry) {
    reinterpret_cast<QueueEntry*>(host.data() + kSq)[tail++ % kEntries] = entry;
    emu::store(r.doorbell(0).sq_tail, tail);
    emu::full_fence();
    if (emu::load(r.doorbell(0).idle)) board->notify();
  }
  std::optional<Completion> collect(std::chrono::milliseconds limit = 5000ms) {
    auto& slot = reinterpret_cast<Completion*>(host.data() + kCq)[head % kEntries];
    const uint16_t phase = head / kEntries % 2 == 0 ? 1 : 0;
    if (!eventually([&] { return emu::load(slot.phase) == phase; }, limit)) return std::nullopt;
    const Completion done = slot;
    emu::store(r.doorbell(0).cq_head, ++head);
    return done;
  }
  uint32_t status_of(const QueueEntry& entry) {
    submit(entry);
    const auto done = collect();
    return done ? done->status : ~0u;
  }
  bool fatal() const { return emu::load(r.control().status) & SLUICE_SDI_STATUS_FATAL; }
  // Nothing moves any more, and a reset helps.
  bool hangs_until_reset() {
    const bool dead = eventually([&] { return fatal(); }, 1000ms) &&
                      !request(SLUICE_SDI_ACTION_CLEAR_FAULTS, 0, 20ms);
    return dead && request(SLUICE_SDI_ACTION_RESET) == SLUICE_SDI_RESULT_OK && !fatal() &&
           request(SLUICE_SDI_ACTION_CLEAR_FAULTS) == SLUICE_SDI_RESULT_OK;
  }
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_EMU_RAW_H
