// SPDX-License-Identifier: Apache-2.0
// What a llama_batch points to, for the inputs of a step: token, position and sequence of each, and
// whose logits are wanted.
#ifndef SLUICE_TESTS_BENCH_BATCH_H
#define SLUICE_TESTS_BENCH_BATCH_H

#include <cstdint>
#include <vector>

#include "tests/bench/side.h"

namespace peer {

class Batch {
 public:
  // Positions go on from what earlier steps left.
  void fill(const std::vector<Input>& inputs) {
    token.clear(), pos.clear(), id.clear(), output.clear(), rows_.clear();
    for (const Input& input : inputs) {
      if (input.sequence >= n_past_.size()) n_past_.resize(input.sequence + 1);
      for (size_t i = 0; i < input.tokens.size(); ++i) {
        const bool wanted = input.all || i + 1 == input.tokens.size();
        if (wanted) rows_.push_back(size());
        token.push_back(input.tokens[i]);
        pos.push_back(n_past_[input.sequence]++);
        id.push_back(static_cast<int32_t>(input.sequence));
        output.push_back(wanted);
      }
    }
    n_ids.assign(token.size(), 1);
    ids.clear();
    for (int32_t& i : id) ids.push_back(&i);
  }
  void clear() { n_past_.clear(); }

  int32_t size() const { return static_cast<int32_t>(token.size()); }
  // Which token has row i of the logits.
  int32_t row(uint32_t i) const { return rows_[i]; }

  std::vector<int32_t> token, pos, n_ids, id;
  std::vector<int32_t*> ids;
  std::vector<int8_t> output;

 private:
  std::vector<int32_t> rows_, n_past_;
};

}  // namespace peer

#endif  // SLUICE_TESTS_BENCH_BATCH_H
