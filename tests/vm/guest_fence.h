// SPDX-License-Identifier: Apache-2.0
// Fences as programs see them: sync_files of SLUICE_IOC_FENCE.
#ifndef SLUICE_TESTS_VM_GUEST_FENCE_H
#define SLUICE_TESTS_VM_GUEST_FENCE_H

#include <linux/sync_file.h>

#include "guest_sdi.h"

namespace guest {

int fence_error(int fd, uint32_t queue, int* ret_fence);
// Throws.
Fd make_fence(int fd, uint32_t queue);

struct FenceInfo {
  int status;  // 1: signalled, 0: not yet, negative errno
  std::vector<sync_fence_info> fences;
};
FenceInfo fence_info(int fence);
Fd merged(int one, int other);
bool is_signalled(int fence, std::chrono::milliseconds timeout);
// Within five seconds, and with that status.
void ends_with(int fence, int status, const std::string& what);

// A queue whose rings are the program's, without the library: what it stores is what the board
// sees.
struct UserRings {
  explicit UserRings(int fd, uint32_t n_entries = 8);
  // Stores entries and the tail, and notifies.
  void submit(const std::vector<sluice_sdi_entry>& entries);
  struct sluice_queue queue;
  int fd;
  sluice_sdi_entry* sq;
  volatile sluice_sdi_doorbell* doorbell;
};

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_FENCE_H
