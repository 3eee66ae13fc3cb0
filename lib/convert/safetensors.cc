// SPDX-License-Identifier: Apache-2.0
// safetensors: a JSON header with the type, shape and place of each tensor, then their data.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "convert/json_file.h"
#include "convert/source.h"
#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // of the format itself
constexpr const char* kMetadata = "__metadata__";

constexpr SourceType kTypes[] = {
    {"F32", "FloatStorage", 4, "F32"},      {"F16", "HalfStorage", 2, "F16"},
    {"BF16", "BFloat16Storage", 2, "BF16"}, {"F64", "DoubleStorage", 8, nullptr},
    {"I64", "LongStorage", 8, nullptr},     {"I32", "IntStorage", 4, nullptr},
    {"I16", "ShortStorage", 2, nullptr},    {"I8", "CharStorage", 1, nullptr},
    {"U8", "ByteStorage", 1, nullptr},      {"BOOL", "BoolStorage", 1, nullptr},
    {"F8_E4M3", nullptr, 1, nullptr},       {"F8_E5M2", nullptr, 1, nullptr},
    {"U16", nullptr, 2, nullptr},           {"U32", nullptr, 4, nullptr},
    {"U64", nullptr, 8, nullptr},
};

// An array of natural numbers.
bool naturals(const Json* value, std::vector<uint64_t>& ret) {
  if (!value || !value->is_array()) return false;
  for (const Json& n : *value) {
    if (!n.is_number_unsigned()) return false;
    ret.push_back(n.get<uint64_t>());
  }
  return true;
}

}  // namespace

std::span<const SourceType> source_types() { return kTypes; }

Result<uint64_t> bytes_of(std::span<const uint64_t> shape, uint64_t bytes,
                          std::string_view subject) {
  for (const uint64_t n : shape) {
    if (__builtin_mul_overflow(bytes, n, &bytes)) {
      return fail(EBADMSG,
                  fmt::format("{}: its shape [{}] is too large", subject, fmt::join(shape, ", ")));
    }
  }
  return bytes;
}

namespace {

Result<SourceTensor> read_entry(const JsonObject& entry, const std::string& subject,
                                std::span<const std::byte> data) {
  const auto bad = [&](const std::string& what) { return fail(EBADMSG, subject + ": " + what); };
  SourceTensor out;
  out.path = entry.path();
  SLUICE_TRY(out.type, entry.text("dtype"));
  const SourceType* type = nullptr;
  for (const SourceType& t : kTypes) {
    if (out.type == t.safetensors) type = &t;
  }
  if (!type) return bad(fmt::format("unknown dtype '{}'", gguf::printable(out.type)));
  if (type->format) out.format = find_format(std::string_view(type->format));
  std::vector<uint64_t> range;
  if (!naturals(entry.find("shape"), out.shape) || out.shape.size() > kMaxSourceRank) {
    return entry.bad("shape", fmt::format("at most {} whole numbers", kMaxSourceRank));
  }
  if (!naturals(entry.find("data_offsets"), range) || range.size() != 2 || range[0] > range[1]) {
    return entry.bad("data_offsets", "a begin and an end");
  }
  if (range[1] > data.size()) {
    return bad(
        fmt::format("it ends at byte {} of the data, which has {} bytes", range[1], data.size()));
  }
  SLUICE_TRY(const uint64_t n_bytes, bytes_of(out.shape, type->bytes, subject));
  if (n_bytes != range[1] - range[0]) {
    return bad(fmt::format("it has {} bytes, expected {} for {} [{}]", range[1] - range[0], n_bytes,
                           out.type, fmt::join(out.shape, ", ")));
  }
  out.data = data.subspan(range[0], n_bytes);
  return out;
}

}  // namespace

Result<SourceTensors> read_safetensors(std::span<const std::byte> bytes, const std::string& path) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    return fail(EBADMSG, fmt::format("{}: {} bytes, expected at least the 8 of the header's length",
                                     path, bytes.size()));
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  const uint64_t left = bytes.size() - sizeof(length);
  if (length > left || length > kMaxHeaderBytes) {
    return fail(EBADMSG, fmt::format("{}: a header of {} bytes, expected at most {}", path, length,
                                     std::min(left, kMaxHeaderBytes)));
  }
  const auto header = bytes.subspan(sizeof(length), length);
  const auto data = bytes.subspan(sizeof(length) + length);
  SLUICE_TRY(
      const JsonObject object,
      JsonObject::parse({reinterpret_cast<const char*>(header.data()), header.size()}, path));
  SourceTensors out;
  for (const auto& [name, value] : object.json().items()) {
    if (name == kMetadata) continue;
    const std::string subject = fmt::format("{}: tensor '{}'", path, gguf::printable(name));
    SLUICE_TRY(const auto entry, object.object(name));
    if (!entry) return fail(EBADMSG, subject + ": it is null, expected an object");
    SLUICE_TRY(SourceTensor tensor, read_entry(*entry, subject, data));
    out.emplace(name, std::move(tensor));
  }
  return out;
}

}  // namespace sluice::hf
