// SPDX-License-Identifier: Apache-2.0
// Mutates the files of model folders and hands them to what parses them: safetensors headers,
// zip directories, pickles, SentencePiece models, tokenizer.json, and whole folders. Everything
// must be read or give an error; a sanitizer report, a signal or a hang ends the program and names
// the file. File N of a seed is always the same: --seed S --file N makes it again.
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <sluice/convert.hpp>

#include "convert/json_file.h"
#include "convert/pickle.h"
#include "convert/source.h"
#include "convert/vocabulary.h"
#include "tests/unit/model_files.h"

using namespace sluice;
using namespace sluice::test;

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kHangSeconds = 30;  // for one file
constexpr uint32_t kVocabulary = 300;

// What the reports of a crash or a hang name.
uint64_t current_seed, current_file;
// What is read goes here, so that no compiler drops the reading.
volatile uint64_t sink;

void name_file() {
  char text[128];
  const int n = std::snprintf(
      text, sizeof(text), "convert-fuzz: this was --seed %llu --file %llu\n",
      static_cast<unsigned long long>(current_seed), static_cast<unsigned long long>(current_file));
  if (write(STDERR_FILENO, text, static_cast<size_t>(n)) < 0) _exit(1);
}

void on_alarm(int) {
  constexpr std::string_view kText = "convert-fuzz: hangs\n";
  if (write(STDERR_FILENO, kText.data(), kText.size()) < 0) _exit(1);
  name_file();
  _exit(1);
}

// --- a folder -----------------------------------------------------------------------------------

std::string config() {
  return R"({"architectures":["LlamaForCausalLM"],"num_hidden_layers":1,"hidden_size":4,)"
         R"("intermediate_size":4,"num_attention_heads":2,"num_key_value_heads":1,)"
         R"("max_position_embeddings":64,"vocab_size":6,"rms_norm_eps":1e-5,"tie_word_embeddings":true,)"
         R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
         R"("high_freq_factor":4.0,"original_max_position_embeddings":32},"rope_theta":10000.0})";
}

// Weights that fit the config.
std::string weights() {
  const std::string layer = "model.layers.0.";
  const std::pair<std::string, std::vector<int>> shapes[] = {
      {"model.embed_tokens", {6, 4}},       {"model.norm", {4}},
      {layer + "input_layernorm", {4}},     {layer + "post_attention_layernorm", {4}},
      {layer + "self_attn.q_proj", {4, 4}}, {layer + "self_attn.k_proj", {2, 4}},
      {layer + "self_attn.v_proj", {2, 4}}, {layer + "self_attn.o_proj", {4, 4}},
      {layer + "mlp.gate_proj", {4, 4}},    {layer + "mlp.up_proj", {4, 4}},
      {layer + "mlp.down_proj", {4, 4}},
  };
  std::string header;
  int at = 0;
  for (const auto& [name, shape] : shapes) {
    const int n = 2 * shape[0] * (shape.size() > 1 ? shape[1] : 1);
    header += (header.empty() ? "{\"" : ",\"") + name + R"(.weight":{"dtype":"F16","shape":[)" +
              std::to_string(shape[0]) +
              (shape.size() > 1 ? "," + std::to_string(shape[1]) : std::string()) +
              R"(],"data_offsets":[)" + std::to_string(at) + "," + std::to_string(at + n) + "]}";
    at += n;
  }
  return safetensors_of(header + "}", std::string(static_cast<size_t>(at), '\x38'));
}

// --- what is tried -------------------------------------------------------------------------------

std::span<const std::byte> bytes_of(const std::string& file) {
  return {reinterpret_cast<const std::byte*>(file.data()), file.size()};
}

// Reads every byte that a tensor claims to have.
bool touch(const Result<hf::SourceTensors>& tensors) {
  unsigned sum = 0;
  for (size_t i = 0; tensors && i < 1; ++i) {
    for (const auto& [name, tensor] : *tensors) {
      for (const std::byte byte : tensor.data) sum += static_cast<unsigned>(byte);
    }
  }
  sink = sink + sum;
  return tensors.has_value();
}

const std::string kName = "fuzz";

bool try_safetensors(const std::string& file) {
  return touch(hf::read_safetensors(bytes_of(file), kName));
}
bool try_torch(const std::string& file) { return touch(hf::read_torch(bytes_of(file), kName)); }
bool try_pickle(const std::string& file) {
  if (!hf::read_state_dict(bytes_of(file), kName)) return false;
  return touch(hf::read_torch(
      bytes_of(zip_of({{"m/data.pkl", file}, {"m/data/0", std::string(32, 'x')}}, false)), kName));
}
bool try_pieces(const std::string& file) {
  return hf::read_sentencepiece(bytes_of(file), kName, kVocabulary).has_value();
}
bool try_tokenizer(const std::string& file) {
  const auto json = hf::JsonObject::parse(file, kName);
  return json && hf::read_tokenizer_json(*json, kVocabulary).has_value();
}

std::string scratch;  // a folder

void write_file(const std::string& name, const std::string& bytes) {
  std::ofstream out(scratch + "/" + name, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A folder of which one file is not what it was.
bool try_folder(const char* name, const std::string& file) {
  write_file("config.json", config());
  write_file("tokenizer.json", byte_level());
  write_file("model.safetensors", weights());
  write_file(name, file);
  ConvertOptions options;
  options.n_threads = 1;
  return convert(scratch, scratch + "/out.gguf", options).has_value();
}
bool try_config(const std::string& file) { return try_folder("config.json", file); }
bool try_weights(const std::string& file) { return try_folder("model.safetensors", file); }

struct Target {
  const char* name;
  std::string (*make)();
  bool (*read)(const std::string& file);  // whether it was well-formed
  uint64_t files = 0, read_well = 0;
};

Target targets[] = {
    {"safetensors", safetensors, try_safetensors},
    {"zip", [] { return torch_file(false); }, try_torch},
    {"zip64", [] { return torch_file(true); }, try_torch},
    {"pickle", state_dict, try_pickle},
    {"sentencepiece", sentencepiece, try_pieces},
    {"byte-level", byte_level, try_tokenizer},
    {"byte-fallback", byte_fallback, try_tokenizer},
    {"config", config, try_config},
    {"weights", weights, try_weights},
};

// --- mutation ------------------------------------------------------------------------------------

// Parts of JSON and of pickles, so that what is mutated is often whole.
const std::string kParts[] = {"null",        "-1", "0",    "1e999", "18446744073709551615",
                              "[]",          "{}", "\"\"", "true",  "[[",
                              "\"\\ud800\"", "(",  "h\1",  "q\1",   "\x85",
                              "}",           "s",  "K\xff"};

std::string mutate(std::string file, const std::string& other, std::mt19937_64& random) {
  const auto below = [&](uint64_t n) { return random() % n; };
  for (uint64_t n = 1 + below(4); n > 0 && !file.empty(); --n) {
    const size_t at = below(file.size());
    switch (below(8)) {
      case 0:
        file.resize(at);
        break;
      case 1:
        file[at] = static_cast<char>(file[at] ^ 1 << below(8));
        break;
      case 2: {
        constexpr uint64_t kValues[] = {0,          1,         255,        65535,         INT32_MAX,
                                        UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
        const uint64_t value =
            below(2) ? kValues[below(std::size(kValues))] : random() >> below(64);
        const size_t size = size_t{1} << below(4);
        std::memcpy(file.data() + at, &value, std::min(size, file.size() - at));
        break;
      }
      case 3:
        file.erase(at, 1 + below(16));
        break;
      case 4:
        file.insert(at, file.substr(below(file.size()), 1 + below(64)));
        break;
      case 5:
        file.insert(at, other.substr(below(other.size()), 1 + below(64)));
        break;
      case 6:
        file.insert(at, kParts[below(std::size(kParts))]);
        break;
      default: {
        // A number or a word of JSON becomes another.
        const size_t begin = std::min(file.find_first_of("0123456789", at), file.size());
        const size_t end = std::min(file.find_first_not_of("0123456789.e-", begin), file.size());
        if (begin < end) file.replace(begin, end - begin, kParts[below(6)]);
      }
    }
  }
  file.shrink_to_fit();
  return file;
}

// --- the run -------------------------------------------------------------------------------------

struct Options {
  uint64_t seed = 1, seconds = 10, min_files = 0;
  std::optional<uint64_t> file;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], text = argv[i + 1];
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return false;
    if (name == "--seed") {
      options.seed = value;
    } else if (name == "--seconds") {
      options.seconds = value;
    } else if (name == "--min-files") {
      options.min_files = value;
    } else if (name == "--file") {
      options.file = value;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

// Every target must read what it is mutated from, else nothing is tried.
bool check_targets() {
  bool good = true;
  for (const Target& target : targets) {
    if (target.read(target.make())) continue;
    std::fprintf(stderr, "convert-fuzz: the valid %s is refused\n", target.name);
    good = false;
  }
  return good;
}

uint64_t run(const Options& options) {
  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  uint64_t n_files = 0;
  current_seed = options.seed;
  current_file = options.file.value_or(0);
  do {
    alarm(kHangSeconds);
    std::mt19937_64 random(options.seed * 1000003 + current_file);
    Target& target = targets[random() % std::size(targets)];
    const std::string other = targets[random() % std::size(targets)].make();
    target.read_well += target.read(mutate(target.make(), other, random));
    ++target.files;
    ++n_files;
    ++current_file;
  } while (!options.file && Clock::now() < end);
  alarm(0);
  return n_files;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: convert-fuzz [--seed S] [--seconds N] [--min-files N] [--file N]\n", stderr);
    return 2;
  }
  __sanitizer_set_death_callback(name_file);
  signal(SIGALRM, on_alarm);
  scratch = (std::filesystem::temp_directory_path() / "sluice-fuzz-XXXXXX").string();
  if (!mkdtemp(scratch.data())) {
    std::perror("convert-fuzz: temporary folder");
    return 1;
  }
  const bool good = check_targets();
  const uint64_t n_files = good ? run(options) : 0;
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  std::printf("convert-fuzz: seed %llu: %llu files tried; of them well-formed:",
              static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(n_files));
  for (const Target& target : targets) {
    std::printf(" %s %llu of %llu", target.name, static_cast<unsigned long long>(target.read_well),
                static_cast<unsigned long long>(target.files));
  }
  std::printf("\n");
  if (!good) return 1;
  if (!options.file && n_files < options.min_files) {
    std::fprintf(stderr, "convert-fuzz: expected at least %llu files\n",
                 static_cast<unsigned long long>(options.min_files));
    return 1;
  }
  return 0;
}
