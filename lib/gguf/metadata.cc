// SPDX-License-Identifier: Apache-2.0
// Reads the header and the metadata of a GGUF file. Nothing is allocated for a count before the
// file is seen to be long enough for it, and nesting and the number of values are limited.
#include <algorithm>
#include <bit>

#include "gguf/parse.h"
#include "gguf/types.h"

namespace sluice::gguf {
namespace {

// The largest vocabularies bring a million values; more than this is an attack on memory.
constexpr uint64_t kMaxValues = 1 << 24;
constexpr int kMaxDepth = 8;
// Key length, one byte of key, value type, one byte of value.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
// Name length, one byte of name, rank, one dimension, type, offset.
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

struct Budget {
  uint64_t values = kMaxValues;
};

Result<const ValueType*> parse_type(Cursor& in, std::string_view what) {
  const uint64_t at = in.offset();
  SLUICE_TRY(const uint32_t number, in.number<uint32_t>(what));
  const ValueType* type = find_value_type(number);
  if (!type) return in.bad(at, fmt::format("{} is {}, expected 0 to 12", what, number));
  return type;
}

template <typename Raw, typename Kept>
Result<std::vector<Kept>> parse_raw(Cursor& in, uint64_t count) {
  std::vector<Kept> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    SLUICE_TRY(const Raw raw, in.number<Raw>("an array element"));
    values.push_back(static_cast<Kept>(raw));
  }
  return values;
}

template <typename Kept>
Result<std::vector<Kept>> parse_integers(Cursor& in, const ValueType& type, uint64_t count) {
  const bool is_signed = type.store == Store::kSigned;
  switch (type.size) {
    case 1:
      return is_signed ? parse_raw<int8_t, Kept>(in, count) : parse_raw<uint8_t, Kept>(in, count);
    case 2:
      return is_signed ? parse_raw<int16_t, Kept>(in, count) : parse_raw<uint16_t, Kept>(in, count);
    case 4:
      return is_signed ? parse_raw<int32_t, Kept>(in, count) : parse_raw<uint32_t, Kept>(in, count);
    default:
      return is_signed ? parse_raw<int64_t, Kept>(in, count) : parse_raw<uint64_t, Kept>(in, count);
  }
}

Result<std::vector<double>> parse_floats(Cursor& in, const ValueType& type, uint64_t count) {
  return type.size == 4 ? parse_raw<float, double>(in, count)
                        : parse_raw<double, double>(in, count);
}

Result<std::vector<uint64_t>> parse_bools(Cursor& in, uint64_t count) {
  const uint64_t at = in.offset();
  SLUICE_TRY(auto values, (parse_raw<uint8_t, uint64_t>(in, count)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 1) {
      return in.bad(at + i, fmt::format("a bool is {}, expected 0 or 1", values[i]));
    }
  }
  return values;
}

Result<std::vector<std::string>> parse_strings(Cursor& in, uint64_t count) {
  std::vector<std::string> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    SLUICE_TRY(const std::string_view text, in.string("an array element"));
    values.emplace_back(text);
  }
  return values;
}

Result<std::shared_ptr<const GgufArray>> parse_array(Cursor& in, Budget& budget, int depth);

Result<std::vector<std::shared_ptr<const GgufArray>>> parse_arrays(Cursor& in, uint64_t count,
                                                                   Budget& budget, int depth) {
  std::vector<std::shared_ptr<const GgufArray>> values;
  for (uint64_t i = 0; i < count; ++i) {
    SLUICE_TRY(auto element, parse_array(in, budget, depth + 1));
    values.push_back(std::move(element));
  }
  return values;
}

Result<void> parse_elements(Cursor& in, const ValueType& type, uint64_t count, Budget& budget,
                            int depth, GgufArray& array) {
  switch (type.store) {
    case Store::kUnsigned: {
      SLUICE_TRY(array.elements, parse_integers<uint64_t>(in, type, count));
      return {};
    }
    case Store::kSigned: {
      SLUICE_TRY(array.elements, parse_integers<int64_t>(in, type, count));
      return {};
    }
    case Store::kFloat: {
      SLUICE_TRY(array.elements, parse_floats(in, type, count));
      return {};
    }
    case Store::kBool: {
      SLUICE_TRY(array.elements, parse_bools(in, count));
      return {};
    }
    case Store::kString: {
      SLUICE_TRY(array.elements, parse_strings(in, count));
      return {};
    }
    case Store::kArray: {
      SLUICE_TRY(array.elements, parse_arrays(in, count, budget, depth));
      return {};
    }
  }
  return {};
}

Result<std::shared_ptr<const GgufArray>> parse_array(Cursor& in, Budget& budget, int depth) {
  if (depth > kMaxDepth) {
    return in.bad(fmt::format("arrays are nested more than {} deep", kMaxDepth));
  }
  SLUICE_TRY(const ValueType* type, parse_type(in, "the type of the array elements"));
  const uint64_t at = in.offset();
  SLUICE_TRY(const uint64_t count, in.number<uint64_t>("the length of an array"));
  SLUICE_CHECK(in.expect(count, type->size, "array elements"));
  if (count > budget.values) {
    return in.bad(at, fmt::format("an array of {} elements brings the metadata above {} values",
                                  count, kMaxValues));
  }
  budget.values -= count;
  auto array = std::make_shared<GgufArray>();
  array->element_type = type->type;
  SLUICE_CHECK(parse_elements(in, *type, count, budget, depth, *array));
  return array;
}

// A scalar is read as an array of one.
Result<GgufValue> parse_value(Cursor& in, Budget& budget) {
  SLUICE_TRY(const ValueType* type, parse_type(in, "the value's type"));
  GgufValue value;
  value.type = type->type;
  switch (type->store) {
    case Store::kUnsigned: {
      SLUICE_TRY(const auto one, parse_integers<uint64_t>(in, *type, 1));
      value.data = one[0];
      break;
    }
    case Store::kSigned: {
      SLUICE_TRY(const auto one, parse_integers<int64_t>(in, *type, 1));
      value.data = one[0];
      break;
    }
    case Store::kFloat: {
      SLUICE_TRY(const auto one, parse_floats(in, *type, 1));
      value.data = one[0];
      break;
    }
    case Store::kBool: {
      SLUICE_TRY(const auto one, parse_bools(in, 1));
      value.data = one[0] != 0;
      break;
    }
    case Store::kString: {
      SLUICE_TRY(const std::string_view text, in.string("the value"));
      value.data = std::string(text);
      break;
    }
    case Store::kArray: {
      SLUICE_TRY(value.data, parse_array(in, budget, 1));
      break;
    }
  }
  return value;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string out;
  for (const char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (text.size() > kMost) out += "...";
  return out;
}

Result<Header> parse_header(Cursor& in) {
  SLUICE_TRY(const uint32_t magic, in.number<uint32_t>("the magic"));
  if (magic != kMagic) {
    return in.bad(
        0, fmt::format("the magic is 0x{:08x}, expected 0x{:08x} (\"GGUF\")", magic, kMagic));
  }
  SLUICE_TRY(const uint32_t version, in.number<uint32_t>("the version"));
  if (version != kVersion) {
    const char* hint = version < kVersion ? "; convert the file with the tool that made it" : "";
    // A small number in the upper bytes: the file was written on a big-endian machine.
    if (version > 0xffff) hint = "; is this a big-endian file?";
    return in.bad(4, fmt::format("the version is {}, expected {}{}", version, kVersion, hint));
  }
  Header header;
  SLUICE_TRY(header.n_tensors, in.number<uint64_t>("the number of tensors"));
  SLUICE_TRY(header.n_keys, in.number<uint64_t>("the number of metadata keys"));
  SLUICE_CHECK(in.expect(header.n_keys, kMinKeyBytes, "metadata keys"));
  SLUICE_CHECK(in.expect(header.n_tensors, kMinTensorBytes, "tensors"));
  return header;
}

Result<std::vector<GgufKeyValue>> parse_metadata(Cursor& in, uint64_t n_keys,
                                                 NameIndex& ret_index) {
  std::vector<GgufKeyValue> metadata;
  std::vector<uint64_t> offsets;
  Budget budget;
  for (uint64_t i = 0; i < n_keys; ++i) {
    in.set_subject(fmt::format("metadata key {} of {}", i + 1, n_keys));
    offsets.push_back(in.offset());
    SLUICE_TRY(const std::string_view key, in.string("the key"));
    if (key.empty() || key.size() > kMaxKeyBytes) {
      return in.bad(offsets.back(), fmt::format("the key has {} bytes, expected 1 to {}",
                                                key.size(), kMaxKeyBytes));
    }
    in.set_subject(fmt::format("metadata key '{}'", printable(key)));
    if (budget.values-- == 0) {
      return in.bad(fmt::format("the metadata has more than {} values", kMaxValues));
    }
    SLUICE_TRY(GgufValue value, parse_value(in, budget));
    metadata.push_back({std::string(key), std::move(value)});
  }

  ret_index.resize(metadata.size());
  for (uint32_t i = 0; i < ret_index.size(); ++i) ret_index[i] = i;
  std::stable_sort(ret_index.begin(), ret_index.end(),
                   [&](uint32_t a, uint32_t b) { return metadata[a].key < metadata[b].key; });
  for (size_t i = 1; i < ret_index.size(); ++i) {
    const std::string& key = metadata[ret_index[i]].key;
    if (key != metadata[ret_index[i - 1]].key) continue;
    in.set_subject(fmt::format("metadata key '{}'", printable(key)));
    return in.bad(offsets[ret_index[i]], "the key was used before, expected each key once");
  }
  return metadata;
}

}  // namespace sluice::gguf
