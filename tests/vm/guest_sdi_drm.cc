// SPDX-License-Identifier: Apache-2.0
// Buffers shared with a DRM device through libdrm (PRIME), both ways, and fences on them. VGEM is
// the one that a guest has: it keeps buffers in memory and renders nothing.
#include <linux/dma-buf.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <cstring>
#include <memory>

#include "guest_dmabuf.h"
#include "guest_fence.h"
#include "guest_uring.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

constexpr uint32_t kSide = 256;  // a picture of 256 x 256 words
constexpr uint64_t kPicture = kSide * kSide * 4;

Fd open_vgem() {
  for (int i = 0; i < 8; i++) {
    Fd fd(::open(fmt::format("/dev/dri/card{}", i).c_str(), O_RDWR | O_CLOEXEC));
    if (fd.get() < 0) continue;
    const std::unique_ptr<drmVersion, decltype(&::drmFreeVersion)> version(
        ::drmGetVersion(fd.get()), ::drmFreeVersion);
    if (version && std::strcmp(version->name, "vgem") == 0) return fd;
  }
  throw Failure("no VGEM in /dev/dri");
}

// A picture of VGEM's own.
struct Picture {
  explicit Picture(int drm) {
    drm_mode_create_dumb create = {};
    create.width = create.height = kSide;
    create.bpp = 32;
    error_is(call(drm, DRM_IOCTL_MODE_CREATE_DUMB, &create), 0, "CREATE_DUMB");
    same(create.size, kPicture, "bytes of a picture");
    handle = create.handle;
    drm_mode_map_dumb map = {};
    map.handle = handle;
    error_is(call(drm, DRM_IOCTL_MODE_MAP_DUMB, &map), 0, "MAP_DUMB");
    void* at = ::mmap(nullptr, kPicture, PROT_READ | PROT_WRITE, MAP_SHARED, drm,
                      static_cast<off_t>(map.offset));
    check(at != MAP_FAILED, "mmap of a picture");
    bytes = static_cast<volatile uint8_t*>(at);
  }
  uint32_t handle = 0;
  volatile uint8_t* bytes = nullptr;
};

Fd prime_export(int drm, uint32_t handle) {
  int fd = -1;
  error_is(-::drmPrimeHandleToFD(drm, handle, DRM_CLOEXEC | DRM_RDWR, &fd) ? errno : 0, 0,
           "drmPrimeHandleToFD");
  return Fd(fd);
}

SDI_TEST(a_picture_of_a_drm_device_is_reached_by_a_board) {
  const Fd drm = open_vgem(), board(node_of(kBoard), O_RDWR);
  const Picture picture(drm.get());
  put_pattern(picture.bytes, kPicture, 21);
  const Fd dmabuf = prime_export(drm.get(), picture.handle);
  const uint32_t there = imported(board.get(), dmabuf.get(), kPicture);
  const uint32_t memory = allocate(board.get(), SLUICE_ALLOC_DEVICE, kPicture);
  copy_by_board(board.get(), there, memory, kPicture);
  holds_pattern(map_object(board.get(), memory, kPicture), kPicture, 21, "in device memory");
  // And back: the board draws, the program that has the picture sees it.
  const uint32_t host = allocate(board.get(), SLUICE_ALLOC_COHERENT, kPicture);
  put_pattern(map_object(board.get(), host, kPicture), kPicture, 22);
  copy_by_board(board.get(), host, there, kPicture);
  holds_pattern(picture.bytes, kPicture, 22, "the picture");
}

SDI_TEST(memory_of_a_board_is_a_drm_object) {
  const Fd drm = open_vgem(), board(node_of(kBoard), O_RDWR);
  for (const uint32_t kind : {SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_PAGES}) {
    const uint32_t source = allocate(board.get(), kind, kPicture);
    uint32_t handle = 0;
    {
      const Fd dmabuf = exported(board.get(), source);
      error_is(::drmPrimeFDToHandle(drm.get(), dmabuf.get(), &handle) ? errno : 0, 0,
               "drmPrimeFDToHandle");
    }
    drm_mode_map_dumb map = {};
    map.handle = handle;
    error_is(call(drm.get(), DRM_IOCTL_MODE_MAP_DUMB, &map), EINVAL, "MAP_DUMB of an import");
    // The object leads back to the same pages, also when the board's handle is gone.
    const uint32_t filler = allocate(board.get(), SLUICE_ALLOC_DEVICE, kPicture);
    put_pattern(map_object(board.get(), filler, kPicture), kPicture,
                static_cast<uint8_t>(30 + kind));
    copy_by_board(board.get(), filler, source, kPicture);
    free_object(board.get(), source);
    {
      const Fd again = prime_export(drm.get(), handle);
      holds_pattern(map_dmabuf(again.get(), kPicture), kPicture, static_cast<uint8_t>(30 + kind),
                    "the object's pages");
    }
    drm_gem_close close = {};
    close.handle = handle;
    error_is(call(drm.get(), DRM_IOCTL_GEM_CLOSE, &close), 0, "GEM_CLOSE");
  }
  // Its pages cannot be had by one that does no peer-to-peer.
  uint32_t none = 0;
  const Fd device = exported(board.get(), allocate(board.get(), SLUICE_ALLOC_DEVICE, kPage));
  check(::drmPrimeFDToHandle(drm.get(), device.get(), &none) != 0 && errno == EOPNOTSUPP,
        "device memory went to VGEM");
}

// What the board has still to write is not to be read before: the buffer itself says so.
SDI_TEST(a_fence_guards_a_drm_buffer) {
  const Fd drm = open_vgem(), board(node_of(kBoard), O_RDWR);
  const Picture picture(drm.get());
  const Fd dmabuf = prime_export(drm.get(), picture.handle);
  // A ring full of completions that nobody takes: the command behind them waits, and the fence with
  // it.
  const auto queue = make_queue(board.get(), SLUICE_QUEUE_KERNEL, 2);
  error_is(submit(board.get(), queue.handle, {nop(1), nop(2)}), 0, "SUBMIT");
  Uring ring;
  ring.command(board.get(), queue.handle, nop(3), 1);
  ring.submit(1);
  const Fd fence = make_fence(board.get(), queue.handle);
  dma_buf_import_sync_file give = {};
  give.flags = DMA_BUF_SYNC_WRITE;
  give.fd = fence.get();
  error_is(call(dmabuf.get(), DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &give), 0, "IMPORT_SYNC_FILE");
  check(!is_signalled(dmabuf.get(), 100ms), "the buffer can be read before the fence");
  dma_buf_export_sync_file take = {};
  take.flags = DMA_BUF_SYNC_READ;
  error_is(call(dmabuf.get(), DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &take), 0, "EXPORT_SYNC_FILE");
  const Fd reader(take.fd);
  same(static_cast<uint64_t>(fence_info(reader.get()).status), 0, "what a reader has to wait for");
  std::vector<sluice_sdi_completion> done;
  while (done.size() < 2) error_is(wait(board.get(), queue.handle, &done), 0, "WAIT");
  check(is_signalled(dmabuf.get(), 5s), "the buffer cannot be read after the fence");
  ends_with(reader.get(), 1, "the reader's fence");
}

// VGEM has no syncobjs (nor has any other device of Debian's kernel that QEMU emulates); one that
// has them takes the fence.
SDI_TEST(a_fence_becomes_a_syncobj_where_there_are_some) {
  const Fd drm = open_vgem(), board(node_of(kBoard), O_RDWR);
  const auto queue = make_queue(board.get(), SLUICE_QUEUE_KERNEL);
  error_is(submit(board.get(), queue.handle, {nop(1)}), 0, "SUBMIT");
  const Fd fence = make_fence(board.get(), queue.handle);
  uint64_t has = 0;
  uint32_t syncobj = 0;
  error_is(::drmGetCap(drm.get(), DRM_CAP_SYNCOBJ, &has) ? errno : 0, 0, "DRM_CAP_SYNCOBJ");
  const int error = ::drmSyncobjCreate(drm.get(), 0, &syncobj) ? errno : 0;
  error_is(error, has ? 0 : EOPNOTSUPP, "drmSyncobjCreate");
  if (!has) return;
  error_is(::drmSyncobjImportSyncFile(drm.get(), syncobj, fence.get()) ? errno : 0, 0,
           "drmSyncobjImportSyncFile");
  error_is(::drmSyncobjWait(drm.get(), &syncobj, 1, INT64_MAX, 0, nullptr) ? errno : 0, 0, "wait");
  ::drmSyncobjDestroy(drm.get(), syncobj);
}

}  // namespace
