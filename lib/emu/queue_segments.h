// SPDX-License-Identifier: Apache-2.0
// The segments of one queue, as its table was when the driver last said that it is to be read.
#ifndef SLUICE_LIB_EMU_QUEUE_SEGMENTS_H
#define SLUICE_LIB_EMU_QUEUE_SEGMENTS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "emu/board_host.h"
#include "emu/words.h"
#include "ops/segments.h"

namespace sluice::emu {

class QueueSegments {
 public:
  // Takes over the table at bus address `table`. `ret_changed`: numbers of the segments that are
  // no longer what they were. SLUICE_SDI_RESULT_*; nothing has changed unless it is OK.
  uint32_t read(BoardHost& host, uint64_t table, uint32_t n, std::vector<uint32_t>* ret_changed);
  void clear();

  // Where `length` bytes from a segment address are; null if they are not all granted for
  // `rights` (SLUICE_SDI_SEGMENT_READ, _WRITE). Cannot overflow, whatever it is asked.
  std::byte* find(uint64_t address, uint64_t length, uint32_t rights) const {
    const uint64_t number = address >> SLUICE_SDI_OFFSET_BITS;
    if (number >= table_.size()) return nullptr;
    const Segment& s = table_[number];
    const uint64_t offset = address & ((uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1);
    if (offset > s.length || length > s.length - offset || s.base == nullptr) return nullptr;
    if ((rights & SLUICE_SDI_SEGMENT_READ) && !s.readable) return nullptr;
    if ((rights & SLUICE_SDI_SEGMENT_WRITE) && !s.writable) return nullptr;
    return s.base + offset;
  }
  // Whether the segment of an address lies in host memory.
  bool is_host(uint64_t address) const {
    const uint64_t number = address >> SLUICE_SDI_OFFSET_BITS;
    return number < entries_.size() && (entries_[number].flags & SLUICE_SDI_SEGMENT_HOST) != 0;
  }
  // In the form that command lists are checked against.
  const SegmentTable& table() const { return table_; }

 private:
  uint32_t resolve(BoardHost& host, size_t i, const sluice_sdi_segment& entry, Segment* ret);
  uint32_t resolve_pages(BoardHost& host, size_t i, const sluice_sdi_segment& entry, Segment* ret);

  std::vector<sluice_sdi_segment> entries_;
  std::vector<std::shared_ptr<PagedView>> views_;  // of PAGED segments, else null
  SegmentTable table_;

  // What read() is about to put in place of views_.
  std::vector<std::shared_ptr<PagedView>> new_views_;
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_QUEUE_SEGMENTS_H
