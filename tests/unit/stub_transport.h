// SPDX-License-Identifier: Apache-2.0
// A board that has nothing; tests derive from it what they need.
#ifndef SLUICE_TESTS_UNIT_STUB_TRANSPORT_H
#define SLUICE_TESTS_UNIT_STUB_TRANSPORT_H

#include <cerrno>

#include "device/transport.h"

namespace sluice::test {

class StubTransport : public Transport {
 public:
  Result<WindowInfo> window(uint32_t) override { return fail(ENXIO, "no such window"); }
  Result<uint64_t> read_register(uint32_t, uint64_t, unsigned) override { return 0; }
  Result<void> write_register(uint32_t, uint64_t, uint64_t, unsigned) override { return {}; }
  Result<Range> map(uint32_t, uint64_t, uint64_t, MemoryType, bool) override {
    return fail(ENXIO, "no such window");
  }
  Result<uint64_t> arm_interrupt() override { return fail(ENXIO, "no interrupt"); }
  Result<std::optional<uint64_t>> wait_interrupt(std::chrono::milliseconds) override {
    return std::nullopt;
  }
  int fd() const override { return -1; }
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_STUB_TRANSPORT_H
