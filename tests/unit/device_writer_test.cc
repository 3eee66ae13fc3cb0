// SPDX-License-Identifier: Apache-2.0
// Bytes into device memory, by mapping and by COPY: every size, sources that fail, boards that
// fail, cancellation.
#include <cerrno>
#include <cstring>

#include <sluice/emulator.hpp>

#include "stream/device_writer.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(device_writer, .timeout = 120);

namespace {

constexpr uint64_t kBytes = uint64_t{9} << 20;

struct Rig {
  Device device;
  Queue queue;
  Memory memory, staging;
  Mapping buffer;
  DeviceWriter writer;

  static Rig make(const char* fault = nullptr) {
    EmulatorOptions options;
    options.memory_size = uint64_t{32} << 20;
    if (fault) options.faults.push_back(*parse_fault(fault));
    auto device = Device::emulate(options);
    cr_assert(device.has_value(), "%s", why(device));
    auto queue = Queue::create(*device, {});
    cr_assert(queue.has_value(), "%s", why(queue));
    auto memory = device->allocate(MemoryKind::kDevice, kBytes);
    cr_assert(memory.has_value(), "%s", why(memory));
    auto staging = device->allocate(MemoryKind::kPages, DeviceWriter::kBufferBytes);
    cr_assert(staging.has_value(), "%s", why(staging));
    auto buffer = staging->map();
    cr_assert(buffer.has_value(), "%s", why(buffer));
    Rig rig{std::move(*device),  std::move(*queue),  std::move(*memory),
            std::move(*staging), std::move(*buffer), {}};
    cr_assert(rig.queue.grant(0, rig.memory, Access::kReadWrite).has_value());
    cr_assert(rig.queue.grant(1, rig.staging, Access::kRead).has_value());
    return rig;
  }
  // After the rig has come to rest: it is moved about.
  void wire() {
    writer.device = &device;
    writer.queue = &queue;
    writer.destination = &memory;
    writer.segment = 0;
    writer.buffer = &buffer;
    writer.staging = 1;
    writer.timeout = std::chrono::seconds(2);
  }
};

std::vector<std::byte> pattern(size_t n, unsigned seed) {
  std::vector<std::byte> out(n);
  uint32_t x = seed * 2654435761u + 1;
  for (std::byte& b : out) b = static_cast<std::byte>((x = x * 1664525u + 1013904223u) >> 24);
  return out;
}

std::vector<std::byte> contents(const Rig& rig, uint64_t offset, size_t n) {
  const auto mapping = rig.memory.map(0, 0, MemoryType::kNative, true);
  cr_assert(mapping.has_value());
  std::vector<std::byte> out(n);
  cr_assert(mapping->copy_out(offset, out).has_value());
  return out;
}

}  // namespace

static void writes(StreamBy by) {
  Rig rig = Rig::make();
  rig.wire();
  const auto large = pattern((size_t{5} << 20) + 12345, 1), small = pattern(3, 2),
             part = pattern(size_t{1} << 20, 3);
  const Transfer transfers[] = {Transfer::of(large, 4096), Transfer::of(small, 17),
                                Transfer::of({}, 0), Transfer::of(part, kBytes - part.size())};
  uint64_t last = 0;
  rig.writer.progress = [&](uint64_t done) {
    cr_expect(done > last);
    last = done;
    return true;
  };
  const auto done = rig.writer.write(transfers, by);
  cr_assert(done.has_value(), "%s", why(done));
  cr_expect(test::same(last, large.size() + small.size() + part.size()));
  cr_expect(contents(rig, 4096, large.size()) == large);
  cr_expect(contents(rig, 17, small.size()) == small);
  cr_expect(contents(rig, kBytes - part.size(), part.size()) == part);
  cr_expect(contents(rig, 20, 100) == std::vector<std::byte>(100));
  cr_expect(test::same(rig.queue.n_in_flight(), 0u));
}
Test(device_writer, writes_by_mapping) { writes(StreamBy::kMapping); }
Test(device_writer, writes_by_copy) { writes(StreamBy::kCopy); }

static void refuses(StreamBy by) {
  Rig rig = Rig::make();
  rig.wire();
  const auto bytes = pattern(size_t{3} << 20, 1);
  for (const uint64_t to : {kBytes, kBytes - 1, kBytes - bytes.size() + 1, ~uint64_t{0}}) {
    const Transfer t = Transfer::of(bytes, to);
    cr_expect(is_error(rig.writer.write({&t, 1}, by), ERANGE, {"device memory"}));
  }
  // A source that fails, and a user who has had enough, in the middle.
  Transfer bad{bytes.size(), 0, [&](uint64_t offset, std::span<std::byte> to) -> Result<void> {
                 if (offset > 0) return fail(EIO, "the disk is broken");
                 std::memcpy(to.data(), bytes.data(), to.size());
                 return {};
               }};
  cr_expect(is_error(rig.writer.write({&bad, 1}, by), EIO, {"the disk is broken"}));
}
Test(device_writer, refuses_what_does_not_fit_and_passes_errors_on_mapping) {
  refuses(StreamBy::kMapping);
}
Test(device_writer, refuses_what_does_not_fit_and_passes_errors_on_copy) {
  refuses(StreamBy::kCopy);
}

Test(device_writer, can_be_cancelled) {
  for (const StreamBy by : {StreamBy::kMapping, StreamBy::kCopy}) {
    Rig rig = Rig::make();
    rig.wire();
    rig.writer.progress = [](uint64_t done) { return done < (uint64_t{2} << 20); };
    const auto bytes = pattern(size_t{6} << 20, 1);
    const Transfer t = Transfer::of(bytes, 0);
    cr_expect(is_error(rig.writer.write({&t, 1}, by), ECANCELED, {}));
  }
}

Test(device_writer, a_board_that_fails_is_an_error) {
  const auto bytes = pattern(size_t{6} << 20, 1);
  const Transfer t = Transfer::of(bytes, 0);
  {
    Rig rig = Rig::make("hang@3");
    rig.wire();
    cr_expect(is_error(rig.writer.write({&t, 1}, StreamBy::kCopy), ETIMEDOUT, {}));
  }
  {
    Rig rig = Rig::make("removal@3");
    rig.wire();
    cr_expect(is_error(rig.writer.write({&t, 1}, StreamBy::kCopy), ENODEV, {}));
  }
  {
    Rig rig = Rig::make("corrupt@3");
    rig.wire();
    cr_expect(is_error(rig.writer.write({&t, 1}, StreamBy::kCopy), EIO, {"wrong data"}));
  }
}
