// SPDX-License-Identifier: Apache-2.0
// What the machine lets this process use: instruction sets and processors.
#ifndef SLUICE_CORE_CPU_H
#define SLUICE_CORE_CPU_H

namespace sluice {

// Whether the CPU has the instructions and the system saves their registers.
bool cpu_has_avx2();    // AVX2, FMA, F16C
bool cpu_has_avx512();  // AVX-512 F, BW, VL, DQ and VNNI besides

// Processors that this process may keep busy: its affinity mask, cut down to the cgroup's CPU quota
// (v2 and v1, all levels above), at least 1.
unsigned usable_cpus();

}  // namespace sluice

#endif  // SLUICE_CORE_CPU_H
