// SPDX-License-Identifier: Apache-2.0
// dma-bufs: exported by one board, imported by another, copied through, mapped, and what is left
// when one side goes first.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "guest_dmabuf.h"

namespace {

using namespace guest;

constexpr uint64_t kBytes = 5 << 20;  // more than two chunks of coherent memory

SDI_TEST(dmabufs_go_from_board_to_board) {
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_PAGES}) {
    const Fd from(node_of(kBoard), O_RDWR), to(node_of(kMortal), O_RDWR);
    const uint32_t source = allocate(from.get(), kind, kBytes);
    volatile uint8_t* bytes = map_object(from.get(), source, kBytes);
    put_pattern(bytes, kBytes, static_cast<uint8_t>(kind));
    const Fd dmabuf = exported(from.get(), source);
    same(static_cast<uint64_t>(::lseek(dmabuf.get(), 0, SEEK_END)), kBytes, "size");
    const uint32_t there = imported(to.get(), dmabuf.get(), kBytes);
    const uint32_t target = allocate(to.get(), SLUICE_ALLOC_PAGES, kBytes);
    copy_by_board(to.get(), there, target, kBytes);
    holds_pattern(map_object(to.get(), target, kBytes), kBytes, static_cast<uint8_t>(kind),
                  "copied out");
    // And the other way: the importing board writes what the exporting process sees.
    volatile uint8_t* back = map_object(to.get(), target, kBytes);
    put_pattern(back, kBytes, 99);
    copy_by_board(to.get(), target, there, kBytes);
    holds_pattern(bytes, kBytes, 99, "copied in");
    holds_pattern(map_dmabuf(dmabuf.get(), kBytes), kBytes, 99, "the dma-buf's mapping");
    // A part of it, from a page that is no chunk's first.
    const auto queue = make_queue(to.get(), SLUICE_QUEUE_KERNEL);
    error_is(grant(to.get(), queue.handle, 0, there, 3 * kPage, kPage), 0, "GRANT of a page");
    error_is(grant(to.get(), queue.handle, 0, there, kBytes, kPage), ERANGE, "past the end");
  }
}

SDI_TEST(dmabufs_through_the_library) {
  sluice::Device from = open_board(kBoard), to = open_board(kMortal);
  auto memory = must(from.allocate(sluice::MemoryKind::kCoherent, 3 * kPage));
  auto mapping = must(memory.map());
  must(mapping.write(0x1008, 0x600df00d));
  const Fd dmabuf(must(memory.export_dmabuf()));
  const sluice::Memory there = must(to.import_dmabuf(dmabuf.get()));
  same(there.size(), 3 * kPage, "size");
  const auto target = must(to.allocate(sluice::MemoryKind::kPages, 3 * kPage));
  copy_by_board(to.fd(), there.handle(), target.handle(), 3 * kPage);
  same(must(must(target.map()).read(0x1008)), 0x600df00d, "what came through");
  must_fail(there.export_dmabuf(), ENOTSUP, {"cannot be exported"});
  must_fail(to.import_dmabuf(to.fd()), EINVAL, {"no dma-buf"});
  must_fail(to.import_dmabuf(-1), EBADF, {"not open"});
  must_fail(open_board(kBoard, true).import_dmabuf(dmabuf.get()), EACCES, {"read-only"});
}

SDI_TEST(dmabufs_outlive_their_exporter) {
  const Fd to(node_of(kMortal), O_RDWR);
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_PAGES}) {
    uint32_t there = 0;
    volatile uint8_t* bytes = nullptr;
    {
      const Fd from(node_of(kBoard), O_RDWR);
      const uint32_t source = allocate(from.get(), kind, kBytes);
      const Fd dmabuf = exported(from.get(), source);
      bytes = map_dmabuf(dmabuf.get(), kBytes);
      put_pattern(bytes, kBytes, 5);
      there = imported(to.get(), dmabuf.get(), kBytes);
      free_object(from.get(), source);
    }
    // Neither file nor handle nor descriptor is left: the import and the mapping are.
    const uint32_t target = allocate(to.get(), SLUICE_ALLOC_COHERENT, kBytes);
    copy_by_board(to.get(), there, target, kBytes);
    holds_pattern(map_object(to.get(), target, kBytes), kBytes, 5, "after the exporter was closed");
    // Not even the board.
    {
      const Unbound gone(kBoard);
      put_pattern(bytes, kBytes, 6);
      copy_by_board(to.get(), there, target, kBytes);
      holds_pattern(map_object(to.get(), target, kBytes), kBytes, 6,
                    "after the exporter was unbound");
    }
    free_object(to.get(), there);
    holds_pattern(bytes, kBytes, 6, "the mapping, after all else is gone");
    ::munmap(const_cast<uint8_t*>(bytes), kBytes);
  }
}

SDI_TEST(importers_may_go_first) {
  const Fd from(node_of(kBoard), O_RDWR);
  const uint32_t source = allocate(from.get(), SLUICE_ALLOC_PAGES, kBytes);
  const Fd dmabuf = exported(from.get(), source);
  {
    const Fd to(node_of(kLosing), O_RDWR);
    imported(to.get(), dmabuf.get(), kBytes);
    const Unbound gone(kLosing);  // while it has the import
    put_pattern(map_dmabuf(dmabuf.get(), kBytes), kBytes, 8);
  }
  holds_pattern(map_object(from.get(), source, kBytes), kBytes, 8, "the exporter's mapping");
}

SDI_TEST(device_memory_is_for_peers) {
  const Fd from(node_of(kBoard), O_RDWR), to(node_of(kMortal), O_RDWR);
  const uint32_t source = allocate(from.get(), SLUICE_ALLOC_DEVICE, 1 << 20);
  const Fd dmabuf = exported(from.get(), source);
  check(::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, dmabuf.get(), 0) == MAP_FAILED,
        "device memory is mapped by its dma-buf");
  error_is(reset(from.get()), 0, "RESET while exported, and nobody has it");
  const uint32_t there = imported(to.get(), dmabuf.get(), 1 << 20);
  // Its bus addresses are right, but the emulator reaches the guest's RAM alone and says so.
  const auto queue = make_queue(to.get(), SLUICE_QUEUE_KERNEL);
  error_is(grant(to.get(), queue.handle, 0, there, 0, 1 << 20), EIO, "GRANT");
  const uint32_t resets = info_of(from.get()).n_resets;
  error_is(reset(from.get()), EBUSY, "RESET while pinned");
  same(info_of(from.get()).n_resets, resets, "resets");
  must_fail(open_board(kBoard).reset(), EBUSY, {"exported"});
  auto force = argument<struct sluice_reset>();
  force.flags = SLUICE_RESET_FORCE;
  error_is(call(from.get(), SLUICE_IOC_RESET, &force), 0, "RESET by force");
  same(force.n_resets, resets + 1, "resets");
  free_object(to.get(), there);
  error_is(reset(from.get()), 0, "RESET after it was let go");
}

SDI_TEST(peers_lose_device_memory_of_a_board_that_goes) {
  const Fd to(node_of(kMortal), O_RDWR);
  uint32_t there = 0;
  {
    const Fd from(node_of(kBoard), O_RDWR);
    const Fd dmabuf = exported(from.get(), allocate(from.get(), SLUICE_ALLOC_DEVICE, 1 << 20));
    there = imported(to.get(), dmabuf.get(), 1 << 20);
  }
  const uint32_t resets = info_of(to.get()).n_resets;
  {
    const Unbound gone(kBoard);
    uint32_t now = resets;
    for (int i = 0; i < 300 && now == resets; i++) {
      ::usleep(10000);
      auto arg = argument<struct sluice_info>();
      if (call(to.get(), SLUICE_IOC_INFO, &arg) == 0) now = arg.n_resets;  // EBUSY meanwhile
    }
    same(now, resets + 1, "resets of the importing board");
    const auto queue = make_queue(to.get(), SLUICE_QUEUE_KERNEL);
    error_is(grant(to.get(), queue.handle, 0, there, 0, kPage), ENXIO, "GRANT of what is gone");
  }
  free_object(to.get(), there);
}

SDI_TEST(dmabufs_are_refused) {
  const Fd from(node_of(kBoard), O_RDWR), to(node_of(kMortal), O_RDWR);
  const Fd reader(node_of(kBoard), O_RDONLY);
  int none = -1;
  const uint32_t pages = allocate(from.get(), SLUICE_ALLOC_PAGES, kPage);
  error_is(export_error(from.get(), 999, O_RDWR, &none), ENOENT, "no object");
  error_is(export_error(from.get(), make_queue(from.get()).handle, O_RDWR, &none), ENOENT, "queue");
  error_is(export_error(from.get(), pages, O_WRONLY, &none), EINVAL, "write-only");
  error_is(export_error(reader.get(), pages, O_RDWR, &none), EBADF, "by a reader");
  for (const uint32_t kind : {SLUICE_ALLOC_UNCACHED, SLUICE_ALLOC_WRITE_COMBINED}) {
    error_is(export_error(from.get(), allocate(from.get(), kind, kPage), O_RDWR, &none), EOPNOTSUPP,
             "memory type");
  }
  error_is(import_error(to.get(), -1), EBADF, "-1");
  error_is(import_error(to.get(), to.get()), EINVAL, "no dma-buf");
  const Fd read_only = exported(from.get(), pages, O_RDONLY | O_CLOEXEC);
  check(::mmap(nullptr, kPage, PROT_WRITE, MAP_SHARED, read_only.get(), 0) == MAP_FAILED &&
            errno == EACCES,
        "writable mapping of a read-only dma-buf");
  check(::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, read_only.get(), 0) == MAP_FAILED,
        "private mapping");
  check(::mmap(nullptr, 2 * kPage, PROT_READ, MAP_SHARED, read_only.get(), 0) == MAP_FAILED,
        "mapping past the end");
  const Fd dmabuf = exported(from.get(), pages);
  check((::fcntl(dmabuf.get(), F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
  const uint32_t there = imported(to.get(), dmabuf.get(), kPage);
  error_is(export_error(to.get(), there, O_RDWR, &none), EOPNOTSUPP, "export of an import");
  auto map = map_arg(there, 0, kPage);
  map.flags = SLUICE_MAP_OBJECT;
  map.type = SLUICE_MAP_NATIVE;
  error_is(call(to.get(), SLUICE_IOC_MAP, &map), EOPNOTSUPP, "MAP of an import");
}

}  // namespace
