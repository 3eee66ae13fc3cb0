// SPDX-License-Identifier: Apache-2.0
// How a Device reaches its board. The kernel driver is one way; an emulated board is another.
// A transport checks what it is given: a Device passes its caller's arguments on as they are.
#ifndef SLUICE_LIB_DEVICE_TRANSPORT_H
#define SLUICE_LIB_DEVICE_TRANSPORT_H

#include <sluice/device.hpp>
#include <sluice/queue.hpp>

namespace sluice {

class Transport {
 public:
  // A mapped range, to be given to munmap(). `data` is at the offset that was asked for. `name`
  // says to people what it is a range of.
  struct Range {
    void* data = nullptr;
    size_t size = 0;
    std::string name;
  };
  struct Object {
    uint32_t handle = 0;
    uint64_t size = 0;
    uint64_t address = 0;
  };
  // A queue whose rings are mapped until free() of its handle.
  struct Rings {
    uint32_t handle = 0;
    uint32_t index = 0;
    sluice_sdi_entry* sq = nullptr;
    const sluice_sdi_completion* cq = nullptr;
    sluice_sdi_doorbell* doorbell = nullptr;
  };

  virtual ~Transport() = default;

  // The contracts are those of the Device functions of the same names.
  virtual Result<BoardInfo> info() = 0;
  virtual Result<WindowInfo> window(uint32_t index) = 0;
  virtual Result<uint64_t> read_register(uint32_t window, uint64_t offset, unsigned width) = 0;
  virtual Result<void> write_register(uint32_t window, uint64_t offset, uint64_t value,
                                      unsigned width) = 0;
  virtual Result<uint64_t> update_register(uint32_t window, uint64_t offset, uint64_t mask,
                                           uint64_t value, unsigned width);
  virtual Result<uint64_t> poll_register(uint32_t window, uint64_t offset, uint64_t mask,
                                         uint64_t value, std::chrono::nanoseconds timeout,
                                         unsigned width);
  virtual Result<Range> map(uint32_t window, uint64_t offset, uint64_t length, MemoryType type,
                            bool read_only) = 0;
  virtual Result<uint64_t> arm_interrupt() = 0;
  virtual Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds timeout) = 0;

  // What a plain board does without: ENOTSUP unless overridden.
  virtual Result<Object> allocate(MemoryKind kind, uint64_t length);
  virtual Result<Range> map_object(uint32_t handle, uint64_t offset, uint64_t length,
                                   MemoryType type, bool read_only);
  // Of memory or a queue. Nothing that can fail is of interest any more.
  virtual void free(uint32_t handle);
  virtual Result<int> export_dmabuf(uint32_t handle, bool writable);
  virtual Result<Object> import_dmabuf(int fd);

  virtual Result<Rings> create_queue(const QueueOptions& options);
  // access 0 takes the segment back; `handle`, `offset` and `length` are 0 then.
  virtual Result<void> grant(uint32_t queue, uint32_t segment, uint32_t handle, uint64_t offset,
                             uint64_t length, unsigned access);
  // Wakes a board that has set `idle`.
  virtual Result<void> notify(uint32_t queue);
  // Sleeps until there is a completion at cq_head. ETIMEDOUT; ECONNRESET, ENODEV: there will be
  // none. A negative timeout is for ever.
  virtual Result<void> wait(uint32_t queue, std::chrono::nanoseconds timeout);

  virtual Result<void> reset(bool force);
  virtual Result<ClockInfo> clock();
  virtual Result<ClockInfo> set_clock(uint32_t system_hz, bool boost);
  virtual Result<uint32_t> set_timer(uint32_t timer, uint32_t hz);
  virtual int fd() const = 0;
};

// Opens /dev/sluiceN; the errors are those of Device::open.
Result<std::shared_ptr<Transport>> open_kernel_transport(const std::string& path, bool read_only);

// A Device on any transport; here and not in the public header, as a Transport is private.
Device make_device(std::shared_ptr<Transport> transport);

}  // namespace sluice

#endif  // SLUICE_LIB_DEVICE_TRANSPORT_H
