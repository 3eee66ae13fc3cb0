// SPDX-License-Identifier: Apache-2.0
// hammer DEVICE TRIES: a program with a queue of its own tries addresses that nobody granted it, as
// source and as destination: past ends, across them, around 2^48 and 2^64, of segments that are
// empty, taken back, or not there. Each must fail with a segment fault, be counted, and touch not
// one byte.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <sluice/device.hpp>
#include <sluice/emulator.hpp>
#include <sluice/queue.hpp>

namespace {

using namespace sluice;

constexpr uint64_t kBytes = uint64_t{1} << 20;
constexpr uint64_t kTop = (uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1;
constexpr uint32_t kBatch = 32;
enum : uint16_t { kHost, kDevice, kEmpty, kRevoked, kNumSegments };

// A range that is not granted.
struct Range {
  uint64_t address, length;
};

class Addresses {
 public:
  Range next() {
    const uint64_t length = 1 + random_() % (2 * kBytes);
    switch (random_() % 7) {
      case 0:  // past the end
        return {SLUICE_SDI_ADDR(kDevice, kBytes + random_() % kBytes), length};
      case 1:  // across it
        return {SLUICE_SDI_ADDR(kDevice, kBytes - 1 - random_() % 64), 65 + random_() % 4096};
      case 2:  // around 2^48
        return {SLUICE_SDI_ADDR(kDevice, kTop - random_() % 4096), length};
      case 3:  // around 2^64
        return {SLUICE_SDI_ADDR(kHost, random_() % kBytes), ~uint64_t{0} - random_() % kBytes};
      case 4:
        return {SLUICE_SDI_ADDR(random_() % 2 ? kEmpty : kRevoked, random_() % kBytes), length};
      case 5:
        return {
            SLUICE_SDI_ADDR(kNumSegments + random_() % (65536 - kNumSegments), random_() & kTop),
            length};
      default:  // longer than it is
        return {SLUICE_SDI_ADDR(kHost, random_() % kBytes), kBytes + 1 + random_() % kBytes};
    }
  }
  bool coin() { return random_() % 2 != 0; }

 private:
  std::mt19937_64 random_{1};
};

Result<uint64_t> n_faults(const Device& device) {
  SLUICE_TRY(const Mapping page,
             device.map(0, 0, SLUICE_SDI_PAGE_SIZE, MemoryType::kUncached, true));
  return page.read(offsetof(sluice_sdi_control, n_faults), 64);
}

Result<void> hammer(Device& device, uint64_t n_tries) {
  QueueOptions options;
  options.n_entries = kBatch;
  options.n_segments = kNumSegments;
  SLUICE_TRY(Queue queue, Queue::create(device, options));
  SLUICE_TRY(const Memory host, device.allocate(MemoryKind::kCoherent, kBytes));
  SLUICE_TRY(const Memory memory, device.allocate(MemoryKind::kDevice, kBytes));
  SLUICE_TRY(const Mapping host_map, host.map());
  SLUICE_TRY(const Mapping memory_map, memory.map());
  SLUICE_CHECK(queue.grant(kHost, host, Access::kReadWrite));
  SLUICE_CHECK(queue.grant(kDevice, memory, Access::kReadWrite));
  SLUICE_CHECK(queue.grant(kRevoked, host, Access::kReadWrite));
  SLUICE_CHECK(queue.revoke(kRevoked));
  const std::vector<std::byte> before(kBytes, std::byte{0xa5});
  SLUICE_CHECK(host_map.copy_in(0, before));
  SLUICE_CHECK(memory_map.copy_in(0, before));
  SLUICE_TRY(const uint64_t faults, n_faults(device));

  Addresses addresses;
  std::vector<QueueEntry> entries(kBatch);
  std::vector<Completion> done(kBatch);
  for (uint64_t n = 0; n < n_tries; n += kBatch) {
    for (QueueEntry& e : entries) {
      const Range bad = addresses.next();
      const uint64_t good = SLUICE_SDI_ADDR(kHost, 0);
      e = {};
      e.opcode = SLUICE_SDI_ENTRY_COPY;
      e.copy = {bad.address, good, bad.length};
      if (addresses.coin()) std::swap(e.copy.src, e.copy.dst);
    }
    SLUICE_CHECK(queue.submit(entries));
    for (uint32_t left = kBatch; left > 0;) {
      SLUICE_TRY(const uint32_t got, queue.wait(done, std::chrono::seconds(20)));
      for (uint32_t i = 0; i < got; ++i) {
        if (done[i].status == SLUICE_SDI_E_SEGMENT) continue;
        return fail(EPROTO,
                    std::string("a status \"") + completion_status_name(done[i].status) + '"');
      }
      left -= got;
    }
  }
  SLUICE_TRY(const uint64_t after, n_faults(device));
  std::vector<std::byte> now(kBytes);
  SLUICE_CHECK(host_map.copy_out(0, now));
  if (now != before) return fail(EPROTO, "host memory was written");
  SLUICE_CHECK(memory_map.copy_out(0, now));
  if (now != before) return fail(EPROTO, "device memory was written");
  const uint64_t tried = (n_tries + kBatch - 1) / kBatch * kBatch;
  if (after - faults != tried) {
    return fail(EPROTO, std::to_string(after - faults) + " faults counted, " +
                            std::to_string(tried) + " expected");
  }
  std::printf("%llu tries, each refused and counted\n", static_cast<unsigned long long>(tried));
  return {};
}

Result<void> run(const std::string& name, uint64_t n_tries) {
  SLUICE_TRY(Device device, name == "emu" ? Device::emulate({}) : Device::open(name));
  return hammer(device, n_tries);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hammer DEVICE|emu TRIES\n");
    return 2;
  }
  const auto done = run(argv[1], std::strtoull(argv[2], nullptr, 10));
  if (done) return 0;
  std::fprintf(stderr, "hammer: %s\n", done.error().message.c_str());
  return 1;
}
