// SPDX-License-Identifier: Apache-2.0
// GgufFile: a checked header over a read-only mapping, and typed access to it.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/file.h"
#include "gguf/cursor.h"
#include "gguf/parse.h"
#include "gguf/types.h"

namespace sluice {

struct GgufFile::Impl {
  std::string path;
  Fd file;        // none when the bytes are the caller's
  MemoryMap map;  // likewise
  std::span<const std::byte> bytes;
  uint64_t alignment = gguf::kDefaultAlignment;
  uint64_t data_offset = 0;
  std::vector<GgufKeyValue> metadata;
  std::vector<GgufTensor> tensors;
  gguf::NameIndex keys, names;

  Result<void> parse();
};

Result<void> GgufFile::Impl::parse() {
  gguf::Cursor in(bytes, path);
  SLUICE_TRY(const gguf::Header header, gguf::parse_header(in));
  SLUICE_TRY(metadata, gguf::parse_metadata(in, header.n_keys, keys));
  in.set_subject("metadata");
  SLUICE_TRY(alignment, gguf::parse_alignment(in, metadata, keys));
  SLUICE_TRY(tensors, gguf::parse_tensors(in, header.n_tensors, alignment, names, data_offset));
  return {};
}

GgufFile::GgufFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  uint64_t size = 0;
  SLUICE_TRY(impl->file, open_regular(path, size));
  if (size > 0) {
    SLUICE_TRY(impl->map, MemoryMap::map(impl->file, 0, size, PROT_READ, MAP_PRIVATE, path));
  }
  impl->bytes = impl->map.bytes();
  SLUICE_CHECK(impl->parse());
  return GgufFile(std::move(impl));
}

Result<GgufFile> GgufFile::from_memory(std::span<const std::byte> bytes, std::string name) {
  if (reinterpret_cast<uintptr_t>(bytes.data()) % gguf::kMinAlignment != 0) {
    return fail(EINVAL, fmt::format("{}: the memory is not aligned to {} bytes", name,
                                    gguf::kMinAlignment));
  }
  auto impl = std::make_unique<Impl>();
  impl->path = std::move(name);
  impl->bytes = bytes;
  SLUICE_CHECK(impl->parse());
  return GgufFile(std::move(impl));
}

const std::string& GgufFile::path() const { return impl_->path; }
uint32_t GgufFile::version() const { return gguf::kVersion; }
uint64_t GgufFile::alignment() const { return impl_->alignment; }
uint64_t GgufFile::data_offset() const { return impl_->data_offset; }
uint64_t GgufFile::file_size() const { return impl_->bytes.size(); }
std::span<const GgufKeyValue> GgufFile::metadata() const { return impl_->metadata; }
std::span<const GgufTensor> GgufFile::tensors() const { return impl_->tensors; }
Result<void> GgufFile::read(const GgufTensor& tensor, uint64_t offset,
                            std::span<std::byte> to) const {
  if (offset > tensor.n_bytes || to.size() > tensor.n_bytes - offset) {
    return fail(ERANGE, fmt::format("{}: tensor {}: {} bytes from offset {} of {}", impl_->path,
                                    tensor.name, to.size(), offset, tensor.n_bytes));
  }
  if (impl_->file) {
    return read_all(impl_->file, impl_->data_offset + tensor.offset + offset, to, impl_->path);
  }
  std::memcpy(to.data(), data(tensor).data() + offset, to.size());
  return {};
}
std::span<const std::byte> GgufFile::bytes() const { return impl_->bytes; }

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto& index = impl_->keys;
  const auto& metadata = impl_->metadata;
  const auto it = std::lower_bound(
      index.begin(), index.end(), key,
      [&](uint32_t i, std::string_view wanted) { return metadata[i].key < wanted; });
  return it != index.end() && metadata[*it].key == key ? &metadata[*it].value : nullptr;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto& index = impl_->names;
  const auto& tensors = impl_->tensors;
  const auto it = std::lower_bound(
      index.begin(), index.end(), name,
      [&](uint32_t i, std::string_view wanted) { return tensors[i].name < wanted; });
  return it != index.end() && tensors[*it].name == name ? &tensors[*it] : nullptr;
}

std::span<const std::byte> GgufFile::data(const GgufTensor& tensor) const {
  return impl_->bytes.subspan(impl_->data_offset + tensor.offset, tensor.n_bytes);
}

namespace {

Result<const GgufValue*> need(const GgufFile& file, std::string_view key) {
  if (const GgufValue* value = file.find(key)) return value;
  return fail(ENOENT, fmt::format("{}: metadata key '{}' is missing", file.path(), key));
}

tl::unexpected<Error> wrong_type(const GgufFile& file, std::string_view key, const GgufValue& value,
                                 std::string_view expected) {
  return fail(EBADMSG, fmt::format("{}: metadata key '{}' has type {}, expected {}", file.path(),
                                   key, gguf_type_name(value.type), expected));
}

}  // namespace

Result<uint64_t> GgufFile::get_u64(std::string_view key) const {
  SLUICE_TRY(const GgufValue* value, need(*this, key));
  if (const auto* number = std::get_if<uint64_t>(&value->data)) return *number;
  const auto* number = std::get_if<int64_t>(&value->data);
  if (!number) return wrong_type(*this, key, *value, "an integer");
  if (*number < 0) {
    return fail(EBADMSG, fmt::format("{}: metadata key '{}' is {}, expected 0 or more", path(), key,
                                     *number));
  }
  return static_cast<uint64_t>(*number);
}

Result<double> GgufFile::get_f64(std::string_view key) const {
  constexpr int64_t kExact = int64_t{1} << 53;
  SLUICE_TRY(const GgufValue* value, need(*this, key));
  if (const auto* number = std::get_if<double>(&value->data)) return *number;
  if (const auto* n = std::get_if<uint64_t>(&value->data); n && *n <= kExact) {
    return static_cast<double>(*n);
  }
  if (const auto* n = std::get_if<int64_t>(&value->data); n && *n <= kExact && *n >= -kExact) {
    return static_cast<double>(*n);
  }
  return wrong_type(*this, key, *value, "a number that fits an f64");
}

Result<bool> GgufFile::get_bool(std::string_view key) const {
  SLUICE_TRY(const GgufValue* value, need(*this, key));
  if (const auto* flag = std::get_if<bool>(&value->data)) return *flag;
  return wrong_type(*this, key, *value, "bool");
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  SLUICE_TRY(const GgufValue* value, need(*this, key));
  if (const auto* text = std::get_if<std::string>(&value->data)) return *text;
  return wrong_type(*this, key, *value, "string");
}

Result<std::span<const std::string>> GgufFile::get_strings(std::string_view key) const {
  SLUICE_TRY(const GgufValue* value, need(*this, key));
  const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value->data);
  if (!array) return wrong_type(*this, key, *value, "an array of strings");
  if (const auto* strings = std::get_if<std::vector<std::string>>(&(*array)->elements)) {
    return std::span<const std::string>(*strings);
  }
  return fail(EBADMSG, fmt::format("{}: metadata key '{}' is an array of {}, expected strings",
                                   path(), key, gguf_type_name((*array)->element_type)));
}

}  // namespace sluice
