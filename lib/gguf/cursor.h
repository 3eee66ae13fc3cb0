// SPDX-License-Identifier: Apache-2.0
// A bounds-checked position in the bytes of a GGUF file. Every read is compared with what remains
// before anything is touched or allocated, and a failure names the file, the offset and the thing
// that was read.
#ifndef SLUICE_GGUF_CURSOR_H
#define SLUICE_GGUF_CURSOR_H

#include <fmt/format.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <sluice/result.hpp>

namespace sluice::gguf {

// Text from a file for a message: control characters escaped, at most 80 bytes of it.
std::string printable(std::string_view text);

class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  // What is being read now, as messages shall call it: "metadata key 'a.b'".
  void set_subject(std::string subject) { subject_ = std::move(subject); }

  tl::unexpected<Error> bad(uint64_t offset, std::string_view what) const {
    return fail(EBADMSG, fmt::format("{}: {} at offset {}: {}", path_, subject_, offset, what));
  }
  tl::unexpected<Error> bad(std::string_view what) const { return bad(offset_, what); }

  // Fails unless `count` things of at least `size` bytes each can still follow.
  Result<void> expect(uint64_t count, uint64_t size, std::string_view what) const {
    if (count <= remaining() / size) return {};
    return bad(fmt::format("{} {} need at least {} bytes each, but {} bytes are left", count, what,
                           size, remaining()));
  }

  template <typename T>
  Result<T> number(std::string_view what) {
    if (remaining() < sizeof(T)) {
      return bad(fmt::format("the file ends within {}: expected {} bytes, {} are left", what,
                             sizeof(T), remaining()));
    }
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  // Passes over n bytes, which must remain.
  void skip(uint64_t n) { offset_ += n; }

  // A u64 length and that many bytes; the view stays valid as long as the file.
  Result<std::string_view> string(std::string_view what) {
    SLUICE_TRY(const uint64_t length, number<uint64_t>(what));
    if (length > remaining()) {
      return bad(
          offset_ - sizeof(length),
          fmt::format("{} has a length of {} bytes, but {} are left", what, length, remaining()));
    }
    const auto* begin = reinterpret_cast<const char*>(bytes_.data() + offset_);
    offset_ += length;
    return std::string_view(begin, length);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t offset_ = 0;
  std::string subject_ = "header";
};

}  // namespace sluice::gguf

#endif  // SLUICE_GGUF_CURSOR_H
