// SPDX-License-Identifier: Apache-2.0
#include "device/guard.h"

#include <csignal>

namespace sluice::guard_internal {

thread_local sigjmp_buf* current = nullptr;

namespace {

struct sigaction previous;  // what was there before us; written once, before our handler can run

void on_sigbus(int signal, siginfo_t* info, void* context) {
  if (current != nullptr) siglongjmp(*current, 1);
  // Not ours. A handler is called; without one the fault happens again and has its way.
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    ::signal(SIGBUS, SIG_DFL);
  }
}

bool install_once() {
  ::sigaction(SIGBUS, nullptr, &previous);
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

void install() { [[maybe_unused]] static const bool installed = install_once(); }

}  // namespace sluice::guard_internal
