// SPDX-License-Identifier: Apache-2.0
// GGUF version 3 files: a reader that trusts nothing in the file, and a writer.
// Format: github.com/ggml-org/ggml, docs/gguf.md.
#ifndef SLUICE_GGUF_HPP
#define SLUICE_GGUF_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

// Types of metadata values, numbered as in the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
const char* gguf_type_name(GgufType type);  // "u32", "string", ...

// An array of one element type; nested arrays are elements of kArray.
struct GgufArray;

// A metadata value. Integers of all widths, keeping their type beside them.
struct GgufValue {
  GgufType type = GgufType::kU32;
  std::variant<uint64_t, int64_t, double, bool, std::string, std::shared_ptr<const GgufArray>> data;
};

struct GgufArray {
  GgufType element_type = GgufType::kU32;
  // One of these, by element type: numbers and bools as their value, strings, nested arrays.
  std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>,
               std::vector<std::string>, std::vector<std::shared_ptr<const GgufArray>>>
      elements;
  size_t size() const;
};

struct GgufKeyValue {
  std::string key;
  GgufValue value;
};

struct GgufTensor {
  std::string name;
  uint32_t type = 0;           // format id
  const char* type_name = "";  // "Q8_0"
  uint32_t rank = 1;
  std::array<uint64_t, 4> shape{1, 1, 1, 1};  // fastest dimension first
  uint64_t offset = 0;                        // bytes from the start of the data section
  uint64_t n_bytes = 0;
  uint64_t n_elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
};

class GgufFile {
 public:
  // Maps the file read-only and checks its whole header. EBADMSG: not a valid GGUF v3 file; the
  // message names the key or tensor and the offset. Errors of open(2) keep their code.
  static Result<GgufFile> open(const std::string& path);
  // The same over memory that outlives the object. `name` stands for the path in messages.
  static Result<GgufFile> from_memory(std::span<const std::byte> bytes, std::string name);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  const std::string& path() const;
  uint32_t version() const;
  uint64_t alignment() const;    // bytes
  uint64_t data_offset() const;  // bytes from the file's start
  uint64_t file_size() const;    // bytes
  std::span<const GgufKeyValue> metadata() const;
  std::span<const GgufTensor> tensors() const;

  const GgufValue* find(std::string_view key) const;           // null: absent
  const GgufTensor* find_tensor(std::string_view name) const;  // null: absent
  // The tensor's bytes in the mapping: tensor.n_bytes long, inside the file.
  std::span<const std::byte> data(const GgufTensor& tensor) const;
  // Reads some of those bytes, from `offset` of the tensor on, without the mapping: what is read
  // once is not worth mapping. ERANGE: outside the tensor; EFAULT: `to` is not there any more.
  Result<void> read(const GgufTensor& tensor, uint64_t offset, std::span<std::byte> to) const;
  // The whole file.
  std::span<const std::byte> bytes() const;

  // Typed access. ENOENT: absent; EBADMSG: another type, or out of range. Integers of any width
  // are converted when the value fits.
  Result<uint64_t> get_u64(std::string_view key) const;
  Result<double> get_f64(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::span<const std::string>> get_strings(std::string_view key) const;

 private:
  struct Impl;
  explicit GgufFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Writes a GGUF v3 file: metadata and tensor infos first, then the data in the same order. The file
// appears under its name only when finish() succeeds (temporary file in the same folder, fsync,
// rename); a writer that is destroyed before leaves nothing behind.
class GgufWriter {
 public:
  static Result<GgufWriter> create(const std::string& path, uint32_t alignment = 32);
  GgufWriter(GgufWriter&&) noexcept;
  GgufWriter& operator=(GgufWriter&&) noexcept;
  ~GgufWriter();

  // Metadata, before the first tensor's data. A key that was set before is replaced.
  void set(std::string key, GgufValue value);
  void set_u32(std::string key, uint32_t value);
  void set_f32(std::string key, float value);
  void set_bool(std::string key, bool value);
  void set_string(std::string key, std::string value);

  // Announces a tensor. EINVAL: name of 64 bytes or more or used twice, unknown type, bad shape.
  Result<void> add_tensor(std::string name, uint32_t type, std::span<const uint64_t> shape);
  // Appends bytes of the next announced tensor's data; pieces of any size, in announced order.
  Result<void> write(std::span<const std::byte> bytes);
  // Checks that every tensor is whole, syncs and renames.
  Result<void> finish();

 private:
  struct Impl;
  explicit GgufWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // SLUICE_GGUF_HPP
