// SPDX-License-Identifier: Apache-2.0
// Small valid files of model folders, byte by byte: what unit tests spoil in one place and the
// fuzzer in many.
#ifndef SLUICE_TESTS_UNIT_MODEL_FILES_H
#define SLUICE_TESTS_UNIT_MODEL_FILES_H

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice::test {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline std::string safetensors_of(const std::string& header, const std::string& data) {
  std::string out;
  put<uint64_t>(out, header.size());
  return out + header + data;
}

constexpr const char* kSafetensorsHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],)"
    R"("data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})";

inline std::string safetensors() {
  return safetensors_of(kSafetensorsHeader, std::string(24, 'x') + std::string(8, 'y'));
}

// A text as a pickle has it.
inline std::string pickled(const std::string& value) {
  std::string out = "X";
  put<uint32_t>(out, static_cast<uint32_t>(value.size()));
  return out + value;
}

// A state dict of two tensors that share a storage, as torch.save pickles it.
inline std::string state_dict() {
  const auto tensor = [](int offset, const std::string& sizes, const std::string& strides) {
    return "ctorch._utils\n_rebuild_tensor_v2\n((" + pickled("storage") +
           "ctorch\nFloatStorage\nq\1" + pickled("0") + pickled("cpu") + "K\x08tQK" +
           static_cast<char>(offset) + sizes + strides +
           "\x89"
           "ccollections\nOrderedDict\n)RtR";
  };
  return "\x80\x02"
         "ccollections\nOrderedDict\nq\2)R(" +
         pickled("a") + tensor(0, "K\2K\3\x86", "K\3K\1\x86") + pickled("b") +
         tensor(6, "K\2\x85", "K\1\x85") + "u}(" + pickled("_metadata") + "h\2)Rub.";
}

// Entries stored one after the other, then their directory.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& entries,
                          bool zip64) {
  std::string out, directory;
  for (const auto& [name, data] : entries) {
    const auto offset = static_cast<uint32_t>(out.size()), n = static_cast<uint32_t>(data.size());
    const auto common = [&](std::string& to, uint32_t size) {
      put<uint16_t>(to, 20), put<uint32_t>(to, 0), put<uint32_t>(to, 0), put<uint32_t>(to, 0);
      put(to, size), put(to, size);
      put(to, static_cast<uint16_t>(name.size()));
    };
    put<uint32_t>(out, 0x04034b50), common(out, n), put<uint16_t>(out, 0);
    out += name + data;
    put<uint32_t>(directory, 0x02014b50), put<uint16_t>(directory, 20);
    common(directory, zip64 ? UINT32_MAX : n);
    put<uint16_t>(directory, zip64 ? 28 : 0);
    directory.append(10, '\0');
    put(directory, zip64 ? UINT32_MAX : offset);
    directory += name;
    if (!zip64) continue;
    put<uint16_t>(directory, 1), put<uint16_t>(directory, 24);
    put<uint64_t>(directory, n), put<uint64_t>(directory, n), put<uint64_t>(directory, offset);
  }
  const uint64_t at = out.size(), end = at + directory.size();
  out += directory;
  if (zip64) {
    put<uint32_t>(out, 0x06064b50), put<uint64_t>(out, 44), put<uint32_t>(out, 0);
    put<uint64_t>(out, 0), put<uint64_t>(out, entries.size()), put<uint64_t>(out, entries.size());
    put<uint64_t>(out, directory.size()), put(out, at);
    put<uint32_t>(out, 0x07064b50), put<uint32_t>(out, 0), put(out, end), put<uint32_t>(out, 1);
  }
  put<uint32_t>(out, 0x06054b50), put<uint32_t>(out, 0);
  const auto n = static_cast<uint16_t>(zip64 ? UINT16_MAX : entries.size());
  put(out, n), put(out, n);
  put(out, static_cast<uint32_t>(directory.size()));
  put(out, zip64 ? UINT32_MAX : static_cast<uint32_t>(at)), put<uint16_t>(out, 0);
  return out;
}

inline std::string torch_file(bool zip64) {
  return zip_of(
      {{"m/data.pkl", state_dict()}, {"m/byteorder", "little"}, {"m/data/0", std::string(32, 'x')}},
      zip64);
}

inline std::string sentencepiece() {
  const auto field = [](int number, const std::string& bytes) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
  };
  std::string out;
  const std::pair<std::string, int> pieces[] = {{"<unk>", 2}, {"<s>", 3},          {"<0x41>", 6},
                                                {"a", 1},     {"\xe2\x96\x81", 1}, {"aa", 4}};
  for (const auto& [piece, type] : pieces) {
    std::string body = field(1, piece) + "\x15";
    put(body, -1.5f);
    out += field(1, body + "\x18" + static_cast<char>(type));
  }
  return out + field(2, "\x18\x02") + field(3, std::string("\x18\x01"));
}

inline std::string byte_level() {
  return R"({"added_tokens":[{"id":5,"content":"<|x|>","special":true}],"normalizer":{"type":"NFC"},)"
         R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
         R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},"post_processor":)"
         R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{}}]},)"
         R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["a","b"]]}})";
}

inline std::string byte_fallback() {
  return "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
         "\"\xe2\x96\x81\"},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"split\":false},"
         R"("model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,)"
         R"("<0x41>":1,"a":2,"b":3,"ab":4},"merges":[["a","b"]]}})";
}

}  // namespace sluice::test

#endif  // SLUICE_TESTS_UNIT_MODEL_FILES_H
