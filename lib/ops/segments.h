// SPDX-License-Identifier: Apache-2.0
// The segment table: the only memory that a command list can reach.
#ifndef SLUICE_OPS_SEGMENTS_H
#define SLUICE_OPS_SEGMENTS_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

struct Segment {
  std::byte* base = nullptr;
  uint64_t length = 0;  // bytes
  bool writable = false;
  bool readable = true;
};

using SegmentTable = std::vector<Segment>;

}  // namespace sluice

#endif  // SLUICE_OPS_SEGMENTS_H
