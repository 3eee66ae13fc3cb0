// SPDX-License-Identifier: Apache-2.0
// The parts of a GGUF header, read one after the other from a cursor. What they return is checked;
// where in the file each thing stood is kept for the messages of later checks.
#ifndef SLUICE_GGUF_PARSE_H
#define SLUICE_GGUF_PARSE_H

#include <cstdint>
#include <vector>

#include <sluice/gguf.hpp>

#include "gguf/cursor.h"

namespace sluice::gguf {

struct Header {
  uint64_t n_tensors = 0;
  uint64_t n_keys = 0;
};

// An index that is sorted by name, for finding and for spotting duplicates.
using NameIndex = std::vector<uint32_t>;

Result<Header> parse_header(Cursor& in);
Result<std::vector<GgufKeyValue>> parse_metadata(Cursor& in, uint64_t n_keys, NameIndex& ret_index);
// general.alignment, or the default.
Result<uint64_t> parse_alignment(const Cursor& in, const std::vector<GgufKeyValue>& metadata,
                                 const NameIndex& index);
// Also checks every extent against the file and tells where the data section begins.
Result<std::vector<GgufTensor>> parse_tensors(Cursor& in, uint64_t n_tensors, uint64_t alignment,
                                              NameIndex& ret_index, uint64_t& ret_data_offset);

}  // namespace sluice::gguf

#endif  // SLUICE_GGUF_PARSE_H
