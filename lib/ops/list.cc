// SPDX-License-Identifier: Apache-2.0
// Filling in descriptors and commands.
#include "ops/list.h"

#include <algorithm>

namespace sluice {

uint32_t ListBuilder::tensor(uint16_t type, uint16_t rows, std::initializer_list<uint32_t> shape,
                             size_t row_bytes, SegmentAddress at) {
  TensorDesc t{};
  t.type = type;
  t.rows = rows;
  t.rank = static_cast<uint16_t>(shape.size());
  std::fill(std::begin(t.shape), std::end(t.shape), 1u);
  std::copy(shape.begin(), shape.end(), t.shape);
  t.stride[0] = row_bytes;
  for (int i = 1; i < 3; ++i) t.stride[i] = t.stride[i - 1] * t.shape[i];
  t.address = SLUICE_SDI_ADDR(at.segment, at.offset);
  list_.tensors.push_back(t);
  return static_cast<uint32_t>(list_.tensors.size() - 1);
}

void ListBuilder::add(uint16_t op, uint32_t dst, std::initializer_list<uint32_t> src,
                      std::initializer_list<uint32_t> imm, uint16_t flags) {
  Command c{};
  c.op = op;
  c.flags = flags;
  c.dst = dst;
  std::fill(std::begin(c.src), std::end(c.src), SLUICE_SDI_NONE);
  std::copy(src.begin(), src.end(), c.src);
  std::copy(imm.begin(), imm.end(), c.imm);
  list_.commands.push_back(c);
}

}  // namespace sluice
