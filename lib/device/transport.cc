// SPDX-License-Identifier: Apache-2.0
// What a transport cannot do unless it says that it can.
#include "device/transport.h"

namespace sluice {
namespace {

tl::unexpected<Error> unsupported(const char* what) {
  return fail(ENOTSUP, std::string("this board has no ") + what);
}

}  // namespace

Result<uint64_t> Transport::update_register(uint32_t, uint64_t, uint64_t, uint64_t, unsigned) {
  return unsupported("read-modify-write of registers");
}
Result<uint64_t> Transport::poll_register(uint32_t, uint64_t, uint64_t, uint64_t,
                                          std::chrono::nanoseconds, unsigned) {
  return unsupported("polling of registers");
}
Result<Transport::Object> Transport::allocate(MemoryKind, uint64_t) {
  return unsupported("memory to allocate");
}
Result<Transport::Range> Transport::map_object(uint32_t, uint64_t, uint64_t, MemoryType, bool) {
  return unsupported("memory to map");
}
void Transport::free(uint32_t) {}
Result<int> Transport::export_dmabuf(uint32_t, bool) { return unsupported("dma-bufs"); }
Result<Transport::Object> Transport::import_dmabuf(int) { return unsupported("dma-bufs"); }
Result<Transport::Rings> Transport::create_queue(const QueueOptions&) {
  return unsupported("queues");
}
Result<void> Transport::grant(uint32_t, uint32_t, uint32_t, uint64_t, uint64_t, unsigned) {
  return unsupported("queues");
}
Result<void> Transport::notify(uint32_t) { return unsupported("queues"); }
Result<void> Transport::wait(uint32_t, std::chrono::nanoseconds) { return unsupported("queues"); }
Result<void> Transport::reset(bool) { return unsupported("reset"); }
Result<ClockInfo> Transport::clock() { return unsupported("clock block"); }
Result<ClockInfo> Transport::set_clock(uint32_t, bool) { return unsupported("clock block"); }
Result<uint32_t> Transport::set_timer(uint32_t, uint32_t) { return unsupported("clock block"); }

}  // namespace sluice
