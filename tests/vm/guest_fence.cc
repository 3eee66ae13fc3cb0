// SPDX-License-Identifier: Apache-2.0
#include "guest_fence.h"

#include <poll.h>
#include <sys/mman.h>

#include <cstring>

namespace guest {

int fence_error(int fd, uint32_t queue, int* ret_fence) {
  auto arg = argument<struct sluice_fence>();
  arg.queue = queue;
  const int error = call(fd, SLUICE_IOC_FENCE, &arg);
  if (error == 0) *ret_fence = arg.fd;
  return error;
}

Fd make_fence(int fd, uint32_t queue) {
  int fence = -1;
  error_is(fence_error(fd, queue, &fence), 0, "FENCE");
  return Fd(fence);
}

FenceInfo fence_info(int fence) {
  FenceInfo info = {0, std::vector<sync_fence_info>(8)};
  sync_file_info arg = {};
  arg.num_fences = static_cast<uint32_t>(info.fences.size());
  arg.sync_fence_info = reinterpret_cast<uint64_t>(info.fences.data());
  error_is(call(fence, SYNC_IOC_FILE_INFO, &arg), 0, "FILE_INFO");
  info.status = arg.status;
  info.fences.resize(arg.num_fences);
  return info;
}

Fd merged(int one, int other) {
  sync_merge_data arg = {};
  std::strcpy(arg.name, "both");
  arg.fd2 = other;
  error_is(call(one, SYNC_IOC_MERGE, &arg), 0, "MERGE");
  return Fd(arg.fence);
}

bool is_signalled(int fence, std::chrono::milliseconds timeout) {
  pollfd one = {fence, POLLIN, 0};
  const int n = ::poll(&one, 1, static_cast<int>(timeout.count()));
  check(n >= 0, "poll of a fence");
  return n == 1;
}

void ends_with(int fence, int status, const std::string& what) {
  check(is_signalled(fence, std::chrono::seconds(5)), what + ": not signalled");
  const int got = fence_info(fence).status;
  check(got == status, fmt::format("{}: status {}, expected {}", what, got, status));
}

UserRings::UserRings(int fd_in, uint32_t n_entries)
    : queue(make_queue(fd_in, 0, n_entries)), fd(fd_in) {
  const auto map = [&](uint64_t cookie) {
    void* at =
        ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(cookie));
    check(at != MAP_FAILED, "mmap of a queue");
    return at;
  };
  sq = static_cast<sluice_sdi_entry*>(map(queue.sq_cookie));
  doorbell = static_cast<volatile sluice_sdi_doorbell*>(map(queue.doorbell_cookie));
}

void UserRings::submit(const std::vector<sluice_sdi_entry>& entries) {
  uint32_t tail = doorbell->sq_tail;
  for (const auto& entry : entries) sq[tail++ % queue.n_entries] = entry;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  doorbell->sq_tail = tail;
  auto arg = argument<struct sluice_notify>();
  arg.queue = queue.handle;
  error_is(call(fd, SLUICE_IOC_NOTIFY, &arg), 0, "NOTIFY");
}

}  // namespace guest
