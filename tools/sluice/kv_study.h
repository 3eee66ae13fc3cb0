// SPDX-License-Identifier: Apache-2.0
// sluice bench --kv-study: what the KV cache is worth.
#ifndef SLUICE_TOOLS_SLUICE_KV_STUDY_H
#define SLUICE_TOOLS_SLUICE_KV_STUDY_H

#include "tools/sluice/commands.h"

namespace sluice::cli {

struct KvStudyFlags {
  uint32_t n_steps = 10000;
  uint32_t window = 0;
  std::string svg;
};

// Generates n_steps tokens with the cache and a sliding window, and measures at chosen lengths what
// a token costs when its context is computed anew.
Result<int> kv_study(const std::shared_ptr<const Model>& model, const EngineOptions& options,
                     const KvStudyFlags& flags, bool json);

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_SLUICE_KV_STUDY_H
