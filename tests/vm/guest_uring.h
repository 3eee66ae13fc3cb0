// SPDX-License-Identifier: Apache-2.0
// An io_uring with entries of 128 bytes, for commands of the driver beside reads of files.
#ifndef SLUICE_TESTS_VM_GUEST_URING_H
#define SLUICE_TESTS_VM_GUEST_URING_H

#include <liburing.h>

#include <map>

#include "guest_sdi.h"

namespace guest {

class Uring {
 public:
  struct Done {
    int res;
    uint64_t res2;  // with IORING_SETUP_CQE32
  };
  using AllDone = std::map<uint64_t, Done>;  // by user data

  explicit Uring(unsigned n_entries = 64, unsigned flags = IORING_SETUP_SQE128);
  Uring(const Uring&) = delete;
  ~Uring();
  io_uring* get() { return &ring_; }

  // The next request, to be submitted; its user data filled in.
  io_uring_sqe* next(uint64_t user_data);
  // A command for an entry of the queue. `sqe_flags`: IOSQE_IO_LINK and so on.
  void command(int fd, uint32_t queue, const sluice_sdi_entry& entry, uint64_t user_data,
               unsigned sqe_flags = 0);
  void submit(unsigned count);
  // Waits for so many completions; throws if one comes twice, or if they are not there in time.
  AllDone wait(size_t count, std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // One command, submitted and waited for.
  Done run(int fd, uint32_t queue, const sluice_sdi_entry& entry);
  // Nothing more comes.
  void is_empty();

 private:
  io_uring ring_ = {};
  unsigned flags_;
};

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_URING_H
