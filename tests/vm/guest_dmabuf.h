// SPDX-License-Identifier: Apache-2.0
// Exports, imports and what is in them: shared by the tests of dma-bufs.
#ifndef SLUICE_TESTS_VM_GUEST_DMABUF_H
#define SLUICE_TESTS_VM_GUEST_DMABUF_H

#include <fcntl.h>
#include <sys/mman.h>

#include "guest_sdi.h"

namespace guest {

int export_error(int fd, uint32_t handle, uint32_t flags, int* ret_fd);
Fd exported(int fd, uint32_t handle, uint32_t flags = O_RDWR | O_CLOEXEC);
int import_error(int fd, int dmabuf, uint32_t* ret_handle = nullptr, uint64_t length = 0);
uint32_t imported(int fd, int dmabuf, uint64_t length);
volatile uint8_t* map_dmabuf(int dmabuf, uint64_t length, int prot = PROT_READ | PROT_WRITE);

// Bytes that tell places and salts apart: to be put, and to be found again.
void put_pattern(volatile uint8_t* at, uint64_t length, uint8_t salt);
void holds_pattern(const volatile uint8_t* at, uint64_t length, uint8_t salt, const char* what);

// Copies an object into another object of that board by its queue.
void copy_by_board(int fd, uint32_t from, uint32_t to, uint64_t length);

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_DMABUF_H
