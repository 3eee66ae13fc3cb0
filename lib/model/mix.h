// SPDX-License-Identifier: Apache-2.0
// Mixes: which format each tensor of a model gets. The choices are those of llama.cpp's quantizer
// for dense models, so that files are of the same size and loss; tests/e2e/test_peer.py compares
// them.
#ifndef SLUICE_MODEL_MIX_H
#define SLUICE_MODEL_MIX_H

#include <cstdint>
#include <span>
#include <string_view>

#include <sluice/gguf.hpp>

#include "quant/format.h"

namespace sluice {

struct Mix {
  const char* name;   // as users write it
  const char* alias;  // another name, or null
  // Format of a matrix that no rule is for; null: every tensor keeps its own.
  const char* base;
  int32_t file_type;  // general.file_type, as stock llama.cpp writes it; -1: as it was
};

std::span<const Mix> mixes();
// By name or alias, in any case; null: none.
const Mix* find_mix(std::string_view name);

// What the rules ask about a model.
struct MixModel {
  uint32_t n_layers = 0, n_heads = 0, n_kv_heads = 0;
  bool tied = false;  // no output matrix: the embedding serves
  bool has_importance = false;
  explicit MixModel(const GgufFile& file);
};

// The format that the mix wants for a tensor, before its rows are looked at.
const Format& mix_format(const Mix& mix, const MixModel& model, std::string_view tensor);

// `wanted`, or where rows of n values are no whole blocks of it, what comes nearest.
const Format& fitting_format(const Format& wanted, uint64_t n);

}  // namespace sluice

#endif  // SLUICE_MODEL_MIX_H
