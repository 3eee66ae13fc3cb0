// SPDX-License-Identifier: Apache-2.0
// The server's half of QEMU's ivshmem protocol (docs/specs/ivshmem-spec in QEMU): it gives a guest
// shared memory, and descriptors to signal each other by. One guest at a time.
#ifndef SLUICE_LIB_EMU_IVSHMEM_H
#define SLUICE_LIB_EMU_IVSHMEM_H

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"

namespace sluice::emu {

class IvshmemServer {
 public:
  // What the guest writes to its doorbell register (BAR 0, offset 12) to signal us.
  static constexpr uint32_t doorbell_value() { return kOwnId << 16; }

  // Listens on a unix socket; the file of a server that is gone is replaced. EADDRINUSE.
  static Result<IvshmemServer> listen(const std::string& path);
  ~IvshmemServer();
  IvshmemServer(IvshmemServer&&) = default;
  IvshmemServer& operator=(IvshmemServer&&) = default;

  int listening() const { return listening_.get(); }
  int guest() const { return guest_.get(); }  // -1: none
  // Takes a guest that waits and hands everything over; a second one is turned away.
  // `doorbell` is an eventfd, as are `vectors`, those of the guest's interrupts.
  Result<void> accept(const Fd& memory, int doorbell, const std::vector<Fd>& vectors);
  // Whether the guest is still there, having read what it sent.
  bool guest_is_there();

 private:
  static constexpr uint32_t kGuestId = 0, kOwnId = 1;
  IvshmemServer(std::string path, Fd listening)
      : path_(std::move(path)), listening_(std::move(listening)) {}
  Result<void> send(const Fd& guest, int64_t number, int fd) const;

  std::string path_;
  Fd listening_, guest_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_IVSHMEM_H
