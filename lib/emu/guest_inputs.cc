// SPDX-License-Identifier: Apache-2.0
#include "emu/guest_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace sluice::emu {

Result<GuestInputs> GuestInputs::create(const GuestInterrupts& interrupts, uint32_t most) {
  SLUICE_TRY(const sockaddr_un address, unix_address(interrupts.socket));
  const std::string& controller = interrupts.controller;
  // A word of a line of text.
  const bool word =
      std::all_of(controller.begin(), controller.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (controller.empty() || !word) {
    return fail(EINVAL, fmt::format("interrupt controller '{}': expected its path in QEMU, without "
                                    "spaces",
                                    controller));
  }
  const size_t n = interrupts.inputs.size(), limit = interrupts.level ? 1 : most;
  if (n < 1 || n > limit) {
    return fail(EINVAL, fmt::format("{} interrupts: expected 1 to {}", n, limit));
  }
  return GuestInputs(interrupts, address);
}

std::string GuestInputs::move(uint32_t vector, bool up) const {
  return fmt::format("set_irq_in {} unnamed-gpio-in {} {}\n", interrupts_.controller,
                     interrupts_.inputs[vector], up ? 1 : 0);
}

void GuestInputs::pulse(uint32_t vector) { send(move(vector, true) + move(vector, false)); }

void GuestInputs::set_level(bool up) { send(move(0, up)); }

bool GuestInputs::connect() {
  Fd fresh = unix_socket();
  if (!fresh || ::connect(fresh.get(), generic_address(address_), sizeof(address_)) != 0) {
    return false;
  }
  socket_ = std::move(fresh);
  return true;
}

// Never waits: QEMU may be stopped, and the board has other things to do.
void GuestInputs::send(const std::string& text) {
  constexpr int kAttempts = 2;  // the second for a guest that has gone and come back
  for (int i = 0; i < kAttempts; ++i) {
    if (!socket_ && !connect()) return;
    char answers[512];  // QEMU would wait if nobody took them
    while (::recv(socket_.get(), answers, sizeof(answers), MSG_DONTWAIT) > 0) continue;
    const ssize_t n = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n == static_cast<ssize_t>(text.size())) return;
    socket_.reset();
  }
}

}  // namespace sluice::emu
