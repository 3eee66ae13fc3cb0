// SPDX-License-Identifier: Apache-2.0
// CPU features by the compiler's own probe or the kernel's word; quotas by reading the cgroup files
// up to the root.
#include "core/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace sluice {
namespace {

// AMD before Zen 5: no more than 24 lines can be on their way to the nearest cache, so that who
// asks for lines far ahead of their use waits for them. The processor's own reading ahead does not.
bool fetches_few_lines() {
#if defined(__x86_64__)
  constexpr unsigned kZen1 = 0x17, kZen4 = 0x19;  // families; Zen 2 and 3 have one of these
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool amd = __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_AMD_ebx &&
                   ecx == signature_AMD_ecx && edx == signature_AMD_edx;
  if (!amd || !__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return false;
  const unsigned family = (eax >> 8 & 0xf) + (eax >> 20 & 0xff);
  return family >= kZen1 && family <= kZen4;
#else
  return false;
#endif
}

// "quota period" in microseconds, or "max period".
std::optional<double> read_quota(const std::string& path) {
  std::ifstream file(path);
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  std::istringstream number(quota);
  double value = 0;
  if (!(number >> value) || value <= 0) return std::nullopt;
  return value / period;
}

std::optional<double> read_number(const std::string& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

// The smallest quota, in processors, of `group` under `root` and of every group above it.
template <typename Read>
double smallest_quota(const std::string& root, std::string group, Read read) {
  double smallest = HUGE_VAL;
  for (;;) {
    if (const auto cpus = read(root + group)) smallest = std::min(smallest, *cpus);
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return smallest;
    group.resize(slash);
  }
}

}  // namespace

#if defined(__x86_64__)
bool cpu_has_avx2() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool cpu_has_avxvnni() {
  constexpr unsigned kAvxVnni = 1u << 4;  // CPUID 7.1, EAX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return cpu_has_avx2() && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && eax >= 1 &&
         __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & kAvxVnni);
}

bool cpu_has_avx512() {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

// Tile registers are large: Linux gives them to a process that asks
// (Documentation/arch/x86/xstate).
bool cpu_has_amx() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25, kBf16 = 1u << 22;  // CPUID 7, EDX
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!cpu_has_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  constexpr unsigned kAll = kTile | kInt8 | kBf16;
  if ((edx & kAll) != kAll) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#elif defined(__aarch64__)
bool cpu_has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

size_t read_ahead() {
  static const size_t bytes = fetches_few_lines() ? 0 : 8192;
  return bytes;
}

double cgroup_cpus(const std::string& membership, const std::string& root) {
  double cpus = HUGE_VAL;
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers == ",,") {
      cpus = std::min(cpus, smallest_quota(root, group, [](const std::string& dir) {
                        return read_quota(dir + "/cpu.max");
                      }));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      const auto read = [](const std::string& dir) -> std::optional<double> {
        const auto quota = read_number(dir + "/cpu.cfs_quota_us");
        const auto period = read_number(dir + "/cpu.cfs_period_us");
        if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
        return *quota / *period;
      };
      cpus = std::min(cpus, smallest_quota(root + "/cpu", group, read));
    }
  }
  return cpus;
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  unsigned cpus = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = std::max(1, CPU_COUNT(&set));
  const double quota = cgroup_cpus();
  if (quota < cpus) cpus = std::max(1u, static_cast<unsigned>(std::ceil(quota)));
  return cpus;
}

}  // namespace sluice
