// SPDX-License-Identifier: Apache-2.0
// Fences: signalled when what was submitted before is completed, with an error if that cannot be.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "guest_fence.h"
#include "guest_uring.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

// A command that waits for room, as the ring is full of completions that nobody takes: a fence of
// this queue stays as long as one likes.
struct Stuck {
  Stuck()
      : fd(std::in_place, node_of(kBoard), O_RDWR),
        queue(make_queue(fd->get(), SLUICE_QUEUE_KERNEL, 2)) {
    error_is(submit(fd->get(), queue.handle, {nop(1), nop(2)}), 0, "SUBMIT");
    ring.command(fd->get(), queue.handle, nop(3), 1);
    ring.submit(1);
  }
  Fd fence() const { return make_fence(fd->get(), queue.handle); }
  void release() const {
    std::vector<sluice_sdi_completion> done;
    while (done.size() < 2) error_is(wait(fd->get(), queue.handle, &done), 0, "WAIT");
  }
  std::optional<Fd> fd;
  struct sluice_queue queue;
  Uring ring;
};

SDI_TEST(fences_are_signalled) {
  for (const char* board : {kBoard, kLosing}) {
    const Fd fd(node_of(board), O_RDWR);
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
    ends_with(make_fence(fd.get(), queue.handle).get(), 1, "nothing was submitted");
    for (int i = 0; i < 20; i++) {
      error_is(submit(fd.get(), queue.handle, {nop(1), nop(2), nop(3)}), 0, "SUBMIT");
      const Fd fence = make_fence(fd.get(), queue.handle);
      ends_with(fence.get(), 1, board);
      // Signalled is completed: nobody has to wait any more.
      std::vector<sluice_sdi_completion> done;
      error_is(wait(fd.get(), queue.handle, &done, 0ms), 0, "WAIT after the fence");
      same(done.size(), 3, "completions");
    }
    // A failed entry is completed, too; its completion says what happened.
    error_is(submit(fd.get(), queue.handle, {copy(1, 0, 64, 64)}), 0, "SUBMIT");
    ends_with(make_fence(fd.get(), queue.handle).get(), 1, "an entry that fails");
  }
}

SDI_TEST(fences_of_rings_that_are_the_programs) {
  for (const char* board : {kBoard, kLosing}) {
    const Fd fd(node_of(board), O_RDWR);
    UserRings rings(fd.get());
    for (uint32_t i = 0; i < 30; i++) {
      const uint32_t n = 1 + i % 8;
      rings.submit(std::vector<sluice_sdi_entry>(n, nop(i)));
      ends_with(make_fence(fd.get(), rings.queue.handle).get(), 1,
                fmt::format("{}, round {}", board, i));
      ends_with(make_fence(fd.get(), rings.queue.handle).get(), 1, "completed, not taken");
      rings.doorbell->cq_head = rings.doorbell->sq_tail;
      ends_with(make_fence(fd.get(), rings.queue.handle).get(), 1, "all taken");
    }
    rings.doorbell->cq_head = rings.doorbell->sq_tail - 9;
    int none = -1;
    error_is(fence_error(fd.get(), rings.queue.handle, &none), ERANGE, "more than the ring holds");
  }
}

SDI_TEST(fences_can_be_polled_and_merged) {
  const Stuck stuck;
  const Fd fence = stuck.fence(), second = stuck.fence();
  const Fd other(node_of(kBoard), O_RDWR);
  const auto free_queue = make_queue(other.get(), SLUICE_QUEUE_KERNEL);
  const Fd done = make_fence(other.get(), free_queue.handle);
  ends_with(done.get(), 1, "the other queue's");
  const Fd both = merged(fence.get(), done.get());
  const Stuck another;
  const Fd two = merged(fence.get(), another.fence().get());
  check(!is_signalled(fence.get(), 100ms), "signalled before its entry was submitted");
  check(!is_signalled(both.get(), 0ms), "a merged fence without its half");
  const auto info = fence_info(fence.get());
  same(static_cast<uint64_t>(info.status), 0, "status");
  same(info.fences.size(), 1, "fences");
  check(std::string(info.fences[0].driver_name) == "sluice", info.fences[0].driver_name);
  check(std::string(info.fences[0].obj_name).find("-q" + std::to_string(stuck.queue.index)) !=
            std::string::npos,
        info.fences[0].obj_name);
  same(fence_info(two.get()).fences.size(), 2, "fences of two queues");
  stuck.release();
  for (const int one : {fence.get(), second.get(), both.get()}) ends_with(one, 1, "released");
  check(!is_signalled(two.get(), 50ms), "merged with one that is not signalled");
  another.release();
  ends_with(two.get(), 1, "both released");
}

SDI_TEST(fences_are_refused) {
  const Fd fd(node_of(kBoard), O_RDWR), reader(node_of(kBoard), O_RDONLY);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  int none = -1;
  error_is(fence_error(fd.get(), queue.handle + 9, &none), ENOENT, "no such queue");
  error_is(fence_error(fd.get(), allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage), &none), ENOENT,
           "memory is no queue");
  error_is(fence_error(reader.get(), queue.handle, &none), EBADF, "by a reader");
  error_is(reset(fd.get()), 0, "RESET");
  error_is(fence_error(fd.get(), queue.handle, &none), ECONNRESET, "a dead queue");
  // So many that are not signalled, though nobody has their descriptors any more.
  const Stuck stuck;
  const Fd first = stuck.fence();
  for (int i = 1; i < 1024; i++) stuck.fence();
  error_is(fence_error(stuck.fd->get(), stuck.queue.handle, &none), ENOSPC, "the 1025th");
  stuck.release();
  ends_with(first.get(), 1, "the first");
  ends_with(stuck.fence().get(), 1, "after the others have gone");
}

SDI_TEST(fences_end_with_their_queue) {
  {
    const Stuck stuck;
    const Fd fence = stuck.fence();
    error_is(reset(stuck.fd->get()), 0, "RESET");
    ends_with(fence.get(), -ECONNRESET, "reset");
  }
  {
    const Stuck stuck;
    const Fd fence = stuck.fence();
    free_object(stuck.fd->get(), stuck.queue.handle);
    ends_with(fence.get(), -ECANCELED, "the queue is freed");
  }
  {
    Stuck stuck;
    const Fd fence = stuck.fence();
    stuck.fd.reset();
    ends_with(fence.get(), -ECANCELED, "the file is closed");
  }
  const Stuck stuck;
  const Fd fence = stuck.fence();
  const Unbound gone(kBoard);
  ends_with(fence.get(), -ENODEV, "the board is gone");
}

// Whoever waits for a fence waits for a bounded time, whatever board and program do.
SDI_TEST(fences_are_signalled_in_time) {
  set_parameter("timeout_ms", "300");
  {
    // A doorbell page that makes no sense: the watchdog stops the queue.
    const Fd fd(node_of(kBoard), O_RDWR);
    UserRings rings(fd.get());
    rings.doorbell->cq_head = 100;
    rings.doorbell->sq_tail = 104;
    const Fd fence = make_fence(fd.get(), rings.queue.handle);
    check(!is_signalled(fence.get(), 100ms), "signalled at once");
    ends_with(fence.get(), -ETIMEDOUT, "entries that never were");
    error_is(wait(fd.get(), rings.queue.handle, nullptr), ECONNRESET, "the queue");
  }
  {
    // The program does not take its completions, so that what waits for room waits: the fence alone
    // ends.
    const Stuck stuck;
    const Fd fence = stuck.fence();
    ends_with(fence.get(), -ETIMEDOUT, "a ring that nobody empties");
    stuck.release();
    ends_with(stuck.fence().get(), 1, "the queue goes on");
  }
  set_parameter("timeout_ms", "30000");
}

// The board hangs in the middle of these (tests/vm/run). It is reset, or the fence is faster.
SDI_TEST(fences_end_when_a_board_hangs) {
  set_parameter("timeout_ms", "300");
  const Fd fd(node_of(kHanging), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  error_is(submit(fd.get(), queue.handle, std::vector<sluice_sdi_entry>(8, nop(1))), 0, "SUBMIT");
  const Fd fence = make_fence(fd.get(), queue.handle);
  const bool signalled = is_signalled(fence.get(), 10s);
  free_object(fd.get(), queue.handle);
  set_parameter("timeout_ms", "30000");
  check(signalled, "not signalled");
  const int status = fence_info(fence.get()).status;
  check(status == -ECONNRESET || status == -ETIMEDOUT, fmt::format("status {}", status));
}

SDI_TEST(io_uring_commands_end_when_a_board_hangs) {
  set_parameter("timeout_ms", "300");
  const Fd fd(node_of(kHanging), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
  Uring ring;
  for (uint64_t i = 0; i < 8; i++) ring.command(fd.get(), queue.handle, nop(1), i);
  ring.submit(8);
  const auto all = ring.wait(8);
  set_parameter("timeout_ms", "30000");
  for (const auto& [user_data, done] : all) {
    error_is(-done.res, user_data < 4 ? 0 : ECONNRESET, fmt::format("command {}", user_data));
  }
  ring.is_empty();
}

// Signalled or not, what a fence is asked for is code of the driver.
SDI_TEST(fences_keep_the_module) {
  {
    std::optional<Fd> fence;
    {
      const Stuck stuck;
      fence.emplace(stuck.fence());
    }
    ends_with(fence->get(), -ECANCELED, "the file is closed");
    check(unload_module(0) != 0, "the module went while there was a fence");
    check(std::string(fence_info(fence->get()).fences.at(0).driver_name) == "sluice", "its name");
  }
  error_is(unload_module(), 0, "rmmod without fences");
  error_is(load_module(""), 0, "insmod");
}

}  // namespace
