// SPDX-License-Identifier: Apache-2.0
// A program that uses the library and not the calls themselves gets errors, and no signals, when
// its board is reset, unbound or removed; pulled out of its slot: guest_sdi_pull.cc.
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest_sdi.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

const std::string kDevices = "/sys/bus/pci/devices/";

GUEST_TEST(a_program_gets_errors_from_a_board_that_is_unbound) {
  const std::string path = node_of(kEdu);
  sluice::Device board = must(sluice::Device::open(path));
  sluice::Mapping mapping = must(board.map(0));
  same(must(mapping.read(kId)), kEduIdentification, "id");
  const Unbound gone(kEdu);
  is_taken_back(mapping, path);
  must_fail(board.read_register(0, kId), ENODEV, {path.c_str(), "gone"});
  must_fail(board.map(0), ENODEV, {path.c_str(), "gone"});
}

GUEST_TEST(a_program_gets_errors_from_a_board_that_is_reset_or_removed) {
  const std::string path = node_of(kEduBehindPort);
  sluice::Device board = must(sluice::Device::open(path));
  sluice::Mapping before = must(board.map(0));
  error_is(write_file(kDevices + kEduBehindPort + "/reset", "1"), 0, "reset");
  is_taken_back(before, path);
  // The board itself is still there.
  sluice::Mapping after = must(board.map(0));
  same(must(after.read(kId)), kEduIdentification, "id by a new mapping");
  is_taken_back(before, path);
  error_is(write_file(kDevices + kEduBehindPort + "/remove", "1"), 0, "remove");
  is_taken_back(after, path);
  must_fail(board.read_register(0, kId), ENODEV, {path.c_str(), "gone"});
  error_is(write_file("/sys/bus/pci/rescan", "1"), 0, "rescan");
  bind_board(kEduBehindPort);
  is_taken_back(after, path);
}

// Memory of each kind, mapped, and a queue.
struct Work {
  std::string path = node_of(kBoard);
  sluice::Device device = must(sluice::Device::open(path));
  std::vector<sluice::Memory> memory;
  std::vector<sluice::Mapping> mappings;
  sluice::Queue queue =
      must(sluice::Queue::create(device, {.n_entries = 4, .n_segments = 1}), "queue");

  Work() {
    using sluice::MemoryKind;
    for (const auto kind : {MemoryKind::kDevice, MemoryKind::kCoherent, MemoryKind::kUncached,
                            MemoryKind::kWriteCombined, MemoryKind::kPages}) {
      memory.push_back(must(device.allocate(kind, 2 * kPage)));
      mappings.push_back(must(memory.back().map()));
      must(mappings.back().write(8, 0x1234));
    }
    must(queue.execute(nop(1), 5s));
  }
};

SDI_TEST(a_program_gets_errors_from_a_reset) {
  Work work;
  must(work.device.reset());
  for (auto& mapping : work.mappings) is_taken_back(mapping, work.path);
  must_fail(work.queue.execute(nop(2), 5s), ECONNRESET, {"reset"});
  // What is in host memory is still there; device memory can be had again.
  for (size_t i = 0; i < work.memory.size(); i++) {
    sluice::Mapping again = must(work.memory[i].map());
    must(again.write(0, 1));
    if (i != 0) same(must(again.read(8)), 0x1234, "host memory after a reset");
  }
}

SDI_TEST(a_program_gets_errors_from_a_board_that_goes) {
  Work work;
  {
    const Unbound gone(kBoard);
    for (auto& mapping : work.mappings) is_taken_back(mapping, work.path);
    for (const auto& memory : work.memory) {
      must_fail(memory.map(), ENODEV, {work.path.c_str(), "gone"});
    }
    must_fail(work.queue.execute(nop(2), 5s), ENODEV, {work.path.c_str(), "gone"});
    must_fail(work.device.allocate(sluice::MemoryKind::kDevice, kPage), ENODEV,
              {work.path.c_str(), "gone"});
  }
  // Back, and yet not for those who had it before.
  for (auto& mapping : work.mappings) is_taken_back(mapping, work.path);
  must_fail(work.device.info(), ENODEV, {work.path.c_str(), "gone"});
}

// Amid copies, in several threads at once.
SDI_TEST(programs_that_copy_get_errors_from_a_board_that_goes) {
  constexpr size_t kThreads = 4, kBytes = 1 << 20;
  const std::string path = node_of(kBoard);
  sluice::Device device = must(sluice::Device::open(path));
  const sluice::Memory memory = must(device.allocate(sluice::MemoryKind::kDevice, kBytes));
  const sluice::Mapping mapping = must(memory.map());
  sluice::Error ends[kThreads];
  std::atomic<size_t> n_copying{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&, i] {
      std::vector<std::byte> bytes(kBytes);
      sluice::Result<void> result;
      for (bool counted = false; result; counted = true) {
        result = i % 2 ? mapping.copy_in(0, bytes) : mapping.copy_out(0, bytes);
        if (!counted) n_copying++;
      }
      ends[i] = result.error();
    });
  }
  while (n_copying < kThreads) ::usleep(1000);
  unbind_board(kBoard);
  for (auto& thread : threads) thread.join();
  bind_board(kBoard);
  for (const sluice::Error& end : ends) {
    error_is(end.code, ECONNRESET, end.message);
    check(end.message.find(path) != end.message.npos, end.message);
  }
}

}  // namespace
