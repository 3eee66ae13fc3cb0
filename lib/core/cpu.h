// SPDX-License-Identifier: Apache-2.0
// What the machine lets this process use: instruction sets and processors.
#ifndef SLUICE_CORE_CPU_H
#define SLUICE_CORE_CPU_H

#include <cstddef>
#include <string>

namespace sluice {

// Whether the CPU has the instructions and the system saves their registers.
#if defined(__x86_64__)
bool cpu_has_avx2();     // AVX2, FMA, F16C
bool cpu_has_avxvnni();  // AVX-VNNI besides
bool cpu_has_avx512();   // AVX-512 F, BW, VL, DQ and VNNI besides
bool cpu_has_amx();      // AMX-INT8 and AMX-BF16 besides; asks the system for its registers
#elif defined(__aarch64__)
bool cpu_has_dotprod();  // sdot, of ARMv8.2; NEON itself is everywhere
#endif

// How many bytes ahead of its use it pays to ask for memory that is read in a straight line: what
// measured best.
size_t read_ahead();

// Processors that this process may keep busy: its affinity mask, cut down to the cgroup's CPU quota
// (v2 and v1, all levels above), at least 1.
unsigned usable_cpus();

// The quota alone, in processors, infinity if there is none. `membership` is a file in the form of
// /proc/self/cgroup, `root` where the hierarchies are mounted.
double cgroup_cpus(const std::string& membership = "/proc/self/cgroup",
                   const std::string& root = "/sys/fs/cgroup");

}  // namespace sluice

#endif  // SLUICE_CORE_CPU_H
