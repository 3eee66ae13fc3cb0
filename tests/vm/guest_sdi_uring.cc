// SPDX-License-Identifier: Apache-2.0
// Entries as io_uring commands: each is completed once, whatever ends it.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "guest_uring.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

uint64_t at(uint32_t segment, uint64_t offset = 0) { return SLUICE_SDI_ADDR(segment, offset); }

// A queue whose ring is full of completions that nobody takes: commands wait for room.
struct Full {
  explicit Full(const char* board = kBoard, uint32_t n = 4)
      : fd(std::in_place, node_of(board), O_RDWR),
        queue(make_queue(fd->get(), SLUICE_QUEUE_KERNEL, n)) {
    error_is(submit(fd->get(), queue.handle, std::vector<sluice_sdi_entry>(n, nop(99))), 0,
             "SUBMIT");
  }
  std::optional<Fd> fd;
  struct sluice_queue queue;
};

void all_are(const Uring::AllDone& all, int res, const char* what) {
  for (const auto& [user_data, done] : all) error_is(-done.res, -res, what);
}

SDI_TEST(io_uring_carries_entries) {
  for (const unsigned extra : {0u, unsigned{IORING_SETUP_CQE32},
                               unsigned{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN}}) {
    const Fd fd(node_of(kBoard), O_RDWR);
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
    Uring ring(64, IORING_SETUP_SQE128 | extra);
    // Many times around both rings, and more at once than the queue's has room for.
    for (int round = 0; round < 20; round++) {
      for (uint64_t i = 0; i < 16; i++) ring.command(fd.get(), queue.handle, nop(7), i);
      ring.submit(16);
      all_are(ring.wait(16), 0, "res of a NOP");
    }
    ring.is_empty();
    const auto failed = ring.run(fd.get(), queue.handle, copy(1, at(3), at(2), 64));
    error_is(-failed.res, EIO, "a COPY of what is not granted");
    if (extra & IORING_SETUP_CQE32) same(failed.res2 >> 32, SLUICE_SDI_E_SEGMENT, "status in res2");
    sluice_sdi_entry bad = nop(0);
    bad.opcode = 0x777;
    error_is(-ring.run(fd.get(), queue.handle, bad).res, EIO, "an opcode that the board has not");
  }
}

SDI_TEST(io_uring_commands_are_checked) {
  const Fd fd(node_of(kBoard), O_RDWR), reader(node_of(kBoard), O_RDONLY), edges("/init", O_RDONLY);
  const uint32_t queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL).handle;
  const uint32_t user_queue = make_queue(fd.get()).handle;
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  Uring ring, small(8, 0);
  error_is(-ring.run(fd.get(), 0, nop(1)).res, ENOENT, "handle 0");
  error_is(-ring.run(fd.get(), queue + 100, nop(1)).res, ENOENT, "no such queue");
  error_is(-ring.run(fd.get(), memory, nop(1)).res, ENOENT, "memory is no queue");
  error_is(-ring.run(fd.get(), user_queue, nop(1)).res, EINVAL, "a queue with the caller's rings");
  error_is(-ring.run(reader.get(), queue, nop(1)).res, EBADF, "by a reader");
  // The rest of the command: byte by byte.
  for (const size_t byte : {4, 7, 8, 15}) {
    ring.command(fd.get(), queue, nop(1), 1);
    io_uring_sqe* sqe =
        &ring.get()->sq.sqes[((ring.get()->sq.sqe_tail - 1) & *ring.get()->sq.kring_mask) << 1];
    sqe->cmd[byte] = 1;
    ring.submit(1);
    error_is(-ring.wait(1).at(1).res, EINVAL, fmt::format("byte {}", byte));
  }
  for (const uint32_t op : {0u, 2u, ~0u}) {
    io_uring_sqe* sqe = ring.next(1);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = fd.get();
    sqe->cmd_op = op;
    ring.submit(1);
    error_is(-ring.wait(1).at(1).res, ENOTTY, fmt::format("command {}", op));
  }
  io_uring_sqe* sqe = small.next(1);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = fd.get();
  sqe->cmd_op = SLUICE_URING_SUBMIT;
  small.submit(1);
  error_is(-small.wait(1).at(1).res, EINVAL, "entries of 64 bytes");
  Uring polled(8, IORING_SETUP_SQE128 | IORING_SETUP_IOPOLL);
  polled.command(fd.get(), queue, nop(1), 1);
  polled.submit(1);
  error_is(-polled.wait(1).at(1).res, EOPNOTSUPP, "a ring that polls");
}

// The same queue by SUBMIT and WAIT: neither gets the other's completions.
SDI_TEST(io_uring_and_waits_share_a_queue) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 32);
  Uring ring;
  for (uint32_t round = 0; round < 50; round++) {
    std::vector<sluice_sdi_completion> done;
    for (uint32_t i = 0; i < 5; i++) ring.command(fd.get(), queue.handle, nop(5), i);
    error_is(submit(fd.get(), queue.handle, {nop(1000 + round), nop(2000 + round)}), 0, "SUBMIT");
    ring.submit(5);
    error_is(submit(fd.get(), queue.handle, {nop(3000 + round)}), 0, "SUBMIT");
    if (round % 2) {
      pollfd one = {fd.get(), POLLIN, 0};
      same(static_cast<uint64_t>(::poll(&one, 1, 5000)), 1, "poll");
      all_are(ring.wait(5), 0, "res");
    }
    while (done.size() < 3) error_is(wait(fd.get(), queue.handle, &done), 0, "WAIT");
    for (uint32_t i = 0; i < 3; i++) same(done[i].id, (i + 1) * 1000 + round, "id");
    same(done.size(), 3, "completions by WAIT");
    if (round % 2 == 0) all_are(ring.wait(5), 0, "res");
    ring.is_empty();
    error_is(wait(fd.get(), queue.handle, &done, 0ms), ETIMEDOUT, "WAIT for more");
  }
}

SDI_TEST(io_uring_commands_wait_for_room) {
  Full full;
  Uring ring;
  for (uint64_t i = 0; i < 5; i++) ring.command(full.fd->get(), full.queue.handle, nop(1), i);
  ring.submit(5);
  // As many wait as the ring has entries; the fifth is told at once.
  const auto told = ring.wait(1);
  error_is(-told.at(4).res, ENOBUFS, "one too many");
  ::usleep(100000);
  ring.is_empty();
  uint32_t accepted = 0;
  error_is(submit(full.fd->get(), full.queue.handle, {nop(3)}, &accepted), EAGAIN, "SUBMIT");
  std::vector<sluice_sdi_completion> done;
  while (done.size() < 4) error_is(wait(full.fd->get(), full.queue.handle, &done), 0, "WAIT");
  all_are(ring.wait(4), 0, "those that waited");
  same(run(full.fd->get(), full.queue.handle, {nop(3)})[0].id, 3, "SUBMIT afterwards");
}

SDI_TEST(a_file_is_read_and_copied_in_one_ring) {
  constexpr uint64_t kChunk = 64 * 1024, kChunks = 12;
  const std::string path = "/tmp/uring-source";
  std::vector<uint8_t> bytes(kChunk * kChunks);
  uint32_t seed = 3;
  for (auto& byte : bytes) byte = static_cast<uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  {
    const Fd out(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    same(static_cast<uint64_t>(::write(out.get(), bytes.data(), bytes.size())), bytes.size(),
         "write");
  }
  const Fd fd(node_of(kBoard), O_RDWR), file(path, O_RDONLY);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
  const uint32_t staging = allocate(fd.get(), SLUICE_ALLOC_COHERENT, bytes.size());
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, bytes.size());
  error_is(grant(fd.get(), queue.handle, 0, staging, 0, bytes.size(), SLUICE_GRANT_READ), 0,
           "GRANT");
  error_is(grant(fd.get(), queue.handle, 1, memory, 0, bytes.size(), SLUICE_GRANT_WRITE), 0,
           "GRANT");
  auto* buffer = const_cast<uint8_t*>(map_object(fd.get(), staging, bytes.size()));
  Uring ring;
  for (uint64_t i = 0; i < kChunks; i++) {
    io_uring_sqe* sqe = ring.next(i);
    ::io_uring_prep_read(sqe, file.get(), buffer + i * kChunk, kChunk, i * kChunk);
    sqe->user_data = i;
    sqe->flags = IOSQE_IO_LINK;
    ring.command(fd.get(), queue.handle, copy(0, at(0, i * kChunk), at(1, i * kChunk), kChunk),
                 100 + i);
  }
  ring.submit(2 * kChunks);
  for (const auto& [user_data, done] : ring.wait(2 * kChunks)) {
    same(static_cast<uint64_t>(done.res), user_data < 100 ? kChunk : 0,
         fmt::format("res of {}", user_data));
  }
  const auto* device = const_cast<uint8_t*>(map_object(fd.get(), memory, bytes.size()));
  check(std::memcmp(device, bytes.data(), bytes.size()) == 0, "other bytes in device memory");
  // A COPY that fails ends what is linked behind it.
  ring.command(fd.get(), queue.handle, copy(0, at(7), at(1), 64), 1, IOSQE_IO_LINK);
  ring.command(fd.get(), queue.handle, nop(0), 2);
  ring.submit(2);
  const auto linked = ring.wait(2);
  error_is(-linked.at(1).res, EIO, "the COPY");
  error_is(-linked.at(2).res, ECANCELED, "what was linked to it");
  ::unlink(path.c_str());
}

// --- ends ------------------------------------------------------------------------------------

// io_uring lets go of the file a little later than the program does.
void all_queues_come_back() {
  struct sluice_info info = {};
  for (int i = 0; i < 300; i++) {
    info = info_of(Fd(node_of(kBoard), O_RDWR).get());
    if (info.n_queues_free == info.n_queues) return;
    ::usleep(10000);
  }
  same(info.n_queues_free, info.n_queues, "queues that are free again");
}

void end_of_commands(void (*end)(Full& full), int error) {
  Full full;
  Uring ring;
  for (uint64_t i = 0; i < 4; i++) ring.command(full.fd->get(), full.queue.handle, nop(1), i);
  ring.submit(4);
  ::usleep(20000);
  ring.is_empty();
  end(full);
  all_are(ring.wait(4), -error, "commands of a queue that has ended");
  ring.is_empty();
}

SDI_TEST(io_uring_commands_end_with_a_reset) {
  end_of_commands([](Full& full) { error_is(reset(full.fd->get()), 0, "RESET"); }, ECONNRESET);
  const Fd fd(node_of(kBoard), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  error_is(reset(fd.get()), 0, "RESET");
  error_is(-Uring().run(fd.get(), queue.handle, nop(1)).res, ECONNRESET, "a dead queue");
}

SDI_TEST(io_uring_commands_end_with_the_board) {
  end_of_commands(
      [](Full& full) {
        const Unbound gone(kBoard);
        error_is(-Uring().run(full.fd->get(), full.queue.handle, nop(1)).res, ENODEV, "afterwards");
      },
      ENODEV);
}

SDI_TEST(io_uring_commands_end_with_the_queue) {
  end_of_commands([](Full& full) { free_object(full.fd->get(), full.queue.handle); }, ECANCELED);
}

// The commands themselves have the file open: its last descriptor is what counts.
SDI_TEST(io_uring_commands_end_with_the_descriptor) {
  end_of_commands([](Full& full) { full.fd.reset(); }, ECANCELED);
  all_queues_come_back();
  // Another program's close is nothing to ours.
  Full full;
  Uring ring;
  ring.command(full.fd->get(), full.queue.handle, nop(1), 1);
  ring.submit(1);
  same(static_cast<uint64_t>(in_child([&] { full.fd.reset(); })), 0, "the child");
  ::usleep(50000);
  ring.is_empty();
  std::vector<sluice_sdi_completion> done;
  error_is(wait(full.fd->get(), full.queue.handle, &done), 0, "WAIT");
  all_are(ring.wait(1), 0, "the command");
}

SDI_TEST(a_killed_program_leaves_no_command) {
  for (int round = 0; round < 6; round++) {
    int ready[2];
    check(::pipe(ready) == 0, "pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
      Full full;
      Uring ring;
      for (uint64_t i = 0; i < 4; i++) ring.command(full.fd->get(), full.queue.handle, nop(1), i);
      ring.submit(4);
      [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
      const auto other = make_queue(full.fd->get(), SLUICE_QUEUE_KERNEL, 64);
      for (;;) {
        for (uint64_t i = 0; i < 32; i++) ring.command(full.fd->get(), other.handle, nop(1), i);
        ring.submit(32);
        ring.wait(32);
      }
    }
    char byte = 0;
    check(::read(ready[0], &byte, 1) == 1, "the child did not begin");
    ::close(ready[0]);
    ::close(ready[1]);
    ::usleep(static_cast<useconds_t>(round * 5000));
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
  all_queues_come_back();
}

SDI_TEST(io_uring_needs_no_interrupt) {
  const Fd fd(node_of(kLosing), O_RDWR);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 8);
  const uint64_t before = info_of(fd.get()).irq_count;
  Uring ring;
  for (int i = 0; i < 5; i++) error_is(-ring.run(fd.get(), queue.handle, nop(1)).res, 0, "res");
  same(info_of(fd.get()).irq_count, before, "interrupts of a board that raises none");
  // And polls are told of completions that the driver took on behalf of a command.
  error_is(submit(fd.get(), queue.handle, {nop(8)}), 0, "SUBMIT");
  error_is(-ring.run(fd.get(), queue.handle, nop(1)).res, 0, "res");
  pollfd one = {fd.get(), POLLIN, 0};
  same(static_cast<uint64_t>(::poll(&one, 1, 5000)), 1, "poll");
}

SDI_TEST(io_uring_commands_survive_resets_under_load) {
  // Each command comes back once, whatever it ends with, and the program gets on with another
  // queue.
  uint64_t n_done = 0, n_failed = 0;
  std::atomic<bool> over = false;
  std::thread resets([&] {
    for (int i = 0; i < 12; i++) {
      ::usleep(40000);
      if (i % 4 == 3) {
        unbind_board(kBoard);
        bind_board(kBoard);
      } else {
        reset(Fd(node_of(kBoard), O_RDWR).get());
      }
    }
    over = true;
  });
  const std::string path = node_of(kBoard);
  while (!over) {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    auto arg = argument<struct sluice_queue>();
    arg.flags = SLUICE_QUEUE_KERNEL;
    arg.n_entries = 8;
    arg.n_segments = 1;
    if (fd.get() < 0 || call(fd.get(), SLUICE_IOC_QUEUE, &arg) != 0) continue;
    Uring ring;
    for (bool well = true; well && !over;) {
      for (uint64_t i = 0; i < 12; i++) ring.command(fd.get(), arg.handle, nop(1), i);
      ring.submit(12);
      for (const auto& [user_data, done] : ring.wait(12)) {
        well = well && done.res == 0;
        check(done.res == 0 || done.res == -ECONNRESET || done.res == -ENODEV || done.res == -EBUSY,
              fmt::format("res {}", done.res));
        (done.res == 0 ? n_done : n_failed)++;
      }
      ring.is_empty();
    }
  }
  resets.join();
  check(n_done > 0 && n_failed > 0, fmt::format("{} done, {} failed", n_done, n_failed));
}

}  // namespace
