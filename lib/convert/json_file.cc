// SPDX-License-Identifier: Apache-2.0
#include "convert/json_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <memory>

#include "core/file.h"
#include "gguf/cursor.h"

namespace sluice::hf {

std::string shown(const Json& value) {
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (value.is_object()) return "an object";
  return gguf::printable(value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
}

Result<JsonObject> JsonObject::parse(std::string_view text, std::string path) {
  auto json = std::make_shared<Json>(Json::parse(text, nullptr, false));
  if (json->is_discarded()) return fail(EBADMSG, path + ": not valid JSON");
  if (!json->is_object()) {
    return fail(EBADMSG, fmt::format("{}: it is {}, expected an object", path, shown(*json)));
  }
  const Json* root = json.get();
  return JsonObject(std::move(json), root, std::move(path), "");
}

Result<JsonObject> JsonObject::open(const std::string& path) {
  SLUICE_TRY(const MemoryMap map, map_file(path));
  return parse({reinterpret_cast<const char*>(map.bytes().data()), map.size()}, path);
}

Result<JsonObject> JsonObject::open_if_there(const std::string& path) {
  auto object = open(path);
  if (!object && object.error().code == ENOENT) return parse("{}", path);
  return object;
}

const Json* JsonObject::find(std::string_view key) const {
  const auto it = json_->find(key);
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

tl::unexpected<Error> JsonObject::complain(int code, std::string_view key,
                                           std::string_view expected) const {
  const Json* value = find(key);
  return fail(code, fmt::format("{}: key {}{} is {}, expected {}", path_, prefix_, key,
                                value ? shown(*value) : "absent", expected));
}

tl::unexpected<Error> JsonObject::bad(std::string_view key, std::string_view expected) const {
  return complain(EBADMSG, key, expected);
}

tl::unexpected<Error> JsonObject::unsupported(std::string_view key,
                                              std::string_view expected) const {
  return complain(ENOTSUP, key, expected);
}

Result<const Json*> JsonObject::need(std::string_view key) const {
  if (const Json* value = find(key)) return value;
  return fail(ENOENT, fmt::format("{}: no key {}{}", path_, prefix_, key));
}

Result<uint32_t> JsonObject::number(std::string_view key, uint32_t least, uint32_t most) const {
  SLUICE_TRY(const Json* value, need(key));
  // Only what is written as a natural number: 3.0 and -1 are none.
  const uint64_t n = value->is_number_unsigned() ? value->get<uint64_t>() : UINT64_MAX;
  if (n < least || n > most) return bad(key, fmt::format("a whole number {} to {}", least, most));
  return static_cast<uint32_t>(n);
}

Result<uint32_t> JsonObject::number_or(std::string_view key, uint32_t least, uint32_t most,
                                       uint32_t otherwise) const {
  return find(key) ? number(key, least, most) : Result<uint32_t>(otherwise);
}

Result<double> JsonObject::real(std::string_view key, double least, double most) const {
  SLUICE_TRY(const Json* value, need(key));
  const double real = value->is_number() ? value->get<double>() : 0;
  if (!value->is_number() || !(real >= least && real <= most)) {
    return bad(key, fmt::format("a number {} to {}", least, most));
  }
  return real;
}

Result<double> JsonObject::real_or(std::string_view key, double least, double most,
                                   double otherwise) const {
  return find(key) ? real(key, least, most) : Result<double>(otherwise);
}

Result<bool> JsonObject::flag_or(std::string_view key, bool otherwise) const {
  const Json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) return bad(key, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonObject::text(std::string_view key) const {
  SLUICE_TRY(const Json* value, need(key));
  if (!value->is_string()) return bad(key, "a string");
  return value->get<std::string>();
}

Result<std::string> JsonObject::text_or(std::string_view key, std::string_view otherwise) const {
  return find(key) ? text(key) : Result<std::string>(otherwise);
}

Result<std::optional<JsonObject>> JsonObject::object(std::string_view key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_object()) return bad(key, "an object");
  return JsonObject(owner_, value, path_, fmt::format("{}{}.", prefix_, key));
}

JsonObject JsonObject::merged(const JsonObject& over) const {
  auto both = std::make_shared<Json>(*json_);
  both->update(*over.json_);
  const Json* root = both.get();
  return JsonObject(std::move(both), root, path_, prefix_);
}

}  // namespace sluice::hf
