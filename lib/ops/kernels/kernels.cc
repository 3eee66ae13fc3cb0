// SPDX-License-Identifier: Apache-2.0
// The table of instruction sets: those of the architecture that this is built for.
#include "ops/kernels/kernels.h"

#include "core/cpu.h"
#include "quant/format.h"

namespace sluice {

const Isa kIsas[] = {
    {"scalar", [] { return true; }, &kKernelsScalar},
#if defined(__x86_64__)
    {"avx2", cpu_has_avx2, &kKernelsAvx2},
    {"avxvnni", cpu_has_avxvnni, &kKernelsAvxVnni},
    {"avx512", cpu_has_avx512, &kKernelsAvx512},
    {"amx", cpu_has_amx, &kKernelsAmx},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, &kKernelsNeon},
    {"dotprod", cpu_has_dotprod, &kKernelsDotprod},
#endif
};
const size_t kNumIsas = sizeof(kIsas) / sizeof(kIsas[0]);

const CacheKernel* find_cache(const Kernels& kernels, uint32_t type) {
  for (size_t i = 0; i < kNumCaches; ++i) {
    if (kernels.caches[i].type == type) return &kernels.caches[i];
  }
  return nullptr;
}

const MatmulKernel* find_matmul(const Kernels& kernels, uint32_t format) {
  for (size_t i = 0; i < kernels.n_matmul; ++i) {
    if (kernels.matmul[i].format == format) return &kernels.matmul[i];
  }
  return nullptr;
}

const MatmulKernel* find_fast(const Kernels& kernels, uint32_t format) {
  const Format* weights = find_format(format);
  if (!weights || !weights->decode) return nullptr;
  return weights->block_size > 1 ? &kernels.fast : &kernels.fast_floats;
}

}  // namespace sluice
