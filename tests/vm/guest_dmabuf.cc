// SPDX-License-Identifier: Apache-2.0
#include "guest_dmabuf.h"

#include <cstring>

namespace guest {

int export_error(int fd, uint32_t handle, uint32_t flags, int* ret_fd) {
  auto arg = argument<struct sluice_export>();
  arg.flags = flags;
  arg.handle = handle;
  const int error = call(fd, SLUICE_IOC_EXPORT, &arg);
  if (error == 0) *ret_fd = arg.fd;
  return error;
}

Fd exported(int fd, uint32_t handle, uint32_t flags) {
  int dmabuf = -1;
  error_is(export_error(fd, handle, flags, &dmabuf), 0, "EXPORT");
  return Fd(dmabuf);
}

int import_error(int fd, int dmabuf, uint32_t* ret_handle, uint64_t length) {
  auto arg = argument<struct sluice_import>();
  arg.fd = dmabuf;
  const int error = call(fd, SLUICE_IOC_IMPORT, &arg);
  if (error == 0 && length) same(arg.length, length, "length of the import");
  if (error == 0 && ret_handle) *ret_handle = arg.handle;
  return error;
}

uint32_t imported(int fd, int dmabuf, uint64_t length) {
  uint32_t handle = 0;
  error_is(import_error(fd, dmabuf, &handle, length), 0, "IMPORT");
  return handle;
}

volatile uint8_t* map_dmabuf(int dmabuf, uint64_t length, int prot) {
  void* at = ::mmap(nullptr, length, prot, MAP_SHARED, dmabuf, 0);
  if (at == MAP_FAILED) throw Failure(std::string("mmap of a dma-buf: ") + std::strerror(errno));
  return static_cast<volatile uint8_t*>(at);
}

static uint8_t pattern(uint64_t i, uint8_t salt) {
  return static_cast<uint8_t>(i * 7 + (i >> 12) + salt);
}

void put_pattern(volatile uint8_t* at, uint64_t length, uint8_t salt) {
  for (uint64_t i = 0; i < length; i++) at[i] = pattern(i, salt);
}

void holds_pattern(const volatile uint8_t* at, uint64_t length, uint8_t salt, const char* what) {
  for (uint64_t i = 0; i < length; i++) {
    if (at[i] != pattern(i, salt)) {
      throw Failure(
          fmt::format("{}: byte {:#x} is {:#x}, not {:#x}", what, i, at[i], pattern(i, salt)));
    }
  }
}

void copy_by_board(int fd, uint32_t from, uint32_t to, uint64_t length) {
  const auto queue = make_queue(fd, SLUICE_QUEUE_KERNEL);
  error_is(grant(fd, queue.handle, 0, from, 0, length, SLUICE_GRANT_READ), 0, "GRANT of source");
  error_is(grant(fd, queue.handle, 1, to, 0, length, SLUICE_GRANT_WRITE), 0, "GRANT of target");
  const auto done =
      run(fd, queue.handle, {copy(1, SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(1, 0), length)});
  same(done[0].status, SLUICE_SDI_OK, "COPY");
  free_object(fd, queue.handle);
}

}  // namespace guest
