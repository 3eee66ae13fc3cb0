// SPDX-License-Identifier: Apache-2.0
// GgufWriter: metadata and tensor infos are kept until the first data arrives, then everything is
// streamed through one buffer into a file that appears only when it is whole.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <unordered_set>

#include "core/file.h"
#include "gguf/cursor.h"
#include "gguf/types.h"
#include "quant/format.h"

namespace sluice {
namespace {

using gguf::Store;

// Little-endian bytes in memory.
class Encoder {
 public:
  template <typename T>
  void number(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(value));
  }
  void string(std::string_view text) {
    number<uint64_t>(text.size());
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), bytes, bytes + text.size());
  }
  // The low `size` bytes of an integer, two's complement.
  void integer(uint64_t value, uint32_t size) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
  }
  void real(double value, uint32_t size) {
    if (size == 4) {
      number(static_cast<float>(value));
    } else {
      number(value);
    }
  }
  void pad_to(uint64_t alignment) {
    uint64_t end = 0;
    if (gguf::align_up(bytes_.size(), alignment, end)) bytes_.resize(end);
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

template <typename T>
const T* held(const auto& data) {
  return std::get_if<T>(&data);
}

// False: the elements do not have the type that the array says.
bool encode_array(Encoder& out, const GgufArray& array) {
  const gguf::ValueType* type = gguf::find_value_type(static_cast<uint32_t>(array.element_type));
  if (!type) return false;
  out.number(static_cast<uint32_t>(type->type));
  out.number<uint64_t>(array.size());
  const auto& elements = array.elements;
  switch (type->store) {
    case Store::kUnsigned:
    case Store::kBool:
      if (const auto* values = held<std::vector<uint64_t>>(elements)) {
        for (const uint64_t value : *values) out.integer(value, type->size);
        return true;
      }
      return false;
    case Store::kSigned:
      if (const auto* values = held<std::vector<int64_t>>(elements)) {
        for (const int64_t value : *values) out.integer(static_cast<uint64_t>(value), type->size);
        return true;
      }
      return false;
    case Store::kFloat:
      if (const auto* values = held<std::vector<double>>(elements)) {
        for (const double value : *values) out.real(value, type->size);
        return true;
      }
      return false;
    case Store::kString:
      if (const auto* values = held<std::vector<std::string>>(elements)) {
        for (const std::string& value : *values) out.string(value);
        return true;
      }
      return false;
    case Store::kArray:
      if (const auto* values = held<std::vector<std::shared_ptr<const GgufArray>>>(elements)) {
        return std::all_of(values->begin(), values->end(),
                           [&](const auto& value) { return value && encode_array(out, *value); });
      }
      return false;
  }
  return false;
}

// False: the value does not have the type that it says.
bool encode_value(Encoder& out, const GgufValue& value) {
  const gguf::ValueType* type = gguf::find_value_type(static_cast<uint32_t>(value.type));
  if (!type) return false;
  out.number(static_cast<uint32_t>(type->type));
  const auto* natural = held<uint64_t>(value.data);
  const auto* integer = held<int64_t>(value.data);
  const auto* real = held<double>(value.data);
  const auto* flag = held<bool>(value.data);
  const auto* text = held<std::string>(value.data);
  const auto* array = held<std::shared_ptr<const GgufArray>>(value.data);
  if (type->store == Store::kUnsigned && natural) {
    out.integer(*natural, type->size);
  } else if (type->store == Store::kSigned && integer) {
    out.integer(static_cast<uint64_t>(*integer), type->size);
  } else if (type->store == Store::kFloat && real) {
    out.real(*real, type->size);
  } else if (type->store == Store::kBool && flag) {
    out.number<uint8_t>(*flag ? 1 : 0);
  } else if (type->store == Store::kString && text) {
    out.string(*text);
  } else if (type->store == Store::kArray && array && *array) {
    return encode_array(out, **array);
  } else {
    return false;
  }
  return true;
}

}  // namespace

struct GgufWriter::Impl {
  static constexpr size_t kBufferBytes = 1 << 20;

  AtomicFile file;
  uint32_t alignment;
  std::vector<GgufKeyValue> metadata;
  std::unordered_map<std::string, size_t> keys;  // index in metadata
  std::vector<GgufTensor> tensors;
  std::unordered_set<std::string> names;
  uint64_t next_offset = 0;  // of the next announced tensor
  bool header_written = false;
  bool failed = false;      // an error was reported, or all is done: no call may follow
  size_t current = 0;       // tensor whose data comes next
  uint64_t in_current = 0;  // bytes of it that came
  std::vector<std::byte> buffer;

  Impl(AtomicFile f, uint32_t a) : file(std::move(f)), alignment(a) {}

  tl::unexpected<Error> bad(int code, const std::string& what) {
    failed = true;
    return fail(code, fmt::format("{}: {}", file.path(), what));
  }
  Result<void> write(std::span<const std::byte> bytes);
  Result<void> finish();
  Result<void> write_header();
  Result<void> flush();
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> end_tensor();
};

Result<void> GgufWriter::Impl::flush() {
  SLUICE_CHECK(file.write(buffer));
  buffer.clear();
  return {};
}

Result<void> GgufWriter::Impl::append(std::span<const std::byte> bytes) {
  if (buffer.size() + bytes.size() > kBufferBytes) SLUICE_CHECK(flush());
  if (bytes.size() >= kBufferBytes) return file.write(bytes);
  buffer.insert(buffer.end(), bytes.begin(), bytes.end());
  return {};
}

Result<void> GgufWriter::Impl::write_header() {
  header_written = true;
  std::erase_if(metadata, [](const auto& entry) { return entry.key == gguf::kAlignmentKey; });
  if (alignment != gguf::kDefaultAlignment) {
    metadata.push_back({gguf::kAlignmentKey, {GgufType::kU32, uint64_t{alignment}}});
  }
  Encoder out;
  out.number(gguf::kMagic);
  out.number(gguf::kVersion);
  out.number<uint64_t>(tensors.size());
  out.number<uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) {
    if (key.empty() || key.size() > gguf::kMaxKeyBytes) {
      return bad(EINVAL, fmt::format("metadata key '{}' has {} bytes, expected 1 to {}",
                                     gguf::printable(key), key.size(), gguf::kMaxKeyBytes));
    }
    out.string(key);
    if (!encode_value(out, value)) {
      return bad(EINVAL, fmt::format("the value of metadata key '{}' is not of its type {}",
                                     gguf::printable(key), gguf_type_name(value.type)));
    }
  }
  for (const GgufTensor& tensor : tensors) {
    out.string(tensor.name);
    out.number(tensor.rank);
    for (uint32_t i = 0; i < tensor.rank; ++i) out.number(tensor.shape[i]);
    out.number(tensor.type);
    out.number(tensor.offset);
  }
  out.pad_to(alignment);
  return append(out.bytes());
}

// Pads the current tensor and moves on to the next.
Result<void> GgufWriter::Impl::end_tensor() {
  uint64_t end = 0;
  if (!gguf::align_up(in_current, alignment, end)) return bad(EOVERFLOW, "a tensor is too large");
  const std::vector<std::byte> zeros(end - in_current);
  ++current;
  in_current = 0;
  return append(zeros);
}

GgufWriter::GgufWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufWriter::GgufWriter(GgufWriter&&) noexcept = default;
GgufWriter& GgufWriter::operator=(GgufWriter&&) noexcept = default;
GgufWriter::~GgufWriter() = default;

Result<GgufWriter> GgufWriter::create(const std::string& path, uint32_t alignment) {
  if (!gguf::is_alignment(alignment)) {
    return fail(EINVAL,
                fmt::format("{}: the alignment is {}, expected a power of two from {} to {}", path,
                            alignment, gguf::kMinAlignment, gguf::kMaxAlignment));
  }
  SLUICE_TRY(AtomicFile file, AtomicFile::create(path));
  return GgufWriter(std::make_unique<Impl>(std::move(file), alignment));
}

void GgufWriter::set(std::string key, GgufValue value) {
  if (impl_->header_written) {
    impl_->failed = true;  // too late: write() and finish() say so
    return;
  }
  const auto [it, added] = impl_->keys.try_emplace(key, impl_->metadata.size());
  if (added) {
    impl_->metadata.push_back({std::move(key), std::move(value)});
  } else {
    impl_->metadata[it->second].value = std::move(value);
  }
}

void GgufWriter::set_u32(std::string key, uint32_t value) {
  set(std::move(key), {GgufType::kU32, uint64_t{value}});
}
void GgufWriter::set_f32(std::string key, float value) {
  set(std::move(key), {GgufType::kF32, double{value}});
}
void GgufWriter::set_bool(std::string key, bool value) {
  set(std::move(key), {GgufType::kBool, value});
}
void GgufWriter::set_string(std::string key, std::string value) {
  set(std::move(key), {GgufType::kString, std::move(value)});
}

Result<void> GgufWriter::add_tensor(std::string name, uint32_t type,
                                    std::span<const uint64_t> shape) {
  const std::string subject =
      fmt::format("{}: tensor '{}'", impl_->file.path(), gguf::printable(name));
  const auto bad = [&](const std::string& what) { return fail(EINVAL, subject + ": " + what); };
  if (impl_->header_written) return bad("announced after the first data");
  if (name.empty() || name.size() > gguf::kMaxNameBytes) {
    return bad(
        fmt::format("the name has {} bytes, expected 1 to {}", name.size(), gguf::kMaxNameBytes));
  }
  if (impl_->names.contains(name)) return bad("the name was used before");
  const Format* format = find_format(type);
  if (!format) return bad(fmt::format("unknown type {}", type));
  if (shape.empty() || shape.size() > gguf::kMaxRank) {
    return bad(fmt::format("the rank is {}, expected 1 to {}", shape.size(), gguf::kMaxRank));
  }
  GgufTensor tensor;
  uint64_t n_elements = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return bad(fmt::format("dimension {} is 0", i));
    if (__builtin_mul_overflow(n_elements, shape[i], &n_elements)) return bad("it is too large");
    tensor.shape[i] = shape[i];
  }
  if (shape[0] % format->block_size != 0) {
    return bad(fmt::format("a row has {} elements, expected a multiple of {} for {}", shape[0],
                           format->block_size, format->name));
  }
  uint64_t end;
  if (__builtin_mul_overflow(n_elements / format->block_size, uint64_t{format->block_bytes},
                             &tensor.n_bytes) ||
      __builtin_add_overflow(impl_->next_offset, tensor.n_bytes, &end) || end > INT64_MAX) {
    return bad("it is too large");
  }
  impl_->names.insert(name);
  tensor.name = std::move(name);
  tensor.type = type;
  tensor.type_name = format->name;
  tensor.rank = static_cast<uint32_t>(shape.size());
  tensor.offset = impl_->next_offset;
  gguf::align_up(end, impl_->alignment, impl_->next_offset);
  impl_->tensors.push_back(std::move(tensor));
  return {};
}

Result<void> GgufWriter::Impl::write(std::span<const std::byte> bytes) {
  if (failed) return bad(EINVAL, "a call failed before, or the file is finished");
  if (!header_written) SLUICE_CHECK(write_header());
  while (!bytes.empty()) {
    if (current == tensors.size()) {
      return bad(EINVAL, fmt::format("{} bytes more than the tensors have", bytes.size()));
    }
    const uint64_t missing = tensors[current].n_bytes - in_current;
    const auto part = bytes.first(std::min<uint64_t>(missing, bytes.size()));
    SLUICE_CHECK(append(part));
    in_current += part.size();
    bytes = bytes.subspan(part.size());
    if (part.size() == missing) SLUICE_CHECK(end_tensor());
  }
  return {};
}

Result<void> GgufWriter::Impl::finish() {
  SLUICE_CHECK(write({}));
  if (current < tensors.size()) {
    const GgufTensor& tensor = tensors[current];
    return bad(EINVAL, fmt::format("tensor '{}' got {} of {} bytes", gguf::printable(tensor.name),
                                   in_current, tensor.n_bytes));
  }
  SLUICE_CHECK(flush());
  return file.commit();
}

Result<void> GgufWriter::write(std::span<const std::byte> bytes) {
  auto result = impl_->write(bytes);
  if (!result) impl_->failed = true;
  return result;
}

Result<void> GgufWriter::finish() {
  auto result = impl_->finish();
  impl_->failed = true;  // nothing may follow
  return result;
}

}  // namespace sluice
