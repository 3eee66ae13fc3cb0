// SPDX-License-Identifier: Apache-2.0
// Mutates valid GGUF files and hands them to the reader, the tokenizer and the engine. Every file
// must load or give an error: a sanitizer report, a signal or a hang ends the program and names
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
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <sluice/engine.hpp>
#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>
#include <sluice/text.hpp>

#include "../unit/gguf_builder.h"

using namespace sluice;

namespace {

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

constexpr unsigned kHangSeconds = 30;  // for one file

struct Options {
  uint64_t seed = 1;
  uint64_t seconds = 10;
  uint64_t min_files = 0;
  std::optional<uint64_t> file;
};

struct Seed {
  Bytes bytes;
  size_t header;               // bytes in front of the tensor data
  std::vector<size_t> values;  // where numbers of the metadata stand
};

struct Counts {
  uint64_t files = 0, errors = 0, opened = 0, tokenizers = 0, models = 0, tokens = 0;
  double slowest = 0;  // seconds
  uint64_t slowest_file = 0;
};

// What the reports of a crash or a hang name.
uint64_t current_seed, current_file;
// What is read goes here, so that no compiler drops the reading.
volatile uint64_t sink;

void name_file() {
  char text[128];
  const int n = std::snprintf(text, sizeof(text), "gguf-fuzz: this was --seed %llu --file %llu\n",
                              static_cast<unsigned long long>(current_seed),
                              static_cast<unsigned long long>(current_file));
  if (write(STDERR_FILENO, text, static_cast<size_t>(n)) < 0) _exit(1);
}

void on_alarm(int) {
  constexpr std::string_view kText = "gguf-fuzz: hangs\n";
  if (write(STDERR_FILENO, kText.data(), kText.size()) < 0) _exit(1);
  name_file();
  _exit(1);
}

// A small file with every metadata type, nesting and several tensors.
Seed make_every_type() {
  test::GgufBuilder b;
  b.header(2, 9).key("general.alignment", GgufType::kU32).u32(32);
  b.key("general.architecture", GgufType::kString).text("llama");
  b.key("a.u8", GgufType::kU8).u8(7).key("a.i64", GgufType::kI64).u64(UINT64_MAX);
  b.key("a.f32", GgufType::kF32).put(1.5f).key("a.bool", GgufType::kBool).u8(1);
  b.key("a.bytes", GgufType::kArray).array(GgufType::kU8, 5).zeros(5);
  b.key("a.names", GgufType::kArray).array(GgufType::kString, 3).text("x").text("").text("yz");
  b.key("a.deep", GgufType::kArray).array(GgufType::kArray, 2);
  b.array(GgufType::kF64, 1).put(2.0).array(GgufType::kBool, 2).u8(0).u8(1);
  b.tensor("one", {64, 3}, 8, 0).tensor("two", {5, 4, 3, 2}, 0, 224).pad();
  const size_t header = b.size();
  b.zeros(224 + 480);
  return {b.bytes(), header, {}};
}

// Where the numbers of the metadata stand, found by their keys.
std::vector<size_t> find_values(const GgufFile& file) {
  const auto* begin = reinterpret_cast<const char*>(file.bytes().data());
  const std::string_view text(begin, file.data_offset());
  std::vector<size_t> values;
  for (const GgufKeyValue& entry : file.metadata()) {
    const size_t at = text.find(entry.key);
    const bool number = entry.value.type < GgufType::kString || entry.value.type > GgufType::kArray;
    if (number && at != std::string_view::npos) values.push_back(at + entry.key.size() + 4);
  }
  return values;
}

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

std::vector<Seed> make_seeds(const std::string& folder) {
  std::vector<Seed> seeds{make_every_type()};
  // Of every architecture, and every scaling of positions.
  const SynthOptions kinds[] = {
      {"tiny", "llama", "Q8_0", "none"},    {"tiny", "llama", "F16", "none"},
      {"tiny", "llama", "F32", "linear"},   {"tiny", "qwen2", "F16", "none"},
      {"tiny", "qwen3", "F16", "yarn"},     {"tiny", "phi3", "F16", "longrope"},
      {"tiny", "gemma", "F16", "none"},     {"tiny", "gemma2", "F16", "none"},
      {"tiny", "gemma3", "Q8_0", "linear"},
  };
  for (const SynthOptions& kind : kinds) {
    const std::string path = folder + "/seed";
    if (!synthesize(kind, path)) continue;
    const auto file = GgufFile::open(path);
    if (!file) continue;
    seeds.push_back(
        {read_file(path), static_cast<size_t>(file->data_offset()), find_values(*file)});
  }
  return seeds;
}

class Mutator {
 public:
  Mutator(const std::vector<Seed>& seeds, uint64_t random_seed)
      : seeds_(seeds), random_(random_seed) {}

  Bytes make() {
    // Half of the files are the small one, which is quick and dense.
    const Seed& seed = below(2) ? seeds_[0] : seeds_[below(seeds_.size())];
    bytes_ = seed.bytes;
    header_ = seed.header;
    // Often values alone, so that the file stays whole and its contents are hostile.
    const bool values = !seed.values.empty() && below(2);
    if (values) {
      do {
        store(seed.values[below(seed.values.size())], interesting(), 4);
      } while (below(3) == 0);
    }
    if (!values) mutate();
    while (below(2) && !bytes_.empty()) mutate();
    bytes_.shrink_to_fit();  // so that the first byte behind the end is poisoned
    return std::move(bytes_);
  }

 private:
  uint64_t below(uint64_t n) { return random_() % n; }

  // Mostly within the header: tensor data holds no structure.
  size_t position() {
    const size_t most = below(10) ? std::min(header_ + 64, bytes_.size()) : bytes_.size();
    return below(most);
  }

  uint64_t interesting() {
    constexpr uint64_t kValues[] = {0,
                                    1,
                                    2,
                                    3,
                                    7,
                                    8,
                                    12,
                                    13,
                                    31,
                                    32,
                                    33,
                                    63,
                                    64,
                                    65,
                                    255,
                                    256,
                                    65535,
                                    65536,
                                    INT32_MAX,
                                    uint64_t{1} << 31,
                                    UINT32_MAX,
                                    uint64_t{1} << 32,
                                    uint64_t{1} << 61,
                                    INT64_MAX,
                                    uint64_t{1} << 63,
                                    UINT64_MAX - 31,
                                    UINT64_MAX};
    return below(4) ? kValues[below(std::size(kValues))] : random_() >> below(64);
  }

  void store(size_t at, uint64_t value, size_t size) {
    std::memcpy(bytes_.data() + at, &value, std::min(size, bytes_.size() - at));
  }

  // Changes a u64 that looks like a length or a count.
  void edit_length() {
    for (int attempt = 0; attempt < 200; ++attempt) {
      const size_t at = position();
      uint64_t value = 0;
      if (at + sizeof(value) > bytes_.size()) continue;
      std::memcpy(&value, bytes_.data() + at, sizeof(value));
      if (value == 0 || value > 100000) continue;
      const uint64_t changed[] = {value - 1,   value + 1, value * 2,
                                  value << 32, ~value,    interesting()};
      store(at, changed[below(std::size(changed))], sizeof(value));
      return;
    }
  }

  void splice() {
    const Bytes& other = seeds_[below(seeds_.size())].bytes;
    const size_t from = below(std::min<size_t>(other.size(), 16384));
    const size_t n = std::min<size_t>(1 + below(256), other.size() - from);
    const auto begin = other.begin() + static_cast<ptrdiff_t>(from);
    const size_t at = position();
    if (below(2)) {
      bytes_.insert(bytes_.begin() + static_cast<ptrdiff_t>(at), begin,
                    begin + static_cast<ptrdiff_t>(n));
    } else {
      std::copy_n(begin, std::min(n, bytes_.size() - at),
                  bytes_.begin() + static_cast<ptrdiff_t>(at));
    }
  }

  void mutate() {
    switch (below(7)) {
      case 0:
        bytes_.resize(below(4) ? position() : below(bytes_.size()));
        break;
      case 1:
        for (uint64_t n = 1 + below(8); n > 0; --n) {
          bytes_[position()] ^= static_cast<std::byte>(1 << below(8));
        }
        break;
      case 2:
        store(position(), interesting(), 4);
        break;
      case 3:
        store(position(), interesting(), 8);
        break;
      case 4:
        splice();
        break;
      case 5: {
        const size_t at = position();
        const size_t n = std::min<size_t>(1 + below(64), bytes_.size() - at);
        const auto begin = bytes_.begin() + static_cast<ptrdiff_t>(at);
        bytes_.erase(begin, begin + static_cast<ptrdiff_t>(n));
        break;
      }
      default:
        edit_length();
    }
  }

  const std::vector<Seed>& seeds_;
  std::mt19937_64 random_;
  Bytes bytes_;
  size_t header_ = 0;
};

// Touches everything that an open file offers.
void walk(const GgufFile& file) {
  uint64_t sum = 0;
  for (const GgufKeyValue& entry : file.metadata()) {
    sum += file.find(entry.key) == &entry.value;
    sum += file.get_u64(entry.key).value_or(0);
    sum += file.get_f64(entry.key).has_value() + file.get_bool(entry.key).has_value();
    if (const auto text = file.get_string(entry.key)) sum += text->size();
    if (const auto texts = file.get_strings(entry.key)) {
      for (const std::string& text : *texts) sum += text.size();
    }
  }
  for (const GgufTensor& tensor : file.tensors()) {
    sum += file.find_tensor(tensor.name) == &tensor;
    for (const std::byte byte : file.data(tensor)) sum += static_cast<uint64_t>(byte);
  }
  sink = sink + sum;
}

void use_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer) {
  const std::string text = "Once upon a time, na\xc3\xafve \xf0\x9f\x98\x80 \xff  <s>";
  const auto ids = tokenizer->encode(text, true);
  sink = sink + tokenizer->decode(ids).has_value();
  Detokenizer detokenizer(tokenizer, true);
  const auto n = static_cast<int32_t>(std::min<uint32_t>(tokenizer->n_vocab(), 1000));
  for (int32_t id = -1; id <= n; ++id) {
    sink = sink + detokenizer.push(id).size() + tokenizer->is_end(id);
  }
  sink = sink + detokenizer.flush().size();
}

// Loads the file as a model and generates a token.
void use_model(const std::string& path, Counts& counts) {
  const auto model = Model::load(path);
  if (!model) return;
  ++counts.models;
  EngineOptions options;
  options.n_threads = 1;
  options.kv_tokens = 64;
  options.max_batch_tokens = 16;
  const auto engine = Engine::create(*model, options);
  if (!engine) return;
  auto sequence = (*engine)->new_sequence();
  if (!sequence) return;
  const std::vector<int32_t> prompt = {1, 0};
  GenerateParams params;
  params.n_predict = 1;
  const auto generation = generate(**engine, *sequence, prompt, params);
  if (generation) counts.tokens += generation->ids.size();
}

void try_file(const Bytes& bytes, const std::string& path, Counts& counts) {
  const auto file = GgufFile::from_memory(bytes, "fuzz.gguf");
  if (!file) {
    ++counts.errors;
    return;
  }
  ++counts.opened;
  walk(*file);
  if (const auto tokenizer = Tokenizer::from_gguf(*file)) {
    ++counts.tokenizers;
    use_tokenizer(*tokenizer);
  }
  // Only where a model may be in it: writing the file costs more than all the rest.
  if (!file->find("tokenizer.ggml.model")) return;
  {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  use_model(path, counts);
}

bool number(const char* text, uint64_t& ret) {
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, ret);
  return error == std::errc() && at == end;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    uint64_t value = 0;
    if (!number(argv[i + 1], value)) return false;
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

void run(const Options& options, const std::string& folder, Counts& counts) {
  const std::vector<Seed> seeds = make_seeds(folder);
  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  current_seed = options.seed;
  current_file = options.file.value_or(0);
  do {
    const auto start = Clock::now();
    alarm(kHangSeconds);
    const Bytes bytes = Mutator(seeds, options.seed * 1000003 + current_file).make();
    try_file(bytes, folder + "/fuzz.gguf", counts);
    ++counts.files;
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    if (took > counts.slowest) {
      counts.slowest = took;
      counts.slowest_file = current_file;
    }
    ++current_file;
  } while (!options.file && Clock::now() < end);
  alarm(0);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: gguf-fuzz [--seed S] [--seconds N] [--min-files N] [--file N]\n", stderr);
    return 2;
  }
  __sanitizer_set_death_callback(name_file);
  signal(SIGALRM, on_alarm);
  std::string folder = (std::filesystem::temp_directory_path() / "sluice-fuzz-XXXXXX").string();
  if (!mkdtemp(folder.data())) {
    std::perror("gguf-fuzz: temporary folder");
    return 1;
  }
  Counts counts;
  run(options, folder, counts);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  std::printf(
      "gguf-fuzz: seed %llu: %llu files tried, %llu clean errors, %llu opened, %llu tokenizers, "
      "%llu "
      "models, %llu tokens generated; slowest %.0f ms (file %llu)\n",
      static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(counts.files),
      static_cast<unsigned long long>(counts.errors),
      static_cast<unsigned long long>(counts.opened),
      static_cast<unsigned long long>(counts.tokenizers),
      static_cast<unsigned long long>(counts.models),
      static_cast<unsigned long long>(counts.tokens), counts.slowest * 1000,
      static_cast<unsigned long long>(counts.slowest_file));
  if (!options.file && counts.files < options.min_files) {
    std::fprintf(stderr, "gguf-fuzz: expected at least %llu files\n",
                 static_cast<unsigned long long>(options.min_files));
    return 1;
  }
  return 0;
}
