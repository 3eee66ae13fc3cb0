// SPDX-License-Identifier: Apache-2.0
// Every ioctl as a row: its struct, an argument that it accepts, and what it writes back.
// guest_abi.cc tries each rule of uapi/sluice.h on all of them.
#ifndef SLUICE_TESTS_VM_GUEST_ABI_CALLS_H
#define SLUICE_TESTS_VM_GUEST_ABI_CALLS_H

#include <fcntl.h>

#include <optional>
#include <span>

#include "guest_sdi.h"

namespace guest {

// A file of a board, with what calls need: made when it is first asked for, gone with the file.
class Caller {
 public:
  explicit Caller(const char* board, int flags = O_RDWR) : fd_(node_of(board), flags) {}
  int fd() const { return fd_.get(); }
  const struct sluice_queue& kernel_queue();
  const struct sluice_queue& user_queue();
  uint32_t memory();
  int dmabuf();

  std::vector<sluice_reg_op> ops;  // what a batch points to
  std::vector<sluice_sdi_entry> entries;
  std::vector<sluice_sdi_completion> completions;
  uint32_t n_submitted = 0;  // to the kernel's queue, and not waited for

 private:
  Fd fd_;
  struct sluice_queue kernel_queue_ = {}, user_queue_ = {};
  uint32_t memory_ = 0;
  std::optional<Fd> dmabuf_;
};

// Bytes of a struct, from `first` on and before `last`.
struct Range {
  uint32_t first, last;
};

struct Call {
  const char* name;
  unsigned long request;
  const char* board;
  uint32_t size;
  uint32_t min_size;  // in version 1
  uint32_t reserved;  // offset of the reserved words
  uint32_t known_flags;
  std::vector<Range> out;     // written, whatever the caller left there
  std::vector<Range> in_out;  // looked at, and written
  bool steady;                // says the same each time
  // Fills in all but the size; the caller's file stays ready for the call, which may not come.
  void (*fill)(Caller& caller, void* arg);
  // Undoes what an accepted call has done, if anything.
  void (*undo)(Caller& caller, const void* arg);
};

std::span<const Call> plain_calls();
std::span<const Call> sdi_calls();

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_ABI_CALLS_H
