// SPDX-License-Identifier: Apache-2.0
// Where a copy of the tensors that a program names has each of them, in the order of their first
// mention.
#ifndef SLUICE_MODEL_WEIGHT_PLAN_H
#define SLUICE_MODEL_WEIGHT_PLAN_H

#include <cstdint>
#include <map>
#include <vector>

#include <sluice/gguf.hpp>

namespace sluice {

class WeightPlan {
 public:
  static constexpr uint64_t kAlignment = 256;  // bytes, of each tensor

  // The tensor's offset in the copy: what CompileOptions::place asks for.
  uint64_t place(const GgufTensor& tensor) {
    const auto [it, is_new] = offsets_.try_emplace(&tensor, size_);
    if (is_new) {
      order_.push_back(&tensor);
      size_ = (size_ + tensor.n_bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
    return it->second;
  }
  uint64_t size() const { return size_; }
  const std::vector<const GgufTensor*>& order() const { return order_; }
  uint64_t offset(const GgufTensor& tensor) const { return offsets_.at(&tensor); }

 private:
  std::map<const GgufTensor*, uint64_t> offsets_;
  std::vector<const GgufTensor*> order_;
  uint64_t size_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_WEIGHT_PLAN_H
