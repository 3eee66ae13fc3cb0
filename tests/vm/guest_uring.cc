// SPDX-License-Identifier: Apache-2.0
#include "guest_uring.h"

#include <cstring>

namespace guest {

Uring::Uring(unsigned n_entries, unsigned flags) : flags_(flags) {
  error_is(-::io_uring_queue_init(n_entries, &ring_, flags), 0, "io_uring_queue_init");
}

Uring::~Uring() { ::io_uring_queue_exit(&ring_); }

io_uring_sqe* Uring::next(uint64_t user_data) {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  check(sqe != nullptr, "no room in the io_uring");
  std::memset(sqe, 0, flags_ & IORING_SETUP_SQE128 ? 128 : 64);
  sqe->user_data = user_data;
  return sqe;
}

void Uring::command(int fd, uint32_t queue, const sluice_sdi_entry& entry, uint64_t user_data,
                    unsigned sqe_flags) {
  io_uring_sqe* sqe = next(user_data);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->flags = static_cast<uint8_t>(sqe_flags);
  sqe->fd = fd;
  sqe->cmd_op = SLUICE_URING_SUBMIT;
  struct sluice_uring_cmd arg = {};
  arg.queue = queue;
  static_assert(sizeof(arg.entry) == sizeof(entry));
  std::memcpy(arg.entry, &entry, sizeof(entry));
  std::memcpy(sqe->cmd, &arg, sizeof(arg));
}

void Uring::submit(unsigned count) {
  same(static_cast<uint64_t>(::io_uring_submit(&ring_)), count, "io_uring_submit");
}

Uring::AllDone Uring::wait(size_t count, std::chrono::milliseconds timeout) {
  AllDone all;
  for (size_t i = 0; i < count; i++) {
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec limit = {timeout.count() / 1000, timeout.count() % 1000 * 1000000};
    error_is(-::io_uring_wait_cqe_timeout(&ring_, &cqe, &limit), 0,
             fmt::format("completion {} of {}", i, count));
    const Done done = {cqe->res, flags_ & IORING_SETUP_CQE32 ? cqe->big_cqe[0] : 0};
    check(all.emplace(cqe->user_data, done).second,
          fmt::format("request {} completed twice", static_cast<uint64_t>(cqe->user_data)));
    ::io_uring_cqe_seen(&ring_, cqe);
  }
  return all;
}

Uring::Done Uring::run(int fd, uint32_t queue, const sluice_sdi_entry& entry) {
  command(fd, queue, entry, 1);
  submit(1);
  return wait(1).at(1);
}

void Uring::is_empty() { same(::io_uring_cq_ready(&ring_), 0, "completions that are left"); }

}  // namespace guest
