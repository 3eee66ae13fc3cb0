// SPDX-License-Identifier: Apache-2.0
// Layout and checks of the step buffer (sluice_sdi.h).
#include "ops/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {

void StepInputs::clear() {
  for (auto* v : {&token, &position, &context, &skip, &sequence, &output}) v->clear();
  slot.clear();
  block_table.clear();
}

void StepInputs::write(std::vector<uint32_t>& words) const {
  StepHeader header{};
  header.n_tokens = static_cast<uint32_t>(token.size());
  header.n_outputs = static_cast<uint32_t>(output.size());
  header.n_sequences = static_cast<uint32_t>(block_table.size());
  for (const auto& row : block_table) {
    header.n_blocks = std::max(header.n_blocks, static_cast<uint32_t>(row.size()));
  }
  words.resize(sizeof(header) / sizeof(uint32_t));
  std::memcpy(words.data(), &header, sizeof(header));
  for (const auto* v : {&token, &position, &context, &skip, &sequence}) {
    words.insert(words.end(), v->begin(), v->end());
  }
  for (const int32_t s : slot) words.push_back(static_cast<uint32_t>(s));
  words.insert(words.end(), output.begin(), output.end());
  for (const auto& row : block_table) {
    words.insert(words.end(), row.begin(), row.end());
    words.insert(words.end(), header.n_blocks - row.size(), 0);
  }
}

Result<void> Step::load(std::span<const uint32_t> words, const StepLimits& limits) {
  constexpr size_t kHeaderWords = sizeof(StepHeader) / sizeof(uint32_t);
  if (words.size() < kHeaderWords) {
    return fail(EINVAL, fmt::format("step buffer: {} bytes, the header alone has {}",
                                    words.size_bytes(), sizeof(StepHeader)));
  }
  // The header is copied before it is looked at: the writer may still be at work on it.
  StepHeader header;
  std::memcpy(&header, words.data(), sizeof(header));
  if (header.n_tokens == 0 || header.n_tokens > limits.max_tokens) {
    return fail(EINVAL, fmt::format("step buffer: n_tokens is {}, expected 1 to {}",
                                    header.n_tokens, limits.max_tokens));
  }
  if (header.n_outputs > limits.max_outputs) {
    return fail(EINVAL, fmt::format("step buffer: n_outputs is {}, expected at most {}",
                                    header.n_outputs, limits.max_outputs));
  }
  for (const uint32_t word : header.reserved) {
    if (word != 0) return fail(EINVAL, "step buffer: a reserved word is not 0");
  }
  // 32-bit factors: none of these sums can overflow 64 bits.
  const uint64_t need = uint64_t{6} * header.n_tokens + header.n_outputs +
                        uint64_t{header.n_sequences} * header.n_blocks;
  if (need > words.size() - kHeaderWords) {
    return fail(EINVAL, fmt::format("step buffer: {} bytes, its header asks for {}",
                                    words.size_bytes(), sizeof(header) + need * sizeof(uint32_t)));
  }
  header_ = header;
  body_.assign(words.begin() + kHeaderWords,
               words.begin() + static_cast<ptrdiff_t>(kHeaderWords + need));
  return check(limits);
}

Result<void> Step::check(const StepLimits& limits) const {
  for (uint32_t i = 0; i < n_tokens(); ++i) SLUICE_CHECK(check_token(i, limits));
  for (uint32_t i = 0; i < n_outputs(); ++i) {
    if (output()[i] >= n_tokens()) {
      return fail(EINVAL, fmt::format("step buffer: output[{}] is {}, there are {} tokens", i,
                                      output()[i], n_tokens()));
    }
  }
  return {};
}

Result<void> Step::check_token(uint32_t i, const StepLimits& limits) const {
  if (token()[i] >= limits.n_vocab) {
    return fail(EINVAL, fmt::format("step buffer: token[{}] is {}, the vocabulary has {}", i,
                                    token()[i], limits.n_vocab));
  }
  const int32_t at = slot()[i];
  if (at != SLUICE_SDI_NO_SLOT && (at < 0 || static_cast<uint64_t>(at) >= limits.n_slots)) {
    return fail(EINVAL, fmt::format("step buffer: slot[{}] is {}, expected -1 to {}", i, at,
                                    std::min<uint64_t>(limits.n_slots, uint64_t{1} << 31) - 1));
  }
  if (sequence()[i] >= header_.n_sequences) {
    return fail(EINVAL, fmt::format("step buffer: sequence[{}] is {}, there are {}", i,
                                    sequence()[i], header_.n_sequences));
  }
  const uint64_t last = context()[i] < SLUICE_SDI_BLOCK_TOKENS
                            ? 0
                            : uint64_t{context()[i]} / SLUICE_SDI_BLOCK_TOKENS + skip()[i];
  if (last >= header_.n_blocks) {
    return fail(EINVAL,
                fmt::format("step buffer: token {} looks up block {} of its sequence, there "
                            "are {}",
                            i, last, header_.n_blocks));
  }
  const uint64_t n_blocks = limits.n_slots / SLUICE_SDI_BLOCK_TOKENS;
  const uint32_t* table = block_table(sequence()[i]);
  for (uint64_t b = 0; b <= last; ++b) {
    if (table[b] >= n_blocks) {
      return fail(EINVAL, fmt::format("step buffer: block_table[{}][{}] is {}, there are {} blocks",
                                      sequence()[i], b, table[b], n_blocks));
    }
  }
  return {};
}

}  // namespace sluice
