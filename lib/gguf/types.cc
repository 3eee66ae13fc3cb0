// SPDX-License-Identifier: Apache-2.0
// The table of metadata types, numbered as in the file.
#include "gguf/types.h"

namespace sluice {
namespace gguf {
namespace {

constexpr ValueType kValueTypes[] = {
    {GgufType::kU8, "u8", Store::kUnsigned, 1},
    {GgufType::kI8, "i8", Store::kSigned, 1},
    {GgufType::kU16, "u16", Store::kUnsigned, 2},
    {GgufType::kI16, "i16", Store::kSigned, 2},
    {GgufType::kU32, "u32", Store::kUnsigned, 4},
    {GgufType::kI32, "i32", Store::kSigned, 4},
    {GgufType::kF32, "f32", Store::kFloat, 4},
    {GgufType::kBool, "bool", Store::kBool, 1},
    {GgufType::kString, "string", Store::kString, 8},
    {GgufType::kArray, "array", Store::kArray, 12},
    {GgufType::kU64, "u64", Store::kUnsigned, 8},
    {GgufType::kI64, "i64", Store::kSigned, 8},
    {GgufType::kF64, "f64", Store::kFloat, 8},
};

}  // namespace

const ValueType* find_value_type(uint32_t number) {
  return number < std::size(kValueTypes) ? &kValueTypes[number] : nullptr;
}

}  // namespace gguf

const char* gguf_type_name(GgufType type) {
  const gguf::ValueType* entry = gguf::find_value_type(static_cast<uint32_t>(type));
  return entry ? entry->name : "unknown";
}

size_t GgufArray::size() const {
  return std::visit([](const auto& values) { return values.size(); }, elements);
}

}  // namespace sluice
