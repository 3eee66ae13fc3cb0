// SPDX-License-Identifier: Apache-2.0
// Queues of a board with the Device Interface: bring-up, rings of both kinds, segments, contents.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "guest_sdi.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

Fd open_sdi(const char* name = kBoard, int flags = O_RDWR) { return Fd(node_of(name), flags); }

uint64_t at(uint32_t segment, uint64_t offset = 0) { return SLUICE_SDI_ADDR(segment, offset); }

SDI_TEST(boards_with_the_interface_are_taken) {
  for (const char* name : {kBoard, kHanging, kLosing, kMortal, kPulled}) {
    const auto info = info_of(open_sdi(name).get());
    same(info.kind, SLUICE_BOARD_SDI, "kind");
    check(info.state & SLUICE_STATE_BUS_MASTER, "no bus master");
    check(info.state & SLUICE_STATE_IRQ, "no interrupts");
    check(info.state & SLUICE_STATE_VECTORS, "no vector for each queue");
    same(info.n_windows, 2, "windows");
    same(info.memory_window, 1, "memory window");
    same(info.n_queues, 7, "queues");
    same(info.n_queues_free, 7, "free queues");
    same(info.memory_free, info.memory_size, "free memory");
    same(info.sdi_version, SLUICE_SDI_VERSION, "version");
    check(info.capabilities & SLUICE_SDI_CAP_EXACT, "capabilities");
  }
}

SDI_TEST(driver_kept_rings_carry_entries) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
  same(queue.sq_cookie | queue.cq_cookie | queue.doorbell_cookie, 0, "cookies");
  // Many times around the ring; ids are the caller's, and may repeat.
  for (uint32_t round = 0; round < 50; round++) {
    std::vector<sluice_sdi_entry> entries;
    for (uint32_t i = 0; i < 1 + round % 8; i++) entries.push_back(nop(0xab000000 + round));
    for (const auto& done : run(fd.get(), queue.handle, entries)) {
      same(done.status, SLUICE_SDI_OK, "status");
      same(done.id, 0xab000000 + round, "id");
    }
  }
}

SDI_TEST(a_full_ring_says_so) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 4);
  std::vector<sluice_sdi_entry> entries(4, nop(1));
  uint32_t accepted = 0;
  error_is(submit(fd.get(), queue.handle, entries, &accepted), 0, "SUBMIT");
  same(accepted, 4, "accepted");
  // Completed or not: room comes back when completions are taken.
  error_is(submit(fd.get(), queue.handle, {nop(2)}, &accepted), EAGAIN, "SUBMIT to a full ring");
  std::vector<sluice_sdi_completion> done;
  while (done.size() < 3) error_is(wait(fd.get(), queue.handle, &done), 0, "WAIT");
  error_is(submit(fd.get(), queue.handle, entries, &accepted), 0, "SUBMIT");
  same(accepted, done.size(), "as many as there is room for");
}

// A queue whose rings are the program's, as sluice::Queue keeps it.
SDI_TEST(user_rings_carry_entries) {
  sluice::Device device = must(sluice::Device::open(node_of(kBoard)));
  sluice::Queue queue = must(sluice::Queue::create(device, {.n_entries = 8, .n_segments = 4}));
  for (uint32_t i = 0; i < 200; i++) {
    const auto done = must(queue.execute(nop(i), 5s), fmt::format("entry {}", i));
    same(done.id, i, "id");
  }
}

SDI_TEST(segments_hold_what_is_copied) {
  sluice::Device device = must(sluice::Device::open(node_of(kBoard)));
  sluice::Queue queue = must(sluice::Queue::create(device, {.n_entries = 8, .n_segments = 8}));
  constexpr uint64_t kLength = 3 * 1024 * 1024 + 12345;
  const auto device_memory = must(device.allocate(sluice::MemoryKind::kDevice, kLength));
  uint32_t seed = 1;
  for (const auto kind : {sluice::MemoryKind::kCoherent, sluice::MemoryKind::kUncached,
                          sluice::MemoryKind::kWriteCombined, sluice::MemoryKind::kPages}) {
    const std::string what = fmt::format("kind {}", static_cast<int>(kind));
    const auto from = must(device.allocate(kind, kLength), what);
    const auto to = must(device.allocate(kind, kLength), what);
    must(queue.grant(0, from, sluice::Access::kRead), what);
    must(queue.grant(1, device_memory, sluice::Access::kReadWrite), what);
    must(queue.grant(2, to, sluice::Access::kWrite), what);
    const auto source = must(from.map(), what), target = must(to.map(), what);
    auto* bytes = static_cast<uint8_t*>(const_cast<void*>(source.data()));
    for (uint64_t i = 0; i < kLength; i += 4) {
      const uint32_t word = seed = seed * 1664525 + 1013904223;
      std::memcpy(bytes + i, &word, std::min<uint64_t>(4, kLength - i));
    }
    same(*static_cast<volatile uint64_t*>(target.data()), 0, what + " is zeroed");
    must(queue.execute(copy(1, at(0), at(1), kLength), 10s), what);
    must(queue.execute(copy(2, at(1), at(2), kLength), 10s), what);
    check(std::memcmp(bytes, const_cast<void*>(target.data()), kLength) == 0,
          what + ": other bytes came back");
    for (uint32_t segment = 0; segment < 3; segment++) must(queue.revoke(segment), what);
  }
}

SDI_TEST(parts_of_objects_are_granted) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  constexpr uint64_t kLength = 8 << 20, kPart = 64 * kPage;
  const uint32_t host = allocate(fd.get(), SLUICE_ALLOC_COHERENT, kLength);
  const uint32_t board = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPart);
  volatile uint8_t* host_at = map_object(fd.get(), host, kLength);
  volatile uint8_t* board_at = map_object(fd.get(), board, kPart);
  // Offsets that are and are not of the chunks that the memory is made of.
  for (const uint64_t offset : {uint64_t{0}, uint64_t{2} << 20, (uint64_t{2} << 20) - kPage,
                                uint64_t{5} << 20, kLength - kPart, uint64_t{3} * kPage}) {
    std::memset(const_cast<uint8_t*>(host_at + offset), static_cast<int>(offset >> 12 & 0xff) + 1,
                kPart);
    error_is(grant(fd.get(), queue.handle, 0, host, offset, kPart), 0, "GRANT");
    error_is(grant(fd.get(), queue.handle, 1, board, 0, kPart), 0, "GRANT");
    same(run(fd.get(), queue.handle, {copy(1, at(0), at(1), kPart)})[0].status, 0, "status");
    check(std::memcmp(const_cast<uint8_t*>(host_at + offset), const_cast<uint8_t*>(board_at),
                      kPart) == 0,
          fmt::format("offset {:#x}", offset));
  }
}

SDI_TEST(what_is_not_granted_is_a_fault) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 4 * kPage);
  error_is(grant(fd.get(), queue.handle, 0, memory, 0, 2 * kPage, SLUICE_GRANT_READ), 0, "GRANT");
  error_is(grant(fd.get(), queue.handle, 1, memory, 2 * kPage, 2 * kPage), 0, "GRANT");
  const auto status = [&](const sluice_sdi_entry& entry) {
    return run(fd.get(), queue.handle, {entry})[0].status;
  };
  same(status(copy(1, at(0), at(1), kPage)), SLUICE_SDI_OK, "granted");
  same(status(copy(2, at(1), at(0), kPage)), SLUICE_SDI_E_SEGMENT, "write to a read-only segment");
  same(status(copy(3, at(0, kPage + 8), at(1), kPage)), SLUICE_SDI_E_SEGMENT, "over the end");
  same(status(copy(4, at(2), at(1), kPage)), SLUICE_SDI_E_SEGMENT, "an empty segment");
  same(status(copy(5, at(99), at(1), kPage)), SLUICE_SDI_E_SEGMENT, "no such segment");
  error_is(grant(fd.get(), queue.handle, 0, 0, 0, 0, 0), 0, "taken back");
  same(status(copy(6, at(0), at(1), kPage)), SLUICE_SDI_E_SEGMENT, "a segment taken back");
  // Freed memory is out of every segment, though nobody took it out.
  free_object(fd.get(), memory);
  same(status(copy(7, at(1), at(1, kPage), 64)), SLUICE_SDI_E_SEGMENT, "freed memory");
}

SDI_TEST(grants_are_checked) {
  const Fd fd = open_sdi(), other = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 16, 4);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 2 * kPage);
  const auto try_grant = [&](uint32_t segment, uint32_t handle, uint64_t offset, uint64_t length) {
    return grant(fd.get(), queue.handle, segment, handle, offset, length);
  };
  error_is(try_grant(3, memory, 0, 2 * kPage), 0, "the last segment");
  error_is(try_grant(4, memory, 0, kPage), EINVAL, "past the last segment");
  error_is(try_grant(0, memory, 8, kPage), EINVAL, "offset not of a page");
  error_is(try_grant(0, memory, 0, 0), EINVAL, "length 0");
  error_is(try_grant(0, memory, 0, 2 * kPage + 1), ERANGE, "too long");
  error_is(try_grant(0, memory, 2 * kPage, 1), ERANGE, "past the end");
  error_is(try_grant(0, memory, kPage, ~uint64_t{0}), ERANGE, "length wraps");
  error_is(try_grant(0, memory + 100, 0, kPage), ENOENT, "no such object");
  error_is(try_grant(0, queue.handle, 0, kPage), ENOENT, "a queue is no memory");
  error_is(grant(other.get(), queue.handle, 0, memory, 0, kPage), ENOENT, "another file's queue");
  error_is(grant(fd.get(), queue.handle, 0, memory, 0, 0, 0), EINVAL, "revoke with a handle");
}

SDI_TEST(queues_are_bounded_and_come_back) {
  const Fd fd = open_sdi();
  std::vector<uint32_t> handles;
  for (int i = 0; i < 7; i++) handles.push_back(make_queue(fd.get()).handle);
  auto arg = argument<struct sluice_queue>();
  arg.n_entries = 16;
  arg.n_segments = 1;
  error_is(call(fd.get(), SLUICE_IOC_QUEUE, &arg), EBUSY, "an eighth queue");
  same(info_of(fd.get()).n_queues_free, 0, "free queues");
  free_object(fd.get(), handles[3]);
  const auto again = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  same(again.index, 3, "the queue that came back");
  run(fd.get(), again.handle, {nop(1)});
  for (const uint32_t entries : {0u, 1u, 3u, 1u << 31}) {
    arg = argument<struct sluice_queue>();
    arg.n_entries = entries;
    arg.n_segments = 1;
    error_is(call(fd.get(), SLUICE_IOC_QUEUE, &arg), EINVAL, fmt::format("{} entries", entries));
  }
}

SDI_TEST(the_doorbell_goes_with_the_queue) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get());
  const auto map = [&](uint64_t cookie) {
    return ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(),
                  static_cast<off_t>(cookie));
  };
  void* doorbell = map(queue.doorbell_cookie);
  check(doorbell != MAP_FAILED, "mmap of the doorbell");
  same(*static_cast<volatile uint32_t*>(doorbell), 0, "tail");
  check(map(queue.cq_cookie) == MAP_FAILED && errno == EACCES, "a writable completion ring");
  free_object(fd.get(), queue.handle);
  same(static_cast<uint64_t>(signal_of_read(static_cast<volatile uint32_t*>(doorbell))), SIGBUS,
       "the doorbell of a queue that is gone");
  check(map(queue.doorbell_cookie) == MAP_FAILED && errno == EINVAL, "its cookie");
}

SDI_TEST(waits_time_out_and_wake) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  std::vector<sluice_sdi_completion> done;
  error_is(wait(fd.get(), queue.handle, &done, 50ms), ETIMEDOUT, "nothing to wait for");
  std::thread later([&] {
    ::usleep(100000);
    submit(fd.get(), queue.handle, {nop(7)});
  });
  const int error = wait(fd.get(), queue.handle, &done);
  later.join();
  error_is(error, 0, "WAIT");
  same(done.at(0).id, 7, "id");
}

SDI_TEST(poll_and_eventfd_tell_of_completions) {
  const Fd fd = open_sdi();
  const Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  auto arg = argument<struct sluice_queue>();
  arg.flags = SLUICE_QUEUE_KERNEL | SLUICE_QUEUE_EVENTFD;
  arg.n_entries = 8;
  arg.n_segments = 1;
  arg.eventfd = event.get();
  error_is(call(fd.get(), SLUICE_IOC_QUEUE, &arg), 0, "QUEUE");
  pollfd fds[] = {{fd.get(), POLLIN, 0}, {event.get(), POLLIN, 0}};
  same(static_cast<uint64_t>(::poll(fds, 2, 50)), 0, "readable before anything was submitted");
  error_is(submit(fd.get(), arg.handle, {nop(1)}), 0, "SUBMIT");
  for (auto& one : fds) {
    same(static_cast<uint64_t>(::poll(&one, 1, 5000)), 1, "not told of the completion");
  }
  std::vector<sluice_sdi_completion> done;
  error_is(wait(fd.get(), arg.handle, &done), 0, "WAIT");
  same(static_cast<uint64_t>(::poll(fds, 1, 0)), 0, "readable with all completions taken");
}

SDI_TEST(lost_interrupts_do_not_hold_anybody) {
  const Fd fd = open_sdi(kLosing);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const uint64_t before = info_of(fd.get()).irq_count;
  for (uint32_t i = 0; i < 10; i++) same(run(fd.get(), queue.handle, {nop(i)})[0].id, i, "id");
  same(info_of(fd.get()).irq_count, before, "interrupts of a board that raises none");
  pollfd one = {fd.get(), POLLIN, 0};
  error_is(submit(fd.get(), queue.handle, {nop(1)}), 0, "SUBMIT");
  same(static_cast<uint64_t>(::poll(&one, 1, 5000)), 1, "poll without an interrupt");
}

}  // namespace
