// SPDX-License-Identifier: Apache-2.0
// What each way to a board costs: registers by mapping, system call, batch and pread; data by
// pwrite, mapping and DMA.
#ifndef SLUICECTL_BENCH_H
#define SLUICECTL_BENCH_H

#include <optional>
#include <sluice/result.hpp>
#include <string>

#include "board_io.h"

namespace sluicectl {

// Reads the register at `offset` (default: 0) of --window again and again; writes device memory
// that it has allocated, where the board has such.
sluice::Result<std::string> bench(const Options& options, std::optional<uint64_t> offset);

}  // namespace sluicectl

#endif  // SLUICECTL_BENCH_H
