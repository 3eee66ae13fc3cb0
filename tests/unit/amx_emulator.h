// SPDX-License-Identifier: Apache-2.0
// AMX for machines that have none: a handler of SIGILL carries out the tile instructions, as the
// Intel SDM vol. 2 describes them. Where the CPU has them it is never called.
#ifndef SLUICE_TESTS_UNIT_AMX_EMULATOR_H
#define SLUICE_TESTS_UNIT_AMX_EMULATOR_H

#include <csignal>
#include <cstdint>

namespace sluice::test {

// While it lives, tile instructions of this process work. One at a time.
class AmxEmulator {
 public:
  AmxEmulator();
  ~AmxEmulator();
  AmxEmulator(const AmxEmulator&) = delete;
  AmxEmulator& operator=(const AmxEmulator&) = delete;
  // Instructions carried out so far, of this thread.
  static uint64_t n_done();
  // Subnormal numbers that they have taken for 0.
  static uint64_t n_flushed();

 private:
  struct sigaction before_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_AMX_EMULATOR_H
