// SPDX-License-Identifier: Apache-2.0
// The metadata types of GGUF in one table, and the few constants that reader and writer share.
#ifndef SLUICE_GGUF_TYPES_H
#define SLUICE_GGUF_TYPES_H

#include <cstddef>
#include <cstdint>

#include <sluice/gguf.hpp>

namespace sluice::gguf {

inline constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
inline constexpr uint32_t kVersion = 3;
inline constexpr uint32_t kDefaultAlignment = 32;
// Tensor data is read in place, so an alignment must suit every format; GGUF says a multiple of 8.
inline constexpr uint32_t kMinAlignment = 8;
inline constexpr uint32_t kMaxAlignment = 1u << 30;
inline constexpr size_t kMaxNameBytes = 63;
inline constexpr size_t kMaxKeyBytes = 65535;
inline constexpr uint32_t kMaxRank = 4;
inline constexpr const char* kAlignmentKey = "general.alignment";

// How a value is held in memory.
enum class Store : uint8_t { kUnsigned, kSigned, kFloat, kBool, kString, kArray };

struct ValueType {
  GgufType type;
  const char* name;
  Store store;
  uint32_t size;  // bytes in the file; of strings and arrays, the least
};

// Null: no such type.
const ValueType* find_value_type(uint32_t number);

// The next multiple of `alignment`, a power of two; false if there is none below 2^64.
inline bool align_up(uint64_t value, uint64_t alignment, uint64_t& ret) {
  const uint64_t mask = alignment - 1;
  if (value > UINT64_MAX - mask) return false;
  ret = (value + mask) & ~mask;
  return true;
}

inline bool is_alignment(uint64_t value) {
  return value >= kMinAlignment && value <= kMaxAlignment && (value & (value - 1)) == 0;
}

}  // namespace sluice::gguf

#endif  // SLUICE_GGUF_TYPES_H
