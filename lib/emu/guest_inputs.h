// SPDX-License-Identifier: Apache-2.0
// Inputs of an interrupt controller of QEMU, moved by the lines of text that its option -qtest
// takes. A guest that is not there yet, or no more, hears nothing: who is interrupted looks by
// itself, too.
#ifndef SLUICE_LIB_EMU_GUEST_INPUTS_H
#define SLUICE_LIB_EMU_GUEST_INPUTS_H

#include <sluice/emulator.hpp>

#include <cstdint>
#include <string>

#include "core/file.h"
#include "emu/unix_socket.h"

namespace sluice::emu {

class GuestInputs {
 public:
  // EINVAL: the socket's path, the controller's, or inputs that are not 1 to `most`, 1 of a level.
  static Result<GuestInputs> create(const GuestInterrupts& interrupts, uint32_t most);

  // The number of vectors, each with an input of its own; one for a level.
  uint32_t n_vectors() const { return static_cast<uint32_t>(interrupts_.inputs.size()); }
  // Up and down again: an edge.
  void pulse(uint32_t vector);
  // The one input of a level.
  void set_level(bool up);

 private:
  GuestInputs(const GuestInterrupts& interrupts, const sockaddr_un& address)
      : interrupts_(interrupts), address_(address) {}
  std::string move(uint32_t vector, bool up) const;
  void send(const std::string& text);
  bool connect();

  GuestInterrupts interrupts_;
  sockaddr_un address_;
  Fd socket_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_GUEST_INPUTS_H
