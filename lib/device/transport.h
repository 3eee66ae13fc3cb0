// SPDX-License-Identifier: Apache-2.0
// How a Device reaches its board. The kernel driver is one way; an emulated board is another.
// A transport checks what it is given: a Device passes its caller's arguments on as they are.
#ifndef SLUICE_LIB_DEVICE_TRANSPORT_H
#define SLUICE_LIB_DEVICE_TRANSPORT_H

#include <sluice/device.hpp>

namespace sluice {

class Transport {
 public:
  // A mapped range, to be given to munmap(). `data` is at the offset that was asked for.
  struct Range {
    void* data = nullptr;
    size_t size = 0;
  };

  virtual ~Transport() = default;

  // The contracts are those of the Device functions of the same names.
  virtual Result<BoardInfo> info() = 0;
  virtual Result<WindowInfo> window(uint32_t index) = 0;
  virtual Result<uint64_t> read_register(uint32_t window, uint64_t offset, unsigned width) = 0;
  virtual Result<void> write_register(uint32_t window, uint64_t offset, uint64_t value,
                                      unsigned width) = 0;
  virtual Result<Range> map(uint32_t window, uint64_t offset, uint64_t length, MemoryType type,
                            bool read_only) = 0;
  virtual Result<uint64_t> arm_interrupt() = 0;
  virtual Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds timeout) = 0;
  virtual int fd() const = 0;
};

// Opens /dev/sluiceN; the errors are those of Device::open.
Result<std::unique_ptr<Transport>> open_kernel_transport(const std::string& path, bool read_only);

// A Device on any transport; here and not in the public header, as a Transport is private.
Device make_device(std::unique_ptr<Transport> transport);

}  // namespace sluice

#endif  // SLUICE_LIB_DEVICE_TRANSPORT_H
