// SPDX-License-Identifier: Apache-2.0
// Command lists: how the library writes them. The structs themselves are the Device Interface's.
#ifndef SLUICE_OPS_LIST_H
#define SLUICE_OPS_LIST_H

#include <linux/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "sluice_sdi.h"

namespace sluice {

using TensorDesc = sluice_sdi_tensor;
using Command = sluice_sdi_command;
static_assert(sizeof(TensorDesc) == 64 && sizeof(Command) == 64);

struct CommandList {
  std::vector<TensorDesc> tensors;
  std::vector<Command> commands;
};

// A place in a segment.
struct SegmentAddress {
  uint16_t segment = 0;
  uint64_t offset = 0;  // bytes
  bool operator==(const SegmentAddress&) const = default;
};

// Appends descriptors and commands. It checks nothing: the machine that loads the list does.
class ListBuilder {
 public:
  // A tensor of rows packed one behind the other; the index to name it by.
  uint32_t tensor(uint16_t type, uint16_t rows, std::initializer_list<uint32_t> shape,
                  size_t row_bytes, SegmentAddress at);
  void add(uint16_t op, uint32_t dst, std::initializer_list<uint32_t> src,
           std::initializer_list<uint32_t> imm = {}, uint16_t flags = 0);
  CommandList take() { return std::move(list_); }

 private:
  CommandList list_;
};

}  // namespace sluice

#endif  // SLUICE_OPS_LIST_H
