// SPDX-License-Identifier: Apache-2.0
// Which files of a folder hold the weights, by the names that transformers gives them.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "convert/json_file.h"
#include "convert/source.h"
#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

namespace fs = std::filesystem;

using Reader = Result<SourceTensors> (*)(std::span<const std::byte>, const std::string&);

struct Suffix {
  const char* text;
  Reader read;
};
constexpr Suffix kSuffixes[] = {
    {".safetensors", read_safetensors},
    {".bin", read_torch},
    {".pth", read_torch},
    {".pt", read_torch},
};

// In the order in which they count.
constexpr const char* kIndexes[] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};
constexpr const char* kFiles[] = {"model.safetensors", "pytorch_model.bin"};

const Suffix* find_suffix(std::string_view name) {
  for (const Suffix& suffix : kSuffixes) {
    if (name.ends_with(suffix.text)) return &suffix;
  }
  return nullptr;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A folder without the usual names may have one file of weights.
Result<std::string> only_file(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    // What Trainer leaves beside the weights.
    if (name == "training_args.bin" || name == "optimizer.pt" || name == "scheduler.pt") continue;
    if (find_suffix(name)) found.push_back(name);
  }
  if (error) return fail_errno(error.value(), folder, "read the folder");
  std::sort(found.begin(), found.end());
  if (found.empty()) {
    return fail(ENOENT, folder +
                            ": no weights, expected model.safetensors, pytorch_model.bin, an "
                            "index of several, or a .safetensors, .bin, .pth or .pt file");
  }
  if (found.size() > 1) {
    return fail(EINVAL,
                fmt::format("{}: {} files of weights ({}, {}, ...) and no index", folder,
                            found.size(), gguf::printable(found[0]), gguf::printable(found[1])));
  }
  return folder + "/" + found[0];
}

}  // namespace

// What the file holds, which stays mapped.
Result<SourceTensors> Checkpoint::add_file(const std::string& path) {
  auto map = map_file(path);
  if (!map) return tl::unexpected<Error>(map.error());
  maps_.push_back(std::move(*map));
  return find_suffix(path)->read(maps_.back().bytes(), path);
}

Result<void> Checkpoint::open_index(const std::string& folder, const std::string& index) {
  SLUICE_TRY(const JsonObject json, JsonObject::open(index));
  SLUICE_TRY(const auto map, json.object("weight_map"));
  if (!map) return json.bad("weight_map", "an object of tensor and file names");
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->json().items()) {
    const auto name = file.is_string() ? file.get<std::string>() : "";
    if (!find_suffix(name) || name.find('/') != name.npos) {
      return map->bad(tensor, "the name of a .safetensors, .bin, .pth or .pt file beside it");
    }
    files.insert(name);
  }
  for (const std::string& file : files) {
    const std::string path = folder + "/" + file;
    SLUICE_TRY(SourceTensors tensors, add_file(path));
    for (auto& [name, tensor] : tensors) {
      const Json* where = map->find(name);
      // A file may hold more than the index tells of: what is meant is what it tells.
      if (!where || where->get<std::string>() != file) continue;
      tensors_.emplace(name, std::move(tensor));
    }
  }
  for (const auto& [tensor, file] : map->json().items()) {
    if (tensors_.contains(tensor)) continue;
    return fail(ENOENT, fmt::format("{}/{}: no tensor '{}', which {} puts there", folder,
                                    file.get<std::string>(), gguf::printable(tensor), index));
  }
  return {};
}

Result<Checkpoint> Checkpoint::open(const std::string& folder) {
  Checkpoint out;
  for (size_t i = 0; i < std::size(kIndexes); ++i) {
    const std::string index = folder + "/" + kIndexes[i], file = folder + "/" + kFiles[i];
    if (exists(index)) {
      SLUICE_CHECK(out.open_index(folder, index));
      return out;
    }
    if (exists(file)) {
      SLUICE_TRY(out.tensors_, out.add_file(file));
      return out;
    }
  }
  SLUICE_TRY(const std::string file, only_file(folder));
  SLUICE_TRY(out.tensors_, out.add_file(file));
  return out;
}

}  // namespace sluice::hf
