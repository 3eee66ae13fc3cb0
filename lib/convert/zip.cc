// SPDX-License-Identifier: Apache-2.0
// Found from behind: the end record, with zip64 the larger one that it points to, then the central
// directory. Of the local headers only the lengths are needed, to find the data.
#include "convert/zip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

constexpr uint32_t kEndMagic = 0x06054b50, kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr uint32_t kEntryMagic = 0x02014b50, kLocalMagic = 0x04034b50;
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr size_t kEntryBytes = 46, kLocalBytes = 30;
constexpr size_t kLongestComment = 65535;
constexpr uint16_t kZip64Field = 1, kEncrypted = 1;

class Zip {
 public:
  Zip(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}
  Result<ZipEntries> read();

 private:
  struct Directory {
    uint64_t n_entries = 0, offset = 0, n_bytes = 0;
  };
  struct Entry {
    std::string name;
    uint16_t flags = 0, method = 0;
    uint64_t packed = 0, n_bytes = 0, local = 0;
  };

  tl::unexpected<Error> bad(const std::string& what) const {
    return fail(EBADMSG, fmt::format("{}: {}", path_, what));
  }
  // Whether n bytes at an offset are in the file.
  bool holds(uint64_t at, uint64_t n) const {
    return at <= bytes_.size() && n <= bytes_.size() - at;
  }
  template <typename T>
  T get(uint64_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(value));
    return value;
  }
  Result<Directory> find_directory() const;
  Result<Entry> read_entry(uint64_t& at, uint64_t end) const;
  bool read_zip64(uint64_t at, uint64_t n_bytes, Entry& entry) const;
  Result<std::span<const std::byte>> data(const Entry& entry) const;

  std::span<const std::byte> bytes_;
  const std::string& path_;
};

Result<Zip::Directory> Zip::find_directory() const {
  if (bytes_.size() < kEndBytes) return bad("too short for a zip file");
  const size_t last = bytes_.size() - kEndBytes;
  const size_t first = last - std::min(last, kLongestComment);
  size_t end = last + 1;
  while (end > first && get<uint32_t>(end - 1) != kEndMagic) --end;
  if (end == first) {
    return bad("no zip file (PyTorch files from before version 1.6 are none; load and save them)");
  }
  --end;
  Directory out{get<uint16_t>(end + 10), get<uint32_t>(end + 16), get<uint32_t>(end + 12)};
  const bool zip64 =
      out.n_entries == UINT16_MAX || out.offset == UINT32_MAX || out.n_bytes == UINT32_MAX ||
      (end >= kLocator64Bytes && get<uint32_t>(end - kLocator64Bytes) == kLocator64Magic);
  if (zip64) {
    if (end < kLocator64Bytes || get<uint32_t>(end - kLocator64Bytes) != kLocator64Magic) {
      return bad("no zip64 locator in front of the end record");
    }
    const auto at = get<uint64_t>(end - kLocator64Bytes + 8);
    if (!holds(at, kEnd64Bytes) || get<uint32_t>(at) != kEnd64Magic) {
      return bad(fmt::format("no zip64 end record at offset {}", at));
    }
    out = {get<uint64_t>(at + 32), get<uint64_t>(at + 48), get<uint64_t>(at + 40)};
  }
  if (!holds(out.offset, out.n_bytes)) {
    return bad(fmt::format("the zip directory has {} bytes at offset {}, the file {}", out.n_bytes,
                           out.offset, bytes_.size()));
  }
  return out;
}

// The extra field: sizes and offset that are 32 bits of ones in the entry, in this order.
bool Zip::read_zip64(uint64_t at, uint64_t n_bytes, Entry& entry) const {
  const uint64_t end = at + n_bytes;
  while (end - at >= 4) {
    const auto id = get<uint16_t>(at), size = get<uint16_t>(at + 2);
    at += 4;
    if (size > end - at) return false;
    if (id == kZip64Field) {
      uint64_t field = at;
      for (uint64_t* value : {&entry.n_bytes, &entry.packed, &entry.local}) {
        if (*value != UINT32_MAX) continue;
        if (at + size - field < sizeof(uint64_t)) return false;
        *value = get<uint64_t>(field);
        field += sizeof(uint64_t);
      }
    }
    at += size;
  }
  return true;
}

Result<Zip::Entry> Zip::read_entry(uint64_t& at, uint64_t end) const {
  const uint64_t begin = at;
  const auto malformed = [&] {
    return bad(fmt::format("the zip directory is malformed at offset {}", begin));
  };
  if (end - at < kEntryBytes || get<uint32_t>(at) != kEntryMagic) return malformed();
  Entry out;
  out.flags = get<uint16_t>(at + 8);
  out.method = get<uint16_t>(at + 10);
  out.packed = get<uint32_t>(at + 20);
  out.n_bytes = get<uint32_t>(at + 24);
  out.local = get<uint32_t>(at + 42);
  const uint64_t name = get<uint16_t>(at + 28), extra = get<uint16_t>(at + 30),
                 comment = get<uint16_t>(at + 32);
  at += kEntryBytes;
  if (end - at < name + extra + comment) return malformed();
  out.name.assign(reinterpret_cast<const char*>(bytes_.data() + at), name);
  if (!read_zip64(at + name, extra, out)) return malformed();
  at += name + extra + comment;
  return out;
}

Result<std::span<const std::byte>> Zip::data(const Entry& entry) const {
  const std::string subject = fmt::format("{}: zip entry '{}'", path_, gguf::printable(entry.name));
  if (entry.method != 0 || (entry.flags & kEncrypted)) {
    return fail(
        ENOTSUP,
        fmt::format("{} has compression method {} and flags {:#x}, expected it to be stored",
                    subject, entry.method, entry.flags));
  }
  if (entry.packed != entry.n_bytes) {
    return fail(EBADMSG, fmt::format("{} has {} bytes, of which {} are stored", subject,
                                     entry.n_bytes, entry.packed));
  }
  if (!holds(entry.local, kLocalBytes) || get<uint32_t>(entry.local) != kLocalMagic) {
    return fail(EBADMSG, fmt::format("{}: no local header at offset {}", subject, entry.local));
  }
  const uint64_t begin =
      entry.local + kLocalBytes + get<uint16_t>(entry.local + 26) + get<uint16_t>(entry.local + 28);
  if (!holds(begin, entry.n_bytes)) {
    return fail(EBADMSG, fmt::format("{} has {} bytes at offset {}, the file {}", subject,
                                     entry.n_bytes, begin, bytes_.size()));
  }
  return bytes_.subspan(begin, entry.n_bytes);
}

Result<ZipEntries> Zip::read() {
  SLUICE_TRY(const Directory directory, find_directory());
  uint64_t at = directory.offset;
  const uint64_t end = at + directory.n_bytes;
  ZipEntries out;
  for (uint64_t i = 0; i < directory.n_entries; ++i) {
    SLUICE_TRY(const Entry entry, read_entry(at, end));
    SLUICE_TRY(const auto bytes, data(entry));
    if (!out.emplace(entry.name, bytes).second) {
      return bad(fmt::format("two zip entries '{}'", gguf::printable(entry.name)));
    }
  }
  return out;
}

}  // namespace

Result<ZipEntries> read_zip(std::span<const std::byte> bytes, const std::string& path) {
  return Zip(bytes, path).read();
}

}  // namespace sluice::hf
