// SPDX-License-Identifier: Apache-2.0
// Which machine runs which layers: opens the board that was asked for, sees how many layers fit
// into its memory, and makes the stages.
#ifndef SLUICE_MODEL_MACHINES_H
#define SLUICE_MODEL_MACHINES_H

#include <memory>
#include <vector>

#include <sluice/engine.hpp>

#include "model/stage.h"

namespace sluice {

// Stages in the order of their layers; fills in what `info` says of machines and kernels. EINVAL:
// the options; ENOMEM: not one layer fits a board that was asked for, with what it would take;
// ENOTSUP: a board that does not know such caches; errors of Device::open and of loading.
Result<std::vector<std::unique_ptr<Stage>>> make_stages(const LoadedModel& model,
                                                        const EngineOptions& options,
                                                        uint32_t n_slots, const Format& kv_format,
                                                        EngineInfo& info);

}  // namespace sluice

#endif  // SLUICE_MODEL_MACHINES_H
