// SPDX-License-Identifier: Apache-2.0
// Reading segment tables: the driver is trusted with what it grants, but not with arithmetic.
#include "emu/queue_segments.h"

#include <algorithm>
#include <cstring>

namespace sluice::emu {
namespace {

constexpr uint32_t kKnownFlags = SLUICE_SDI_SEGMENT_READ | SLUICE_SDI_SEGMENT_WRITE |
                                 SLUICE_SDI_SEGMENT_HOST | SLUICE_SDI_SEGMENT_PAGED;

bool same_entry(const sluice_sdi_segment& a, const sluice_sdi_segment& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

}  // namespace

uint32_t QueueSegments::resolve_pages(BoardHost& host, size_t i, const sluice_sdi_segment& entry,
                                      Segment* ret) {
  if (entry.page_shift < 12 || entry.page_shift > 30 ||
      (entry.flags & SLUICE_SDI_SEGMENT_HOST) == 0) {
    return SLUICE_SDI_RESULT_INVALID;
  }
  const uint64_t n_pages = (entry.length >> entry.page_shift) +
                           ((entry.length & ((uint64_t{1} << entry.page_shift) - 1)) != 0 ? 1 : 0);
  const std::byte* list = host.dma(entry.base, n_pages * sizeof(uint64_t));
  if (list == nullptr || entry.base % sizeof(uint64_t) != 0) return SLUICE_SDI_RESULT_DMA;
  std::vector<uint64_t> pages(n_pages);
  std::memcpy(pages.data(), list, n_pages * sizeof(uint64_t));
  // A view that is there already and still right is kept, and so are the lists that name it.
  if (i < views_.size() && views_[i] && same_entry(entries_[i], entry) &&
      views_[i]->pages() == pages) {
    new_views_[i] = views_[i];
  } else {
    new_views_[i] = host.map_pages(std::move(pages), entry.page_shift, entry.length);
  }
  if (!new_views_[i]) return SLUICE_SDI_RESULT_DMA;
  ret->base = new_views_[i]->data();
  return SLUICE_SDI_RESULT_OK;
}

uint32_t QueueSegments::resolve(BoardHost& host, size_t i, const sluice_sdi_segment& entry,
                                Segment* ret) {
  if ((entry.flags & ~kKnownFlags) != 0 || entry.reserved != 0 ||
      entry.length > uint64_t{1} << SLUICE_SDI_OFFSET_BITS) {
    return SLUICE_SDI_RESULT_INVALID;
  }
  *ret = Segment{};
  ret->readable = (entry.flags & SLUICE_SDI_SEGMENT_READ) != 0;
  ret->writable = (entry.flags & SLUICE_SDI_SEGMENT_WRITE) != 0;
  if (entry.length == 0) return SLUICE_SDI_RESULT_OK;
  ret->length = entry.length;
  if (entry.flags & SLUICE_SDI_SEGMENT_PAGED) return resolve_pages(host, i, entry, ret);
  if (entry.page_shift != 0) return SLUICE_SDI_RESULT_INVALID;
  const bool on_host = (entry.flags & SLUICE_SDI_SEGMENT_HOST) != 0;
  ret->base =
      on_host ? host.dma(entry.base, entry.length) : host.device_memory(entry.base, entry.length);
  if (ret->base) return SLUICE_SDI_RESULT_OK;
  return on_host ? SLUICE_SDI_RESULT_DMA : SLUICE_SDI_RESULT_INVALID;
}

uint32_t QueueSegments::read(BoardHost& host, uint64_t table, uint32_t n,
                             std::vector<uint32_t>* ret_changed) {
  const std::byte* source = n ? host.dma(table, uint64_t{n} * sizeof(sluice_sdi_segment)) : nullptr;
  if (n != 0 && (source == nullptr || table % 64 != 0)) return SLUICE_SDI_RESULT_DMA;
  std::vector<sluice_sdi_segment> entries(n);
  if (n != 0) std::memcpy(entries.data(), source, n * sizeof(sluice_sdi_segment));
  SegmentTable resolved(n);
  new_views_.assign(n, nullptr);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t result = resolve(host, i, entries[i], &resolved[i]);
    if (result != SLUICE_SDI_RESULT_OK) {
      new_views_.clear();
      return result;
    }
  }
  ret_changed->clear();
  for (uint32_t i = 0; i < std::max(entries.size(), entries_.size()); ++i) {
    const bool kept = i < entries.size() && i < entries_.size() &&
                      same_entry(entries[i], entries_[i]) && new_views_[i] == views_[i];
    if (!kept) ret_changed->push_back(i);
  }
  entries_ = std::move(entries);
  views_ = std::move(new_views_);
  new_views_.clear();
  table_ = std::move(resolved);
  return SLUICE_SDI_RESULT_OK;
}

void QueueSegments::clear() {
  entries_.clear();
  views_.clear();
  table_.clear();
}

}  // namespace sluice::emu
