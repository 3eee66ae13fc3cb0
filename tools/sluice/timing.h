// SPDX-License-Identifier: Apache-2.0
// How fast an engine is.
#ifndef SLUICE_TOOLS_SLUICE_TIMING_H
#define SLUICE_TOOLS_SLUICE_TIMING_H

#include <sluice/engine.hpp>
#include <vector>

namespace sluice::cli {

// 0 of nothing.
double median(std::vector<double> samples);
// Tokens per second of one prompt of n tokens in an empty sequence.
Result<double> time_prefill(Engine& engine, uint32_t n);
// Tokens per second, all together, of `batch` sequences that each get n single tokens.
Result<double> time_decode(Engine& engine, uint32_t n, uint32_t batch);

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_SLUICE_TIMING_H
