// SPDX-License-Identifier: Apache-2.0
// Reads the tensor infos of a GGUF file. Every product and sum is checked for overflow, and every
// extent lies inside the file: data offsets are the running sum of the sizes, padded.
#include <algorithm>
#include <string>

#include "gguf/parse.h"
#include "gguf/types.h"
#include "quant/format.h"

namespace sluice::gguf {
namespace {

std::string known_formats() {
  std::string names;
  for (const Format& format : formats()) {
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", format.name, format.id);
  }
  return names;
}

Result<void> parse_shape(Cursor& in, GgufTensor& tensor) {
  const uint64_t at = in.offset();
  SLUICE_TRY(tensor.rank, in.number<uint32_t>("the rank"));
  if (tensor.rank < 1 || tensor.rank > kMaxRank) {
    return in.bad(at, fmt::format("the rank is {}, expected 1 to {}", tensor.rank, kMaxRank));
  }
  uint64_t n_elements = 1;
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    const uint64_t dim_at = in.offset();
    SLUICE_TRY(const uint64_t dim, in.number<uint64_t>("a dimension"));
    if (dim == 0) return in.bad(dim_at, fmt::format("dimension {} is 0, expected 1 or more", i));
    if (__builtin_mul_overflow(n_elements, dim, &n_elements) || n_elements > INT64_MAX) {
      return in.bad(dim_at,
                    fmt::format("dimension {} is {}: the number of elements overflows", i, dim));
    }
    tensor.shape[i] = dim;
  }
  return {};
}

Result<void> parse_format(Cursor& in, GgufTensor& tensor) {
  const uint64_t at = in.offset();
  SLUICE_TRY(tensor.type, in.number<uint32_t>("the type"));
  const Format* format = find_format(tensor.type);
  if (!format) {
    return in.bad(at,
                  fmt::format("the type is {}, expected one of {}", tensor.type, known_formats()));
  }
  tensor.type_name = format->name;
  if (tensor.shape[0] % format->block_size != 0) {
    return in.bad(at, fmt::format("a row has {} elements, expected a multiple of {} for {}",
                                  tensor.shape[0], format->block_size, format->name));
  }
  const uint64_t n_blocks = tensor.n_elements() / format->block_size;
  if (__builtin_mul_overflow(n_blocks, uint64_t{format->block_bytes}, &tensor.n_bytes) ||
      tensor.n_bytes > INT64_MAX) {
    return in.bad(at, fmt::format("the size of {} blocks of {} bytes overflows", n_blocks,
                                  format->block_bytes));
  }
  return {};
}

// `next` is where the tensor's data must be; it moves behind the data and its padding.
Result<void> parse_extent(Cursor& in, uint64_t alignment, GgufTensor& tensor, uint64_t& next) {
  const uint64_t at = in.offset();
  SLUICE_TRY(tensor.offset, in.number<uint64_t>("the data offset"));
  if (tensor.offset % alignment != 0) {
    return in.bad(at, fmt::format("the data offset is {}, expected a multiple of {}", tensor.offset,
                                  alignment));
  }
  if (tensor.offset != next) {
    return in.bad(at,
                  fmt::format("the data offset is {}, expected {} (the end of the tensor before "
                              "it, padded)",
                              tensor.offset, next));
  }
  uint64_t end;
  if (__builtin_add_overflow(tensor.offset, tensor.n_bytes, &end) ||
      !align_up(end, alignment, next)) {
    return in.bad(
        at, fmt::format("{} bytes at data offset {} overflow", tensor.n_bytes, tensor.offset));
  }
  return {};
}

Result<GgufTensor> parse_tensor(Cursor& in, uint64_t alignment, uint64_t& next) {
  GgufTensor tensor;
  const uint64_t at = in.offset();
  SLUICE_TRY(const std::string_view name, in.string("the name"));
  if (name.empty() || name.size() > kMaxNameBytes) {
    return in.bad(
        at, fmt::format("the name has {} bytes, expected 1 to {}", name.size(), kMaxNameBytes));
  }
  tensor.name = name;
  in.set_subject(fmt::format("tensor '{}'", printable(name)));
  SLUICE_CHECK(parse_shape(in, tensor));
  SLUICE_CHECK(parse_format(in, tensor));
  SLUICE_CHECK(parse_extent(in, alignment, tensor, next));
  return tensor;
}

Result<void> index_names(Cursor& in, const std::vector<GgufTensor>& tensors,
                         const std::vector<uint64_t>& offsets, NameIndex& ret_index) {
  ret_index.resize(tensors.size());
  for (uint32_t i = 0; i < ret_index.size(); ++i) ret_index[i] = i;
  std::stable_sort(ret_index.begin(), ret_index.end(),
                   [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
  for (size_t i = 1; i < ret_index.size(); ++i) {
    const std::string& name = tensors[ret_index[i]].name;
    if (name != tensors[ret_index[i - 1]].name) continue;
    in.set_subject(fmt::format("tensor '{}'", printable(name)));
    return in.bad(offsets[ret_index[i]], "the name was used before, expected each name once");
  }
  return {};
}

}  // namespace

Result<uint64_t> parse_alignment(const Cursor& in, const std::vector<GgufKeyValue>& metadata,
                                 const NameIndex& index) {
  for (const uint32_t i : index) {
    const auto& [key, value] = metadata[i];
    if (key != kAlignmentKey) continue;
    const auto* number = std::get_if<uint64_t>(&value.data);
    if (value.type != GgufType::kU32 || !number) {
      return in.bad(fmt::format("'{}' has type {}, expected u32", key, gguf_type_name(value.type)));
    }
    if (!is_alignment(*number)) {
      return in.bad(fmt::format("'{}' is {}, expected a power of two from {} to {}", key, *number,
                                kMinAlignment, kMaxAlignment));
    }
    return *number;
  }
  return uint64_t{kDefaultAlignment};
}

Result<std::vector<GgufTensor>> parse_tensors(Cursor& in, uint64_t n_tensors, uint64_t alignment,
                                              NameIndex& ret_index, uint64_t& ret_data_offset) {
  const uint64_t file_size = in.offset() + in.remaining();
  std::vector<GgufTensor> tensors;
  std::vector<uint64_t> offsets;
  uint64_t next = 0;
  for (uint64_t i = 0; i < n_tensors; ++i) {
    in.set_subject(fmt::format("tensor {} of {}", i + 1, n_tensors));
    offsets.push_back(in.offset());
    SLUICE_TRY(GgufTensor tensor, parse_tensor(in, alignment, next));
    tensors.push_back(std::move(tensor));
  }
  SLUICE_CHECK(index_names(in, tensors, offsets, ret_index));

  if (!align_up(in.offset(), alignment, ret_data_offset)) return in.bad("the header overflows");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& tensor = tensors[i];
    uint64_t end;
    if (__builtin_add_overflow(ret_data_offset, tensor.offset + tensor.n_bytes, &end) ||
        end > file_size) {
      in.set_subject(fmt::format("tensor '{}'", printable(tensor.name)));
      return in.bad(offsets[i],
                    fmt::format("its {} bytes at file offset {} reach beyond the end of "
                                "the file, which has {} bytes",
                                tensor.n_bytes, ret_data_offset + tensor.offset, file_size));
    }
  }
  return tensors;
}

}  // namespace sluice::gguf
