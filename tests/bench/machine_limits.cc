// SPDX-License-Identifier: Apache-2.0
// machine-limits THREADS BYTES...: what the machine can do at most, as JSON. The rate at which
// THREADS threads read and add up a buffer of each size (best of several passes), and how many
// multiply-adds a second they do in registers, in f32 and as 8-bit dot products, each by the best
// instructions that there are.
// machine-limits --turns THREADS BYTES N: takes turns with peers that decode N tokens for each line
// on standard input, and reads and adds up a buffer N times: {"decode_tps": times a second}.
#include <immintrin.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/cpu.h"

namespace {

using sluice::cpu_has_amx, sluice::cpu_has_avx2, sluice::cpu_has_avx512, sluice::cpu_has_avxvnni;

using Clock = std::chrono::steady_clock;
constexpr size_t kLine = 64;

// Keeps a result alive without storing it anywhere that costs time.
template <typename T>
void keep(T& value) {
  asm volatile("" : "+x"(value));
}

// Seconds of the fastest of `n_rounds` rounds in which every thread calls work(thread) once.
double best_round(unsigned n_threads, int n_rounds, const std::function<void(unsigned)>& work) {
  std::barrier gate(n_threads + 1);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      for (int r = 0; r < n_rounds; ++r) {
        gate.arrive_and_wait();
        work(t);
        gate.arrive_and_wait();
      }
    });
  }
  double best = 1e30;
  for (int r = 0; r < n_rounds; ++r) {
    const auto start = Clock::now();
    gate.arrive_and_wait();
    gate.arrive_and_wait();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  for (std::thread& thread : threads) thread.join();
  return best;
}

__attribute__((target("avx2"))) void sum_avx2(const char* at, const char* end) {
  __m256i sums[8] = {};
  for (; end - at >= 256; at += 256) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const auto* word = reinterpret_cast<const __m256i*>(at) + i;
      sums[i] = _mm256_add_epi64(sums[i], _mm256_load_si256(word));
    }
  }
  for (__m256i& sum : sums) keep(sum);
}

__attribute__((target("avx512f"))) void sum_avx512(const char* at, const char* end) {
  __m512i sums[8] = {};
  for (; end - at >= 512; at += 512) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      sums[i] = _mm512_add_epi64(sums[i], _mm512_load_si512(at + i * kLine));
    }
  }
  for (__m512i& sum : sums) keep(sum);
}

// A buffer that threads add up, each its own contiguous share.
class Sum {
 public:
  Sum(unsigned n_threads, size_t n_bytes)
      : n_threads_(n_threads),
        share_(n_bytes / n_threads / 512 * 512),
        buffer_(static_cast<char*>(std::aligned_alloc(512, total())), std::free) {
    if (!buffer_) {
      std::fprintf(stderr, "machine-limits: no %zu bytes of memory\n", total());
      std::exit(1);
    }
    // Every page is written by the thread that reads it.
    best_round(n_threads_, 1, [&](unsigned t) {
      std::fill_n(buffer_.get() + t * share_, share_, static_cast<char>(t + 1));
    });
  }
  size_t total() const { return share_ * n_threads_; }

  // Seconds of the fastest of some rounds of several passes each.
  double seconds(int n_rounds, int n_passes) const {
    const bool avx512 = cpu_has_avx512();
    return best_round(n_threads_, n_rounds, [&](unsigned t) {
      const char* const begin = buffer_.get() + t * share_;
      for (int pass = 0; pass < n_passes; ++pass) {
        avx512 ? sum_avx512(begin, begin + share_) : sum_avx2(begin, begin + share_);
      }
    });
  }

 private:
  unsigned n_threads_;
  size_t share_;
  std::unique_ptr<char, decltype(&std::free)> buffer_;
};

// Bytes a second; small buffers are read several times a round.
double read_rate(unsigned n_threads, size_t n_bytes) {
  const Sum sum(n_threads, n_bytes);
  const int n_passes = static_cast<int>(std::max<size_t>(1, (size_t{256} << 20) / sum.total()));
  return static_cast<double>(sum.total()) * n_passes / sum.seconds(8, n_passes);
}

int take_turns(unsigned n_threads, size_t n_bytes, int n_passes) {
  const Sum sum(n_threads, n_bytes);
  std::printf("ready\n");
  std::fflush(stdout);
  char line[16];
  while (std::fgets(line, sizeof(line), stdin)) {
    std::printf("{\"decode_tps\": %.6g}\n", n_passes / sum.seconds(1, n_passes));
    std::fflush(stdout);
  }
  return 0;
}

constexpr int kChains = 12;

// NAME(n) does n rounds of twelve independent multiply-adds SUM of `sum` and `x`, enough to hide
// their latency; returns how many scalar ones that was, each of them MACS. What is kept is not
// known to the compiler, which would do the same thing once. No template: what has another target
// is not inlined.
#define MULTIPLY_ADDS(NAME, TARGET, VECTOR, X, MACS, SUM)  \
  __attribute__((target(TARGET))) double NAME(int64_t n) { \
    VECTOR sums[kChains] = {}, x = X;                      \
    for (int64_t i = 0; i < n; ++i) {                      \
      _Pragma("GCC unroll 12") for (VECTOR & sum : sums) { \
        keep(x);                                           \
        sum = SUM;                                         \
        keep(sum);                                         \
      }                                                    \
    }                                                      \
    return MACS * kChains * static_cast<double>(n);        \
  }
MULTIPLY_ADDS(fma_avx2, "avx2,fma", __m256, _mm256_set1_ps(1e-9f), 8.0, _mm256_fmadd_ps(x, x, sum))
MULTIPLY_ADDS(fma_avx512, "avx512f", __m512, _mm512_set1_ps(1e-9f), 16.0,
              _mm512_fmadd_ps(x, x, sum))
// Without VNNI: bytes to words, pairs of words to doublewords, add.
MULTIPLY_ADDS(dot_avx2, "avx2", __m256i, _mm256_set1_epi8(1), 32.0,
              _mm256_add_epi32(sum,
                               _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), _mm256_set1_epi16(1))))
MULTIPLY_ADDS(dot_avxvnni, "avx2,avxvnni", __m256i, _mm256_set1_epi8(1), 32.0,
              _mm256_dpbusd_avx_epi32(sum, x, x))
MULTIPLY_ADDS(dot_avx512vnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32(0x01010101), 64.0,
              _mm512_dpbusd_epi32(sum, x, x))
#undef MULTIPLY_ADDS

// Products of tiles, 16 rows of 64 bytes each, into six, which is more than hide the latency (Intel
// Optimization Reference Manual, chapter on AMX: 52 cycles, one begun every 16).
double dot_amx(int64_t n) {
  struct alignas(kLine) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config));  // makes all tiles zeros
  n = n / 32 + 1;                              // each of these does the work of 32 vectors
  for (int64_t i = 0; i < n; ++i) {
    asm volatile(
        "tdpbsud %tmm7, %tmm6, %tmm0\n\ttdpbsud %tmm7, %tmm6, %tmm1\n\t"
        "tdpbsud %tmm7, %tmm6, %tmm2\n\ttdpbsud %tmm7, %tmm6, %tmm3\n\t"
        "tdpbsud %tmm7, %tmm6, %tmm4\n\ttdpbsud %tmm7, %tmm6, %tmm5");
  }
  asm volatile("tilerelease");
  return 6.0 * 16 * 64 * 16 * static_cast<double>(n);
}

struct Compute {
  const char* isa;
  bool (*usable)();
  double (*work)(int64_t);
};
// The best first; the last is always there.
constexpr Compute kFloats[] = {{"AVX-512", cpu_has_avx512, fma_avx512},
                               {"AVX2", cpu_has_avx2, fma_avx2}};
constexpr Compute kDots[] = {{"AMX", cpu_has_amx, dot_amx},
                             {"AVX-512 VNNI", cpu_has_avx512, dot_avx512vnni},
                             {"AVX-VNNI", cpu_has_avxvnni, dot_avxvnni},
                             {"AVX2", cpu_has_avx2, dot_avx2}};

void print_rate(unsigned n_threads, const char* name, const char* unit, const Compute* best) {
  while (!best->usable()) ++best;
  constexpr int64_t kRounds = 10'000'000;
  std::vector<double> done(n_threads);
  const double seconds =
      best_round(n_threads, 3, [&](unsigned t) { done[t] = best->work(kRounds); });
  double sum = 0;
  for (const double d : done) sum += d;
  std::printf(", \"%s_isa\": \"%s\", \"%s_%s_per_s\": %.6g", name, best->isa, name, unit,
              sum / seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const bool turns = argc == 5 && std::strcmp(argv[1], "--turns") == 0;
  if (turns) ++argv, --argc;
  const unsigned n_threads = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 0;
  if (argc < 3 || n_threads == 0 || n_threads > 1024) {
    std::fprintf(stderr, "usage: machine-limits [--turns] THREADS BYTES...\n");
    return 2;
  }
  if (!cpu_has_avx2()) {
    std::fprintf(stderr, "machine-limits: this CPU has no AVX2 and FMA\n");
    return 1;
  }
  if (turns) return take_turns(n_threads, std::strtoull(argv[2], nullptr, 10), std::atoi(argv[3]));
  std::printf("{\"threads\": %u, \"read\": [", n_threads);
  for (int i = 2; i < argc; ++i) {
    const size_t n_bytes = std::strtoull(argv[i], nullptr, 10);
    if (n_bytes < size_t{1024} * n_threads) {
      std::fprintf(stderr, "machine-limits: %s: expected at least 1024 bytes a thread\n", argv[i]);
      return 2;
    }
    std::printf("%s{\"bytes\": %zu, \"bytes_per_s\": %.6g}", i > 2 ? ", " : "", n_bytes,
                read_rate(n_threads, n_bytes));
  }
  std::printf("]");
  print_rate(n_threads, "f32", "fma", kFloats);
  print_rate(n_threads, "i8", "mac", kDots);
  std::printf("}\n");
  return 0;
}
