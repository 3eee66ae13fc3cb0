// SPDX-License-Identifier: Apache-2.0
// sluice inspect: a GGUF file's metadata and tensors, for people and for scripts.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/commands.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const GgufArray& array) {
  Json out = Json::array();
  std::visit(
      [&](const auto& elements) {
        for (const auto& e : elements) {
          if constexpr (std::is_same_v<std::decay_t<decltype(e)>,
                                       std::shared_ptr<const GgufArray>>) {
            out.push_back(to_json(*e));
          } else if (array.element_type == GgufType::kBool) {
            if constexpr (std::is_integral_v<std::decay_t<decltype(e)>>) out.push_back(e != 0);
          } else {
            out.push_back(e);
          }
        }
      },
      array.elements);
  return out;
}

Json to_json(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::shared_ptr<const GgufArray>>) {
          return to_json(*v);
        } else {
          return v;
        }
      },
      value.data);
}

std::string type_of(const GgufValue& value) {
  if (const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value.data)) {
    return fmt::format("{}[{}]", gguf_type_name((*array)->element_type), (*array)->size());
  }
  return gguf_type_name(value.type);
}

std::string shape_of(const GgufTensor& t) {
  std::string out;
  for (uint32_t i = 0; i < t.rank; ++i) out += fmt::format("{}{}", i ? " x " : "", t.shape[i]);
  return out;
}

// One line, cut where it would get long.
std::string shorten(const Json& value) {
  constexpr size_t kWidth = 60;
  std::string text;
  if (value.is_array()) {
    text = "[";
    for (size_t i = 0; i < value.size() && text.size() < kWidth; ++i) {
      text += (i ? ", " : "") + value[i].dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    text += "]";
  } else {
    text = value.is_string() ? value.get<std::string>() : value.dump();
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (text.size() <= kWidth) return text;
  size_t cut = kWidth - 3;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return text.substr(0, cut) + "...";
}

std::string as_table(const GgufFile& file) {
  std::string out = fmt::format("{}: GGUF v{}, {}, alignment {}, data at byte {}\n\n", file.path(),
                                file.version(), human_bytes(file.file_size()), file.alignment(),
                                file.data_offset());
  for (const GgufKeyValue& kv : file.metadata()) {
    out += fmt::format("{:<44} {:<14} {}\n", kv.key, type_of(kv.value), shorten(to_json(kv.value)));
  }
  uint64_t n_elements = 0, n_bytes = 0;
  out += fmt::format("\n{:<32} {:<6} {:>20} {:>12} {:>14}\n", "tensor", "type", "shape", "bytes",
                     "offset");
  for (const GgufTensor& t : file.tensors()) {
    out += fmt::format("{:<32} {:<6} {:>20} {:>12} {:>14}\n", t.name, t.type_name, shape_of(t),
                       t.n_bytes, t.offset);
    n_elements += t.n_elements();
    n_bytes += t.n_bytes;
  }
  return out + fmt::format(
                   "\n{} tensors, {} elements, {} ({:.2f} bits each)\n", file.tensors().size(),
                   n_elements, human_bytes(n_bytes),
                   n_elements ? 8.0 * static_cast<double>(n_bytes) / static_cast<double>(n_elements)
                              : 0.0);
}

std::string as_json(const GgufFile& file) {
  Json out = {{"path", file.path()},
              {"version", file.version()},
              {"file_size", file.file_size()},
              {"alignment", file.alignment()},
              {"data_offset", file.data_offset()},
              {"metadata", Json::object()},
              {"tensors", Json::array()}};
  for (const GgufKeyValue& kv : file.metadata()) {
    out["metadata"][kv.key] = {{"type", type_of(kv.value)}, {"value", to_json(kv.value)}};
  }
  for (const GgufTensor& t : file.tensors()) {
    out["tensors"].push_back(
        {{"name", t.name},
         {"type", t.type_name},
         {"shape", std::vector<uint64_t>(t.shape.begin(), t.shape.begin() + t.rank)},
         {"offset", t.offset},
         {"bytes", t.n_bytes}});
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Action add_inspect(CLI::App& app) {
  struct Flags {
    std::string file;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  app.add_option("file", flags->file, "the GGUF file")->required()->type_name("FILE");
  app.add_flag("--json", flags->json, "print everything as one JSON object");
  return [flags]() -> Result<int> {
    SLUICE_TRY(const GgufFile file, GgufFile::open(flags->file));
    write_out(flags->json ? as_json(file) : as_table(file));
    return kOk;
  };
}

}  // namespace sluice::cli
