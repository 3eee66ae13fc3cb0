// SPDX-License-Identifier: Apache-2.0
// The transport over /dev/sluiceN: ioctl, mmap and poll on the kernel driver's device file.
// kernel_transport.cc has what every board has, kernel_transport_sdi.cc what boards with the
// Device Interface have on top.
#ifndef SLUICE_LIB_DEVICE_KERNEL_TRANSPORT_H
#define SLUICE_LIB_DEVICE_KERNEL_TRANSPORT_H

#include <fmt/format.h>
#include <sluice.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

#include "core/file.h"
#include "device/transport.h"

namespace sluice {

std::string errno_text(int code);

class KernelTransport final : public Transport {
 public:
  KernelTransport(std::string path, int fd, bool read_only)
      : path_(std::move(path)), fd_(fd), read_only_(read_only) {}
  ~KernelTransport() override;
  KernelTransport(const KernelTransport&) = delete;
  KernelTransport& operator=(const KernelTransport&) = delete;

  Result<BoardInfo> info() override;
  Result<WindowInfo> window(uint32_t index) override;
  Result<uint64_t> read_register(uint32_t window, uint64_t offset, unsigned width) override;
  Result<void> write_register(uint32_t window, uint64_t offset, uint64_t value,
                              unsigned width) override;
  Result<Range> map(uint32_t window, uint64_t offset, uint64_t length, MemoryType type,
                    bool read_only) override;
  Result<uint64_t> arm_interrupt() override;
  Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds timeout) override;

  Result<Object> allocate(MemoryKind kind, uint64_t length) override;
  Result<Range> map_object(uint32_t handle, uint64_t offset, uint64_t length, MemoryType type,
                           bool read_only) override;
  void free(uint32_t handle) override;
  Result<int> export_dmabuf(uint32_t handle, bool writable) override;
  Result<Object> import_dmabuf(int fd) override;
  Result<Rings> create_queue(const QueueOptions& options) override;
  Result<void> grant(uint32_t queue, uint32_t segment, uint32_t handle, uint64_t offset,
                     uint64_t length, unsigned access) override;
  Result<void> notify(uint32_t queue) override;
  Result<void> wait(uint32_t queue, std::chrono::nanoseconds timeout) override;
  Result<void> reset(bool force) override;
  Result<uint64_t> update_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                   unsigned width) override;
  Result<uint64_t> poll_register(uint32_t window, uint64_t offset, uint64_t mask, uint64_t value,
                                 std::chrono::nanoseconds timeout, unsigned width) override;
  Result<ClockInfo> clock() override;
  Result<ClockInfo> set_clock(uint32_t system_hz, bool boost) override;
  Result<uint32_t> set_timer(uint32_t timer, uint32_t hz) override;
  int fd() const override { return fd_; }

 private:
  // Runs one ioctl on an argument whose size word it fills in; 0 or a positive errno, EINTR
  // if a signal came.
  template <typename T>
  int call_once(unsigned long request, T* arg) const {
    arg->size = sizeof(T);
    return ::ioctl(fd_, request, arg) == 0 ? 0 : errno;
  }
  // As above, and starts anew after a signal.
  template <typename T>
  int call(unsigned long request, T* arg) const {
    for (;;) {
      if (const int code = call_once(request, arg); code != EINTR) return code;
    }
  }
  std::string where(uint32_t window) const { return fmt::format("{}: window {}", path_, window); }
  std::string object(uint32_t handle) const { return fmt::format("{}: object {}", path_, handle); }
  std::string queue(uint32_t handle) const { return fmt::format("{}: queue {}", path_, handle); }
  // The Error for what `code` means when it is about the board and not about an argument.
  tl::unexpected<Error> failure(int code, const std::string& what) const;
  tl::unexpected<Error> explain_access(int code, uint32_t window, uint64_t offset, unsigned width,
                                       std::optional<uint64_t> value);
  tl::unexpected<Error> explain_map(int code, uint32_t window, uint64_t offset, uint64_t length);
  tl::unexpected<Error> explain_queue(int code, const QueueOptions& options);
  Result<Range> map_cookie(uint64_t cookie, uint64_t length, bool read_only,
                           const std::string& what);
  tl::unexpected<Error> explain_clock(int code, uint32_t system_hz, bool boost);
  tl::unexpected<Error> explain_mask(int code, uint32_t window, uint64_t offset, uint64_t mask,
                                     uint64_t value, unsigned width);
  Result<std::vector<Range>> map_rings(const struct sluice_queue& made);
  Result<bool> completed(uint32_t queue, uint64_t timeout_ns);

  // What user space has of a queue.
  struct Mapped {
    std::vector<Range> ranges;  // rings and doorbell
    Rings rings;
    uint32_t n_entries = 0;
    // An epoll descriptor that becomes ready at each interrupt of the queue, once, without anybody
    // having to read its eventfd. Not open on a board without interrupts.
    Fd interrupts, eventfd;
  };

  std::string path_;
  int fd_;
  bool read_only_;
  std::mutex mutex_;                                          // protects what follows
  std::map<uint32_t, std::shared_ptr<const Mapped>> mapped_;  // by handle
};

}  // namespace sluice

#endif  // SLUICE_LIB_DEVICE_KERNEL_TRANSPORT_H
