// SPDX-License-Identifier: Apache-2.0
// sluice bench --report: a model in every type, side by side.
#ifndef SLUICE_TOOLS_SLUICE_REPORT_H
#define SLUICE_TOOLS_SLUICE_REPORT_H

#include "tools/sluice/commands.h"

namespace sluice::cli {

struct ReportFlags {
  std::string folder;
  std::string text;  // file; empty: no perplexity
  uint32_t chunk = 512;
  std::vector<std::string> types;  // empty: all
};

// What is timed: tokens of a prompt, decoded ones, samples of each.
struct Effort {
  uint32_t n_prompt, n_decode, repetitions;
};

// Quantizes the model to each type, one after the other, and measures size, perplexity and KL
// divergence from the model as it is, prefill and decode speed. Writes FOLDER/report.md,
// divergence.svg and speed.svg; the quantized files are removed.
Result<int> report(const std::shared_ptr<const Model>& model, const EngineOptions& options,
                   const ReportFlags& flags, const Effort& effort, bool json);

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_SLUICE_REPORT_H
