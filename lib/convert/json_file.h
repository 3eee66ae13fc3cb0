// SPDX-License-Identifier: Apache-2.0
// JSON files of a model folder: parsed without exceptions, and members read by type and range with
// errors that name the file, the key and what was expected.
#ifndef SLUICE_CONVERT_JSON_FILE_H
#define SLUICE_CONVERT_JSON_FILE_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <sluice/result.hpp>

namespace sluice::hf {

using Json = nlohmann::json;

// An object of a JSON file. Copies share the parsed file.
class JsonObject {
 public:
  // EBADMSG: no JSON, or no object. `path` is for messages.
  static Result<JsonObject> parse(std::string_view text, std::string path);
  // Reads a file; errors of open(2) keep their code.
  static Result<JsonObject> open(const std::string& path);
  // The same, or an empty object where there is no such file.
  static Result<JsonObject> open_if_there(const std::string& path);

  const std::string& path() const { return path_; }
  const Json& json() const { return *json_; }
  // Null: no such member, or JSON null, which means the same.
  const Json* find(std::string_view key) const;

  // "PATH: key KEY is VALUE, expected WHAT" as EBADMSG.
  tl::unexpected<Error> bad(std::string_view key, std::string_view expected) const;
  // "PATH: key KEY is VALUE, expected WHAT" as ENOTSUP.
  tl::unexpected<Error> unsupported(std::string_view key, std::string_view expected) const;

  // Bounds are inclusive. ENOENT: no such member; EBADMSG: another type, or out of range.
  Result<uint32_t> number(std::string_view key, uint32_t least, uint32_t most) const;
  Result<uint32_t> number_or(std::string_view key, uint32_t least, uint32_t most,
                             uint32_t otherwise) const;
  Result<double> real(std::string_view key, double least, double most) const;
  Result<double> real_or(std::string_view key, double least, double most, double otherwise) const;
  Result<bool> flag_or(std::string_view key, bool otherwise) const;
  Result<std::string> text(std::string_view key) const;
  Result<std::string> text_or(std::string_view key, std::string_view otherwise) const;
  // A member that is an object, named KEY.MEMBER in messages; empty, where there is none.
  Result<std::optional<JsonObject>> object(std::string_view key) const;
  // The members of both; those of `over` count where both have one.
  JsonObject merged(const JsonObject& over) const;

 private:
  JsonObject(std::shared_ptr<const Json> owner, const Json* json, std::string path,
             std::string prefix)
      : owner_(std::move(owner)), json_(json), path_(std::move(path)), prefix_(std::move(prefix)) {}
  tl::unexpected<Error> complain(int code, std::string_view key, std::string_view expected) const;
  Result<const Json*> need(std::string_view key) const;

  std::shared_ptr<const Json> owner_;
  const Json* json_;
  std::string path_, prefix_;
};

// A value for a message: at most 60 bytes of it.
std::string shown(const Json& value);

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_JSON_FILE_H
