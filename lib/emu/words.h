// SPDX-License-Identifier: Apache-2.0
// Access to words that somebody else writes at the same time: each is read or written once, whole,
// and in order. What is not a single word is copied before it is looked at.
#ifndef SLUICE_LIB_EMU_WORDS_H
#define SLUICE_LIB_EMU_WORDS_H

#include <linux/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "sluice_sdi.h"

namespace sluice::emu {

// Reads a word once; what its writer stored before it is seen after.
template <typename T>
T load(const T& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

// Writes a word at once, after everything that was written before.
template <typename T>
void store(T& word, std::type_identity_t<T> value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

// Adds to a word that nobody else writes.
template <typename T>
void add(T& word, std::type_identity_t<T> value) {
  __atomic_store_n(&word, __atomic_load_n(&word, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

// Stores before it are seen by others before loads behind it are made.
inline void full_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// The register window by its pages; the layout is the Device Interface's.
class Registers {
 public:
  // Pages that a board of `n_queues` needs, in bytes.
  static constexpr uint64_t bytes(uint32_t n_queues) {
    return uint64_t{SLUICE_SDI_PAGE_SIZE} * (SLUICE_SDI_PAGE_DOORBELL + n_queues);
  }
  explicit Registers(std::byte* window) : window_(window) {}

  sluice_sdi_control& control() const { return *page<sluice_sdi_control>(SLUICE_SDI_PAGE_CONTROL); }
  sluice_sdi_clock& clock() const { return *page<sluice_sdi_clock>(SLUICE_SDI_PAGE_CLOCK); }
  sluice_sdi_queue& queue(uint32_t q) const {
    return page<sluice_sdi_queue>(SLUICE_SDI_PAGE_QUEUES)[q];
  }
  sluice_sdi_counters& counters() const {
    return *page<sluice_sdi_counters>(SLUICE_SDI_PAGE_COUNTERS);
  }
  sluice_sdi_doorbell& doorbell(uint32_t q) const {
    return *page<sluice_sdi_doorbell>(SLUICE_SDI_PAGE_DOORBELL + q);
  }
  std::byte* data() const { return window_; }

 private:
  template <typename T>
  T* page(uint32_t number) const {
    return reinterpret_cast<T*>(window_ + uint64_t{number} * SLUICE_SDI_PAGE_SIZE);
  }
  std::byte* window_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_WORDS_H
