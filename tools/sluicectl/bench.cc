// SPDX-License-Identifier: Apache-2.0
// sluicectl bench: ways that a program can take, measured side by side on one board. Batches, pread
// and pwrite are raw calls of the driver: the library has no use for them.
#include "bench.h"

#include <fmt/format.h>
#include <sluice.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <sluice/queue.hpp>
#include <vector>

#include "print.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kBatch = 64;  // accesses in one call
constexpr int kRepeats = 5;
constexpr std::chrono::milliseconds kRepeatFor(8);
constexpr uint64_t kMostBytes = uint64_t{64} << 20;
constexpr uint64_t kSizes[] = {4,       64,      1 << 10,  4 << 10,   64 << 10,
                               1 << 20, 4 << 20, 16 << 20, kMostBytes};
constexpr std::chrono::seconds kDmaTimeout(20);

struct Way {
  std::string name;
  double ns;
};

// Nanoseconds of one `work`, the median of a few repeats; an error ends it.
Result<double> time_of(const std::function<Result<void>()>& work) {
  SLUICE_CHECK(work());  // the first time is dearer
  std::vector<double> samples;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = Clock::now();
    uint64_t n = 0;
    Clock::duration spent{};
    do {
      SLUICE_CHECK(work());
      ++n;
      spent = Clock::now() - start;
    } while (spent < kRepeatFor);
    samples.push_back(std::chrono::duration<double, std::nano>(spent).count() /
                      static_cast<double>(n));
  }
  std::nth_element(samples.begin(), samples.begin() + kRepeats / 2, samples.end());
  return samples[kRepeats / 2];
}

// Adds what the board can do; ENOTSUP leaves a way out.
Result<void> measure(std::vector<Way>& ways, const char* name, double divide,
                     const std::function<Result<void>()>& work) {
  const auto ns = time_of(work);
  if (!ns && ns.error().code == ENOTSUP) return {};
  SLUICE_CHECK(ns);
  ways.push_back({name, *ns / divide});
  return {};
}

tl::unexpected<sluice::Error> failed(const char* what) {
  return fail(errno, fmt::format("{}: {}", what, std::strerror(errno)));
}

Result<void> call(int fd, unsigned long request, void* arg, const char* what) {
  if (::ioctl(fd, request, arg) != 0) return failed(what);
  return {};
}

// What pread() and pwrite() take for an offset.
Result<uint64_t> cookie(int fd, uint32_t window, uint32_t flags, uint64_t offset, uint64_t length) {
  struct sluice_map arg = {};
  arg.size = sizeof(arg);
  arg.flags = flags;
  arg.window = window;
  arg.type = SLUICE_MAP_NATIVE;
  arg.offset = offset;
  arg.length = length;
  SLUICE_CHECK(call(fd, SLUICE_IOC_MAP, &arg, "SLUICE_IOC_MAP"));
  return arg.cookie;
}

// `fd`: of the driver, -1 for a board within the process.
Result<std::vector<Way>> register_ways(sluice::Device& device, int fd, uint32_t window,
                                       uint64_t offset) {
  std::vector<Way> ways;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t start = offset / page * page;
  const auto mapping = device.map(window, start, page, sluice::MemoryType::kUncached, true);
  if (mapping) {
    const volatile auto* at = static_cast<const volatile uint32_t*>(mapping->data()) +
                              (offset - start) / sizeof(uint32_t);
    SLUICE_CHECK(measure(ways, "mmap", kBatch, [&]() -> Result<void> {
      for (uint32_t i = 0; i < kBatch; ++i) [[maybe_unused]] const uint32_t seen = *at;
      return {};
    }));
  } else if (mapping.error().code != ENOTSUP) {
    return tl::unexpected<sluice::Error>(mapping.error());
  }
  SLUICE_CHECK(measure(ways, "ioctl", 1, [&]() -> Result<void> {
    SLUICE_CHECK(device.read_register(window, offset));
    return {};
  }));
  if (fd < 0) return ways;
  std::vector<struct sluice_reg_op> ops(kBatch);
  for (auto& op : ops) {
    op.window = window;
    op.width = 32;
    op.offset = offset;
  }
  SLUICE_CHECK(measure(ways, "batch", kBatch, [&]() -> Result<void> {
    struct sluice_reg_batch arg = {};
    arg.size = sizeof(arg);
    arg.count = kBatch;
    arg.ops = reinterpret_cast<uint64_t>(ops.data());
    return call(fd, SLUICE_IOC_REG_BATCH, &arg, "SLUICE_IOC_REG_BATCH");
  }));
  if (!mapping) return ways;
  SLUICE_TRY(const uint64_t at, cookie(fd, window, 0, start, page));
  SLUICE_CHECK(measure(ways, "pread", 1, [&]() -> Result<void> {
    uint32_t seen;
    if (::pread(fd, &seen, sizeof(seen), static_cast<off_t>(at + offset - start)) < 0) {
      return failed("pread");
    }
    return {};
  }));
  return ways;
}

// Device memory and what reaches it.
struct Lane {
  sluice::Memory memory, staging;
  sluice::Mapping mapping, staged;
  std::optional<sluice::Queue> queue;  // none: the board has no way into host memory
  uint64_t cookie = 0;
};

Result<Lane> open_lane(sluice::Device& device, int fd, const sluice::BoardInfo& info) {
  const uint64_t size = std::min(kMostBytes, info.memory_free / 2 / 4096 * 4096);
  Lane lane;
  SLUICE_TRY(lane.memory, device.allocate(sluice::MemoryKind::kDevice, size));
  SLUICE_TRY(lane.mapping, lane.memory.map());
  if (fd >= 0) {
    SLUICE_TRY(lane.cookie, cookie(fd, lane.memory.handle(), SLUICE_MAP_OBJECT, 0, size));
  }
  if ((info.capabilities & SLUICE_SDI_CAP_HOST) == 0) return lane;
  SLUICE_TRY(lane.staging, device.allocate(sluice::MemoryKind::kCoherent, size));
  SLUICE_TRY(lane.staged, lane.staging.map());
  SLUICE_TRY(lane.queue, sluice::Queue::create(device, {.n_entries = 4, .n_segments = 2}));
  SLUICE_CHECK(lane.queue->grant(0, lane.staging, sluice::Access::kRead));
  SLUICE_CHECK(lane.queue->grant(1, lane.memory, sluice::Access::kWrite));
  return lane;
}

// Bytes that are in the program's memory, until the board has them. With DMA they are where the
// board can fetch them; a copy there is on top.
Result<std::vector<Way>> data_ways(int fd, Lane& lane, uint64_t n) {
  std::vector<std::byte> source(n, std::byte{0x5a});
  std::vector<Way> ways;
  if (fd >= 0) {
    SLUICE_CHECK(measure(ways, "pwrite", 1, [&]() -> Result<void> {
      for (uint64_t done = 0; done < n;) {
        const ssize_t more =
            ::pwrite(fd, source.data() + done, n - done, static_cast<off_t>(lane.cookie + done));
        if (more <= 0) return failed("pwrite");
        done += static_cast<uint64_t>(more);
      }
      return {};
    }));
  }
  SLUICE_CHECK(measure(ways, "mmap", 1, [&] { return lane.mapping.copy_in(0, source); }));
  if (!lane.queue) return ways;
  sluice::QueueEntry entry{};
  entry.opcode = SLUICE_SDI_ENTRY_COPY;
  entry.copy = {SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(1, 0), n};
  const auto copy = [&]() -> Result<void> {
    SLUICE_CHECK(lane.queue->execute(entry, kDmaTimeout));
    return {};
  };
  SLUICE_CHECK(measure(ways, "DMA", 1, copy));
  SLUICE_CHECK(measure(ways, "copy + DMA", 1, [&]() -> Result<void> {
    SLUICE_CHECK(lane.staged.copy_in(0, source));
    return copy();
  }));
  return ways;
}

std::string duration(double ns) {
  return ns < 10000 ? fmt::format("{:.0f} ns", ns) : fmt::format("{:.1f} us", ns / 1000);
}

const Way& fastest(const std::vector<Way>& ways) {
  return *std::min_element(ways.begin(), ways.end(),
                           [](const Way& a, const Way& b) { return a.ns < b.ns; });
}

Json ways_json(const std::vector<Way>& ways) {
  Json json = Json::object();
  for (const Way& way : ways) json[way.name] = way.ns;
  return json;
}

struct DataRow {
  uint64_t bytes;
  std::vector<Way> ways;
};

std::string as_json(const std::vector<Way>& reads, const std::vector<DataRow>& data) {
  Json json = {{"register_read_ns", ways_json(reads)}};
  for (const DataRow& row : data) {
    json["data_ns"].push_back({{"bytes", row.bytes}, {"ns", ways_json(row.ways)}});
  }
  return json_line(json);
}

std::string as_text(const std::vector<Way>& reads, const std::vector<DataRow>& data) {
  std::string out = "one 32-bit register read\n";
  for (const Way& way : reads) {
    out += fmt::format("  {:<12} {:>12} {:>8.2f} x\n", way.name, duration(way.ns),
                       way.ns / fastest(reads).ns);
  }
  if (data.empty()) return out;
  out += "\ndata to device memory\n       bytes";
  for (const Way& way : data[0].ways) out += fmt::format(" {:>14}", way.name);
  out += "  fastest\n";
  for (const DataRow& row : data) {
    out += fmt::format("  {:>10}", row.bytes);
    for (const Way& way : row.ways) out += fmt::format(" {:>14}", duration(way.ns));
    const Way& best = fastest(row.ways);
    out += fmt::format("  {}, {:.3g} MB/s\n", best.name,
                       static_cast<double>(row.bytes) / best.ns * 1e3);
  }
  return out;
}

}  // namespace

Result<std::string> bench(const Options& options, std::optional<uint64_t> offset) {
  SLUICE_TRY(Board board, Board::open(options, false));
  SLUICE_TRY(const uint32_t window, board.window());
  const int fd = options.device == "emu" ? -1 : board.device().fd();
  const uint64_t at = offset.value_or(0);
  if (at % sizeof(uint32_t) != 0) {
    return fail(EINVAL, fmt::format("offset {:#x}: expected a multiple of 4", at));
  }
  SLUICE_TRY(const auto reads, register_ways(board.device(), fd, window, at));
  std::vector<DataRow> data;
  SLUICE_TRY(const auto info, board.device().info());
  if (info.memory_size != 0) {
    SLUICE_TRY(Lane lane, open_lane(board.device(), fd, info));
    for (const uint64_t n : kSizes) {
      if (n > lane.memory.size()) break;
      SLUICE_TRY(auto ways, data_ways(fd, lane, n));
      data.push_back({n, std::move(ways)});
    }
  }
  return options.json ? as_json(reads, data) : as_text(reads, data);
}

}  // namespace sluicectl
