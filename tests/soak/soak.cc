// SPDX-License-Identifier: Apache-2.0
// soak FAULTS [SEED]: stories on an emulated board that fails at random, until that many faults
// have ended in a recovery or an error. Every story that is told must be the CPU's to the token,
// every fault must be over in bounded time, and nothing may be left behind: descriptors, threads,
// memory.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <sluice/engine.hpp>

namespace {

using namespace sluice;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kStory = 48;  // tokens
constexpr std::chrono::seconds kPatience{30};

struct Footprint {
  size_t n_files = 0, n_threads = 0;
  uint64_t resident = 0;  // bytes

  static size_t entries(const char* folder) {
    const std::filesystem::directory_iterator begin(folder), end;
    return static_cast<size_t>(std::distance(begin, end));
  }
  static Footprint now() {
    uint64_t total = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return {entries("/proc/self/fd"), entries("/proc/self/task"),
            resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))};
  }
};

EngineOptions board_options(uint64_t seed) {
  EngineOptions o;
  o.device = "emu";
  o.max_batch_tokens = 32;
  o.kv_tokens = 256;
  o.device_timeout = std::chrono::milliseconds(100);
  o.max_recoveries = 5;
  o.emulator.memory_size = uint64_t{64} << 20;
  o.emulator.seed = seed;
  for (const char* text : {"hang:0.0008", "all-ones:0.0008", "corrupt:0.0015", "lost-irq:0.01",
                           "late:0.002,20ms", "no-lock:0.2", "removal:0.0003"}) {
    o.emulator.faults.push_back(*parse_fault(text));
  }
  return o;
}

Result<std::vector<int32_t>> story(Engine& engine) {
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  GenerateParams params;
  params.sampling.temperature = 0;
  params.ignore_eos = true;
  params.n_predict = kStory;
  const auto prompt = engine.model().tokenizer()->encode("Once upon a time", true);
  SLUICE_TRY(const Generation g, generate(engine, sequence, prompt, params));
  return g.ids;
}

struct Soak {
  std::shared_ptr<const Model> model;
  std::vector<int32_t> expected;
  uint64_t seed = 1;
  uint32_t n_faults = 0, n_stories = 0, n_boards = 0;
  std::map<std::string, uint32_t> errors;
  double slowest = 0;  // seconds

  // One board, as long as it lives. False: something was wrong.
  bool run_board(uint32_t wanted);
  bool check_story(const Result<std::vector<int32_t>>& got, double took);
};

bool Soak::check_story(const Result<std::vector<int32_t>>& got, double took) {
  slowest = std::max(slowest, took);
  if (took > std::chrono::duration<double>(kPatience).count()) {
    fmt::print(stderr, "soak: a story took {:.1f} s\n", took);
    return false;
  }
  if (!got) {
    ++errors[got.error().message];
    ++n_faults;
    return true;
  }
  ++n_stories;
  if (*got == expected) return true;
  fmt::print(stderr, "soak: a story is not the CPU's (board {})\n", n_boards);
  return false;
}

bool Soak::run_board(uint32_t wanted) {
  ++n_boards;
  const auto begin = Clock::now();
  const auto engine = Engine::create(model, board_options(seed + n_boards));
  if (!engine) {  // it failed while it was loaded: an error, as it should be
    ++errors[engine.error().message];
    ++n_faults;
    return Clock::now() - begin < kPatience;
  }
  uint32_t recoveries = 0;
  for (int i = 0; i < 200 && n_faults < wanted; ++i) {
    const auto start = Clock::now();
    const auto got = story(**engine);
    if (!check_story(got, std::chrono::duration<double>(Clock::now() - start).count())) {
      return false;
    }
    n_faults += (*engine)->info().n_recoveries - recoveries;
    recoveries = (*engine)->info().n_recoveries;
    if (!got) return true;  // this board is gone; the next one
  }
  return true;
}

int run(uint32_t wanted, uint64_t seed) {
  Soak soak;
  auto model = Model::embedded();
  if (!model) return 1;
  soak.model = *model;
  soak.seed = seed;
  EngineOptions cpu;
  cpu.device = "cpu";
  {
    const auto engine = Engine::create(soak.model, cpu);
    const auto expected = engine ? story(**engine) : tl::unexpected(engine.error());
    if (!expected) return 1;
    soak.expected = *expected;
  }
  Footprint before;
  const auto start = Clock::now();
  while (soak.n_faults < wanted) {
    if (!soak.run_board(wanted)) return 1;
    // The first boards make what stays: arenas, thread-local buffers.
    if (soak.n_boards == 3) before = Footprint::now();
  }
  const Footprint after = Footprint::now();
  fmt::print("{} faults on {} boards in {:.0f} s, {} stories right, slowest {:.1f} s\n",
             soak.n_faults, soak.n_boards,
             std::chrono::duration<double>(Clock::now() - start).count(), soak.n_stories,
             soak.slowest);
  for (const auto& [message, n] : soak.errors) fmt::print("  {:>5}  {}\n", n, message);
  if (soak.n_boards <= 3) return 0;
  fmt::print("files {} -> {}, threads {} -> {}, memory {} -> {} MB\n", before.n_files,
             after.n_files, before.n_threads, after.n_threads, before.resident >> 20,
             after.resident >> 20);
  const bool leaks = after.n_files > before.n_files || after.n_threads > before.n_threads ||
                     after.resident > before.resident + (uint64_t{64} << 20);
  if (leaks) fmt::print(stderr, "soak: something was left behind\n");
  return leaks || soak.n_stories == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int wanted = argc > 1 ? std::atoi(argv[1]) : 0;
  if (wanted <= 0) {
    std::fprintf(stderr, "usage: soak FAULTS [SEED]\n");
    return 2;
  }
  return run(static_cast<uint32_t>(wanted), argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1);
}
