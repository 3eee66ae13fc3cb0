// SPDX-License-Identifier: Apache-2.0
// Touching a mapping that its driver may take back at any moment: the touch is then a SIGBUS, which
// ends here as a false and not as the end of the process.
#ifndef SLUICE_LIB_DEVICE_GUARD_H
#define SLUICE_LIB_DEVICE_GUARD_H

#include <csetjmp>
#include <type_traits>

namespace sluice {

namespace guard_internal {

// The innermost guard of this thread.
extern thread_local sigjmp_buf* current;

// Puts our handler before whatever handles SIGBUS, once. A program that replaces it afterwards and
// does not call it loses the protection.
void install();

}  // namespace guard_internal

// Runs `touch`, which does nothing but load, store and compute: where it touches a page that has
// been taken back it is left by siglongjmp(), without destructors. False if that happened. What it
// had stored before stays stored.
template <typename Touch>
bool guarded(Touch touch) {
  static_assert(std::is_trivially_destructible_v<Touch>);
  guard_internal::install();
  sigjmp_buf here;
  sigjmp_buf* const outer = guard_internal::current;
  guard_internal::current = &here;
  // The signal mask need not be restored: the handler runs with SA_NODEFER.
  const bool whole = sigsetjmp(here, 0) == 0;
  if (whole) touch();
  guard_internal::current = outer;
  return whole;
}

}  // namespace sluice

#endif  // SLUICE_LIB_DEVICE_GUARD_H
