// SPDX-License-Identifier: Apache-2.0
// Puts GGUF files together byte by byte, valid ones and others, without the library's writer.
#ifndef SLUICE_TESTS_UNIT_GGUF_BUILDER_H
#define SLUICE_TESTS_UNIT_GGUF_BUILDER_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/gguf.hpp>

namespace sluice::test {

class GgufBuilder {
 public:
  template <typename T>
  GgufBuilder& put(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(value));
    return *this;
  }
  GgufBuilder& u8(uint8_t v) { return put(v); }
  GgufBuilder& u32(uint32_t v) { return put(v); }
  GgufBuilder& u64(uint64_t v) { return put(v); }
  GgufBuilder& text(std::string_view text) {
    u64(text.size());
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), bytes, bytes + text.size());
    return *this;
  }
  GgufBuilder& header(uint64_t n_tensors, uint64_t n_keys, uint32_t version = 3,
                      uint32_t magic = 0x46554747) {
    return u32(magic).u32(version).u64(n_tensors).u64(n_keys);
  }
  GgufBuilder& key(std::string_view name, GgufType type) {
    return text(name).u32(static_cast<uint32_t>(type));
  }
  GgufBuilder& array(GgufType element, uint64_t count) {
    return u32(static_cast<uint32_t>(element)).u64(count);
  }
  GgufBuilder& tensor(std::string_view name, std::initializer_list<uint64_t> shape, uint32_t type,
                      uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t dim : shape) u64(dim);
    return u32(type).u64(offset);
  }
  GgufBuilder& pad(size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  GgufBuilder& zeros(size_t n) {
    bytes_.resize(bytes_.size() + n);
    return *this;
  }

  uint64_t size() const { return bytes_.size(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  Result<GgufFile> open() const { return GgufFile::from_memory(bytes_, "test.gguf"); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_GGUF_BUILDER_H
