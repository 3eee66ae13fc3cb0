// SPDX-License-Identifier: Apache-2.0
// The team: every piece once, phases in order, many jobs in a row, phases of no pieces, idle sleep.
#include <time.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "core/cpu.h"
#include "core/thread_pool.h"
#include "support.h"

using namespace sluice;

TestSuite(thread_pool, .timeout = 120);

Test(thread_pool, every_piece_once_and_phases_in_order) {
  for (const unsigned n_threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(n_threads);
    cr_expect(same(pool.size(), n_threads));
    const int n_jobs = test::light() ? 20 : 500;
    for (int job = 0; job < n_jobs; ++job) {
      // Different lengths from job to job, so that a late thread meets other numbers.
      std::vector<uint32_t> pieces;
      for (int p = 0; p < 1 + job % 17; ++p)
        pieces.push_back(static_cast<uint32_t>((job * 7 + p * 3) % 9 * (1 + job % 3 * 5)));
      std::vector<std::vector<std::atomic<int>>> seen;
      for (const uint32_t n : pieces) seen.emplace_back(n);
      std::atomic<bool> in_order{true};
      pool.run(pieces, [&](unsigned thread, size_t phase, uint32_t piece) {
        if (thread >= n_threads) in_order = false;
        for (size_t before = 0; before < phase; ++before) {
          for (const auto& s : seen[before]) {
            if (s.load() != 1) in_order = false;
          }
        }
        ++seen[phase][piece];
      });
      cr_assert(in_order.load(), "%u threads, job %d", n_threads, job);
      for (const auto& phase : seen) {
        for (const auto& s : phase) cr_assert(same(s.load(), 1));
      }
    }
  }
}

Test(thread_pool, writes_of_a_phase_are_seen_in_the_next) {
  ThreadPool pool(4);
  constexpr uint32_t kN = 64;
  std::vector<uint64_t> values(kN, 0);
  const std::vector<uint32_t> pieces(100, kN);
  pool.run(pieces, [&](unsigned, size_t phase, uint32_t piece) {
    // Each phase reads what a neighbour wrote in the one before.
    if (phase % 2 == 0) {
      values[piece] += 1;
    } else if (piece % 2 == 0) {
      std::swap(values[piece], values[piece + 1]);
    }
  });
  for (const uint64_t v : values) cr_expect(same(v, 50u));
}

Test(thread_pool, idle_threads_sleep) {
  ThreadPool pool(4);
  const uint32_t one = 1;
  pool.run({&one, 1}, [](unsigned, size_t, uint32_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  timespec before{}, after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double used = static_cast<double>(after.tv_sec - before.tv_sec) +
                      1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  cr_expect(used < 0.03, "%g s of CPU while idle", used);
}

Test(thread_pool, usable_cpus_is_sane) {
  const unsigned n = usable_cpus();
  cr_expect(n >= 1 && n <= std::thread::hardware_concurrency(), "%u", n);
}

Test(thread_pool, cgroup_quotas_count_on_every_level) {
  test::TempDir dir;
  const auto set = [&](const std::string& group, const std::string& name, const std::string& text) {
    std::filesystem::create_directories(dir.file(group));
    test::write_file(dir.file(group) + "/" + name, text);
  };
  const std::string membership = dir.file("membership");
  const auto cpus = [&] { return cgroup_cpus(membership, dir.file("v2")); };
  test::write_file(membership, "0::/a/b\n");
  cr_expect(std::isinf(cpus()));
  set("v2/a/b", "cpu.max", "max 100000\n");
  cr_expect(std::isinf(cpus()));
  set("v2/a", "cpu.max", "150000 100000\n");
  cr_expect(same(cpus(), 1.5));
  set("v2/a/b", "cpu.max", "50000 100000\n");
  cr_expect(same(cpus(), 0.5));
  set("v2/a/b", "cpu.max", "gibberish");
  cr_expect(same(cpus(), 1.5));
  // Version 1, beside others.
  test::write_file(membership, "4:memory:/x\n3:cpu,cpuacct:/x/y\n");
  set("v2/cpu/x", "cpu.cfs_quota_us", "400000\n");
  set("v2/cpu/x", "cpu.cfs_period_us", "100000\n");
  set("v2/cpu/x/y", "cpu.cfs_quota_us", "-1\n");
  set("v2/cpu/x/y", "cpu.cfs_period_us", "100000\n");
  cr_expect(same(cpus(), 4.0));
  cr_expect(std::isinf(cgroup_cpus(dir.file("missing"), dir.file("v2"))));
}
