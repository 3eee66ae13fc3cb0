// SPDX-License-Identifier: Apache-2.0
// What goes wrong, and when: by script (after so many entries) or by chance (at each entry).
#ifndef SLUICE_LIB_EMU_FAULTS_H
#define SLUICE_LIB_EMU_FAULTS_H

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include <sluice/emulator.hpp>

namespace sluice::emu {

class Injector {
 public:
  Injector(const std::vector<Fault>& faults, uint64_t seed);

  // Whether a fault of this kind happens now that `n_entries` have been completed. `chance`: also
  // draw for those that happen by chance. A fault by script happens once.
  std::optional<Fault> strike(FaultKind kind, uint64_t n_entries, bool chance);
  // None is left that could ever happen: nobody needs to ask.
  bool spent() const { return left_ == 0; }
  // A number below `n`, from the same seed.
  uint64_t draw(uint64_t n) { return n ? rng_() % n : 0; }

 private:
  struct Armed {
    Fault fault;
    bool done = false;
  };
  std::vector<Armed> faults_;
  size_t left_;
  std::mt19937_64 rng_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_FAULTS_H
