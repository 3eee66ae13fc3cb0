// SPDX-License-Identifier: Apache-2.0
// Control requests: argument, request, notify, then a wait for the acknowledgement.
#include "emu/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <thread>

namespace sluice::emu {
namespace {

// Longer than the longest entry that a request may have to wait for.
constexpr auto kPatience = std::chrono::seconds(3);
// A board that has nothing to do answers within this.
constexpr auto kSpin = std::chrono::microseconds(50);
constexpr uint32_t kGenerationMask = (1u << 24) - 1;

struct ResultText {
  int code;
  const char* text;
};
// In the order of SLUICE_SDI_RESULT_*.
constexpr ResultText kResults[] = {{0, "done"},
                                   {ENOTSUP, "no such action"},
                                   {EINVAL, "an argument is out of range"},
                                   {EBUSY, "not in this state"},
                                   {EFAULT, "an address that the board cannot reach"}};

}  // namespace

Result<void> Driver::identify() const {
  const sluice_sdi_control& c = registers_.control();
  const auto bad = [](const char* word, uint64_t value) {
    return fail(EPROTO, fmt::format("emulated board: {} is {:#x}", word, value));
  };
  if (load(c.magic) != SLUICE_SDI_MAGIC) return bad("magic", load(c.magic));
  if (SLUICE_SDI_VERSION_MAJOR(load(c.version)) != SLUICE_SDI_VERSION_MAJOR(SLUICE_SDI_VERSION)) {
    return bad("version", load(c.version));
  }
  if (load(c.n_queues) < 1 || load(c.n_queues) > SLUICE_SDI_MAX_QUEUES) {
    return bad("n_queues", load(c.n_queues));
  }
  if (load(c.n_vectors) < 1 || load(c.n_vectors) > 1 + load(c.n_queues)) {
    return bad("n_vectors", load(c.n_vectors));
  }
  return {};
}

// While FATAL is set a board carries out nothing but a reset: no use in waiting for the rest.
bool Driver::wait_for(const uint32_t& word, uint32_t value, bool is_reset) const {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const bool hopeless =
        !is_reset && (load(registers_.control().status) & SLUICE_SDI_STATUS_FATAL) != 0;
    if (load(word) == value) return true;
    const auto spent = std::chrono::steady_clock::now() - start;
    if (hopeless || spent > kPatience || all_ones()) return load(word) == value;
    if (spent > kSpin) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

// With mutex_ held.
Result<void> Driver::post(uint32_t action, uint64_t argument) {
  sluice_sdi_control& c = registers_.control();
  generation_ = (generation_ + 1) & kGenerationMask;
  const uint32_t request = SLUICE_SDI_REQUEST(generation_, action);
  store(c.argument[0], argument);
  store(c.request, request);
  notify_();
  if (!wait_for(c.acknowledge, request, action == SLUICE_SDI_ACTION_RESET)) {
    if (all_ones()) return fail(EIO, "emulated board: its registers read all ones");
    stuck_ = true;
    return fail(ETIMEDOUT, "emulated board: it does not answer");
  }
  const uint32_t result = load(c.result);
  if (result == SLUICE_SDI_RESULT_OK) return {};
  const ResultText& r = kResults[std::min<size_t>(result, std::size(kResults) - 1)];
  return fail(r.code, fmt::format("emulated board: request {}: {}", action, r.text));
}

Result<void> Driver::request(uint32_t action, uint64_t argument) {
  const std::lock_guard lock(mutex_);
  if (stuck_) return fail(ETIMEDOUT, "emulated board: it does not answer until it is reset");
  if (all_ones()) return fail(EIO, "emulated board: its registers read all ones");
  return post(action, argument);
}

Result<void> Driver::reset() {
  const std::lock_guard lock(mutex_);
  // A board whose registers read all ones shows what becomes of them by its acknowledgement.
  sluice_sdi_control& c = registers_.control();
  if (all_ones()) {
    generation_ = (generation_ + 1) & kGenerationMask;
    const uint32_t request = SLUICE_SDI_REQUEST(generation_, SLUICE_SDI_ACTION_RESET);
    store(c.request, request);
    notify_();
    const auto start = std::chrono::steady_clock::now();
    while (load(c.acknowledge) != request) {
      if (std::chrono::steady_clock::now() - start > std::chrono::seconds(1)) {
        return fail(ETIMEDOUT, "emulated board: no reset brings it back");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  } else {
    SLUICE_CHECK(post(SLUICE_SDI_ACTION_RESET, 0));
  }
  stuck_ = false;
  for (uint32_t& hz : timer_hz_) hz = 0;
  return identify();
}

}  // namespace sluice::emu
