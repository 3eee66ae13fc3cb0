// SPDX-License-Identifier: Apache-2.0
// board-bench MODEL PAIRS N_PROMPT N_DECODE THREADS: the emulated board within the process beside
// the CPU on one model, measured in turns; what a submission costs; and how fast weights get into
// device memory, beside memcpy and a plain read of the same file. Prints one JSON object.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include <sluice/engine.hpp>
#include <sluice/queue.hpp>

#include "core/file.h"
#include "stream/device_writer.h"

namespace {

using namespace sluice;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

// --- a model on either machine ----------------------------------------------------------------

Result<double> prefill(Engine& engine, uint32_t n) {
  std::vector<int32_t> tokens;
  for (uint32_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<int32_t>((i * 7919 + 11) % engine.model().info().n_vocab));
  }
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  const StepInput in{&sequence, tokens, Logits::kLast};
  const auto start = Clock::now();
  SLUICE_CHECK(engine.step({&in, 1}));
  return n / seconds_since(start);
}

Result<double> decode(Engine& engine, uint32_t n) {
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  const auto start = Clock::now();
  for (uint32_t i = 0; i < n; ++i) {
    const auto token = static_cast<int32_t>((i * 31 + 5) % engine.model().info().n_vocab);
    const StepInput in{&sequence, {&token, 1}, Logits::kLast};
    SLUICE_CHECK(engine.step({&in, 1}));
  }
  return n / seconds_since(start);
}

Result<Json> beside_cpu(const std::shared_ptr<const Model>& model, int pairs, uint32_t n_prompt,
                        uint32_t n_decode, unsigned n_threads) {
  std::unique_ptr<Engine> engines[2];
  for (int i = 0; i < 2; ++i) {
    EngineOptions o;
    o.device = i == 0 ? "cpu" : "emu";
    o.n_threads = n_threads;
    o.max_batch_tokens = n_prompt;
    o.kv_tokens = n_prompt + n_decode + 32;
    SLUICE_TRY(engines[i], Engine::create(model, o));
  }
  std::vector<double> rates[2][2], ratios[2];  // prefill and decode, by machine
  for (int p = -1; p < pairs; ++p) {           // the first pair warms up
    double now[2][2];
    for (int k = 0; k < 2; ++k) {
      const int i = (k + p + 1) % 2;  // each is first every other time
      SLUICE_TRY(now[0][i], prefill(*engines[i], n_prompt));
      SLUICE_TRY(now[1][i], decode(*engines[i], n_decode));
    }
    for (int what = 0; p >= 0 && what < 2; ++what) {
      for (int i = 0; i < 2; ++i) rates[what][i].push_back(now[what][i]);
      ratios[what].push_back(now[what][1] / now[what][0]);
    }
  }
  Json out;
  constexpr const char* kWhat[] = {"prefill", "decode"};
  for (int what = 0; what < 2; ++what) {
    out[kWhat[what]] = {{"cpu_tps", median(rates[what][0])},
                        {"board_tps", median(rates[what][1])},
                        {"ratio", median(ratios[what])},
                        {"ratios", ratios[what]}};
  }
  return out;
}

// --- submissions ------------------------------------------------------------------------------

Result<Json> submissions(Device& device) {
  SLUICE_TRY(Queue queue, Queue::create(device, {}));
  const QueueEntry nop{};
  Completion done[64];
  std::vector<double> round_trips;
  for (int i = 0; i < 200000; ++i) {
    const auto start = Clock::now();
    SLUICE_CHECK(queue.submit({&nop, 1}));
    uint32_t n = 0;
    while (n == 0) {
      SLUICE_TRY(n, queue.poll(done));
    }
    round_trips.push_back(seconds_since(start));
  }
  std::sort(round_trips.begin(), round_trips.end());
  const std::vector<QueueEntry> batch(32);
  uint64_t in_flight = 0, total = 0;
  const auto start = Clock::now();
  while (seconds_since(start) < 1) {
    if (in_flight + batch.size() <= queue.n_entries()) {
      SLUICE_CHECK(queue.submit(batch));
      in_flight += batch.size();
    }
    SLUICE_TRY(const uint32_t n, queue.poll(done));
    in_flight -= n;
    total += n;
  }
  const double rate = static_cast<double>(total) / seconds_since(start);
  while (in_flight > 0) {
    SLUICE_TRY(const uint32_t n, queue.wait(done, std::chrono::seconds(10)));
    in_flight -= n;
  }
  return Json{{"nop_us", round_trips[round_trips.size() / 2] * 1e6},
              {"nop_p99_us", round_trips[round_trips.size() * 99 / 100] * 1e6},
              {"entries_per_s", rate}};
}

// --- weights ----------------------------------------------------------------------------------

double read_file(const std::string& path, std::vector<std::byte>& part, uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto start = Clock::now();
  for (uint64_t at = 0; at < bytes;) {
    const ssize_t n = ::pread(fd, part.data(), part.size(), static_cast<off_t>(at));
    if (n <= 0) break;
    at += static_cast<uint64_t>(n);
  }
  const double rate = static_cast<double>(bytes) / seconds_since(start);
  ::close(fd);
  return rate;
}

Result<Json> streaming(Device& device, const std::string& path) {
  uint64_t size = 0;
  SLUICE_TRY(const Fd file, open_regular(path, size));
  const uint64_t bytes = std::min<uint64_t>(size, uint64_t{512} << 20);
  SLUICE_TRY(Queue queue, Queue::create(device, {}));
  SLUICE_TRY(const Memory target, device.allocate(MemoryKind::kDevice, bytes));
  SLUICE_TRY(const Memory staging, device.allocate(MemoryKind::kPages, DeviceWriter::kBufferBytes));
  SLUICE_TRY(const Mapping buffer, staging.map());
  SLUICE_CHECK(queue.grant(0, target, Access::kReadWrite));
  SLUICE_CHECK(queue.grant(1, staging, Access::kRead));
  DeviceWriter writer;
  writer.device = &device;
  writer.queue = &queue;
  writer.destination = &target;
  writer.buffer = &buffer;
  writer.staging = 1;
  writer.timeout = std::chrono::seconds(10);
  const Transfer from_file{bytes, 0, [&](uint64_t offset, std::span<std::byte> to) {
                             return read_all(file, offset, to, path);
                           }};
  std::vector<std::byte> part(size_t{1} << 20), a(size_t{256} << 20), b(a.size());
  std::vector<double> copy, mapping, plain, memory;
  for (int i = 0; i < 6; ++i) {  // the first round touches the pages
    const auto timed = [&](StreamBy by) -> Result<double> {
      const auto start = Clock::now();
      SLUICE_CHECK(writer.write({&from_file, 1}, by));
      return static_cast<double>(bytes) / seconds_since(start);
    };
    SLUICE_TRY(const double by_copy, timed(StreamBy::kCopy));
    SLUICE_TRY(const double by_mapping, timed(StreamBy::kMapping));
    const double read = read_file(path, part, bytes);
    const auto start = Clock::now();
    std::memcpy(a.data(), b.data(), a.size());
    const double copied = static_cast<double>(a.size()) / seconds_since(start);
    if (i == 0) continue;
    copy.push_back(by_copy);
    mapping.push_back(by_mapping);
    plain.push_back(read);
    memory.push_back(copied);
  }
  return Json{{"bytes", bytes},
              {"copy", median(copy)},
              {"mapping", median(mapping)},
              {"file_read", median(plain)},
              {"memcpy", median(memory)}};
}

Result<Json> measure(char** argv) {
  SLUICE_TRY(const auto model, Model::load(argv[1]));
  Json out;
  {
    EmulatorOptions options;
    options.n_threads = 1;
    SLUICE_TRY(Device device, Device::emulate(options));
    SLUICE_TRY(out["submission"], submissions(device));
    SLUICE_TRY(out["streaming"], streaming(device, argv[1]));
  }
  SLUICE_TRY(out["model"],
             beside_cpu(model, std::atoi(argv[2]), static_cast<uint32_t>(std::atoi(argv[3])),
                        static_cast<uint32_t>(std::atoi(argv[4])),
                        static_cast<unsigned>(std::atoi(argv[5]))));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: board-bench MODEL PAIRS N_PROMPT N_DECODE THREADS\n");
    return 2;
  }
  const auto out = measure(argv);
  if (!out) {
    std::fprintf(stderr, "board-bench: %s\n", out.error().message.c_str());
    return 1;
  }
  std::puts(out->dump().c_str());
  return 0;
}
