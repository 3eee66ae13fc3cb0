// SPDX-License-Identifier: Apache-2.0
// A folder becomes a GGUF file: the config gives keys and a plan of tensors, the checkpoint their
// values. What the plan lacks in the checkpoint, and what is left in it, is an error.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include <sluice/convert.hpp>

#include "convert/family.h"
#include "convert/source.h"
#include "convert/vocabulary.h"
#include "gguf/cursor.h"
#include "model/tensor_stream.h"
#include "quant/format.h"

namespace sluice {
namespace {

using hf::Change;
using hf::Checkpoint;
using hf::JsonObject;
using hf::ModelConfig;
using hf::PlannedTensor;
using hf::SourceTensor;
using hf::VocabularyData;

constexpr uint32_t kQuantizationVersion = 2;  // of ggml's block layouts

struct Type {
  const char* name;
  const char* format;  // null: that of most matrices
};
constexpr Type kTypes[] = {{"auto", nullptr}, {"f32", "F32"}, {"f16", "F16"}, {"bf16", "BF16"}};

// In front of the layers' names, by what wraps the decoder; and of the output matrix.
struct Prefix {
  const char *decoder, *head;
};
constexpr Prefix kPrefixes[] = {{"model.", ""},
                                {"language_model.model.", "language_model."},
                                {"model.language_model.", ""},
                                {"", ""}};
constexpr std::string_view kHead = "lm_head.";

// Tensors that say nothing of texts, or that follow from the config.
constexpr std::string_view kIgnoredBegins[] = {"vision_tower.", "multi_modal_projector.",
                                               "model.vision_tower.",
                                               "model.multi_modal_projector."};
constexpr std::string_view kIgnoredEnds[] = {"rotary_emb.inv_freq"};

// A tensor of the plan with its values.
struct Job {
  PlannedTensor plan;
  std::string source_name;
  const SourceTensor* source = nullptr;  // null: plan.values
  const Format* from = nullptr;
  const Format* to = nullptr;
  uint64_t n_elements() const {
    uint64_t n = 1;
    for (const uint64_t dim : plan.shape) n *= dim;
    return n;
  }
  bool is_matrix() const { return plan.shape.size() > 1; }
};

bool is_ignored(std::string_view name, bool tied) {
  const auto begins = [&](std::string_view text) { return name.starts_with(text); };
  const auto ends = [&](std::string_view text) { return name.ends_with(text); };
  // Some files hold a tied output matrix a second time.
  if (tied && name.substr(name.starts_with("language_model.") ? 15 : 0).starts_with(kHead)) {
    return true;
  }
  return std::any_of(std::begin(kIgnoredBegins), std::end(kIgnoredBegins), begins) ||
         std::any_of(std::begin(kIgnoredEnds), std::end(kIgnoredEnds), ends);
}

Result<void> check_source(const Job& job) {
  const SourceTensor& source = *job.source;
  const std::string subject =
      fmt::format("{}: tensor '{}'", source.path, gguf::printable(job.source_name));
  if (!source.format) {
    return fail(ENOTSUP, fmt::format("{} is {}, expected F32, F16 or BF16", subject, source.type));
  }
  std::vector<uint64_t> wanted(job.plan.shape.rbegin(), job.plan.shape.rend());
  if (source.shape != wanted) {
    return fail(EBADMSG, fmt::format("{} is [{}], expected [{}]", subject,
                                     fmt::join(source.shape, ", "), fmt::join(wanted, ", ")));
  }
  return {};
}

// Finds the tensors of the plan in the checkpoint.
Result<std::vector<Job>> match(const ModelConfig& config, const Checkpoint& checkpoint,
                               const std::string& folder) {
  const auto& tensors = checkpoint.tensors();
  const auto* prefix = std::find_if(std::begin(kPrefixes), std::end(kPrefixes), [&](auto& p) {
    return tensors.contains(std::string(p.decoder) + "embed_tokens.weight");
  });
  if (prefix == std::end(kPrefixes)) {
    return fail(ENOENT, folder + ": no tensor 'model.embed_tokens.weight' in the weights");
  }
  std::vector<Job> jobs;
  std::unordered_set<std::string> used;
  for (PlannedTensor& plan : config.plan()) {
    Job job;
    job.plan = std::move(plan);
    if (job.plan.source.empty()) {
      job.from = find_format("F32");
      jobs.push_back(std::move(job));
      continue;
    }
    const bool head = job.plan.source.starts_with(kHead);
    job.source_name = (head ? prefix->head : prefix->decoder) + job.plan.source;
    const auto it = tensors.find(job.source_name);
    if (it == tensors.end()) {
      if (job.plan.optional) continue;
      return fail(ENOENT,
                  fmt::format("{}: no tensor '{}' in the weights", folder, job.source_name));
    }
    job.source = &it->second;
    job.from = job.source->format;
    SLUICE_CHECK(check_source(job));
    used.insert(job.source_name);
    jobs.push_back(std::move(job));
  }
  // In order, so that the message is always the same.
  std::string left;
  for (const auto& [name, tensor] : tensors) {
    if (used.contains(name) || is_ignored(name, config.shape().tied)) continue;
    if (left.empty() || name < left) left = name;
  }
  if (left.empty()) return jobs;
  return fail(ENOTSUP, fmt::format("{}: tensor '{}' is none that a {} has", tensors.at(left).path,
                                   gguf::printable(left), config.family().name));
}

// The format that most of the matrices' bytes have.
const Format& main_format(const std::vector<Job>& jobs) {
  const Format* best = find_format("F16");
  uint64_t most = 0;
  for (const char* name : {"F32", "F16", "BF16"}) {
    uint64_t n_bytes = 0;
    for (const Job& job : jobs) {
      if (job.is_matrix() && std::string_view(job.from->name) == name)
        n_bytes += job.from->bytes(job.n_elements());
    }
    if (n_bytes > most) best = find_format(std::string_view(name));
    most = std::max(most, n_bytes);
  }
  return *best;
}

// Row of the checkpoint that becomes row `row`: halves of a head, pair by pair.
uint64_t permuted_row(uint64_t row, uint64_t head_dim) {
  const uint64_t in_head = row % head_dim;
  return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

// Values of a job, in the order of the GGUF file.
void fill(const Job& job, uint64_t first, std::span<float> values) {
  const PlannedTensor& plan = job.plan;
  if (!job.source) {
    std::copy_n(plan.values.data() + first, values.size(), values.data());
    return;
  }
  const std::byte* data = job.source->data.data();
  if (plan.change != Change::kPermute) {
    job.from->decode(data + job.from->bytes(first), values.data(), values.size());
    if (plan.change == Change::kPlusOne) {
      for (float& value : values) value += 1.0f;
    }
    return;
  }
  // A bias is permuted as a matrix of one column.
  const uint64_t n_columns = job.is_matrix() ? plan.shape[0] : 1;
  const uint64_t head_dim = plan.shape.back() / plan.n_heads;
  for (size_t i = 0; i < values.size();) {
    const uint64_t row = (first + i) / n_columns, column = (first + i) % n_columns;
    const size_t n = std::min<uint64_t>(n_columns - column, values.size() - i);
    const uint64_t from = permuted_row(row, head_dim) * n_columns + column;
    job.from->decode(data + job.from->bytes(from), values.data() + i, n);
    i += n;
  }
}

Result<ConvertedTensor> write_tensor(const Job& job, TensorStream& stream) {
  ConvertedTensor out;
  out.name = job.plan.name;
  out.source = job.source_name;
  out.from = job.from->name;
  out.to = job.to->name;
  out.n_elements = job.n_elements();
  out.bytes_in = job.from->bytes(out.n_elements);
  out.bytes_out = job.to->bytes(out.n_elements);
  const std::string subject =
      job.source ? fmt::format("{}: tensor '{}'", job.source->path, job.source_name) : out.name;
  const TensorStream::Job encode{*job.to, out.n_elements, out.bytes_out, true};
  SLUICE_TRY(const double squared_error,
             stream.encode(encode, subject, [&](uint64_t first, std::span<float> values) {
               fill(job, first, values);
             }));
  out.rmse = std::sqrt(squared_error / static_cast<double>(out.n_elements));
  return out;
}

std::string name_of_folder(const std::string& folder) {
  std::error_code error;
  const auto path = std::filesystem::canonical(folder, error);
  return error ? folder : path.filename().string();
}

// A file and its keys, the tensors announced; nothing is written yet.
Result<GgufWriter> begin(const std::string& out, const ModelConfig& config,
                         const VocabularyData& vocabulary, const Conversion& conversion,
                         const std::vector<Job>& jobs) {
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(out));
  writer.set_string("general.architecture", conversion.architecture);
  writer.set_string("general.type", "model");
  writer.set_string("general.name", conversion.name);
  const Format& format = *find_format(std::string_view(conversion.type));
  writer.set_u32("general.file_type", static_cast<uint32_t>(format.file_type));
  writer.set_u32("general.quantization_version", kQuantizationVersion);
  config.write(writer);
  vocabulary.write(writer);
  for (const Job& job : jobs) {
    SLUICE_CHECK(writer.add_tensor(job.plan.name, job.to->id, job.plan.shape));
  }
  return writer;
}

}  // namespace

std::vector<std::string> convert_types() {
  std::vector<std::string> out;
  for (const Type& type : kTypes) out.emplace_back(type.name);
  return out;
}

std::vector<std::string> convert_architectures() {
  std::vector<std::string> out;
  for (const hf::Family& family : hf::families()) out.emplace_back(family.name);
  return out;
}

Result<Conversion> convert(const std::string& folder, const std::string& out,
                           const ConvertOptions& options, const Progress& progress) {
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const Type& t) { return options.type == t.name; });
  if (type == std::end(kTypes)) {
    return fail(EINVAL, fmt::format("unknown type '{}', expected one of {}", options.type,
                                    fmt::join(convert_types(), ", ")));
  }
  SLUICE_TRY(const JsonObject json, JsonObject::open(folder + "/config.json"));
  SLUICE_TRY(const ModelConfig config, ModelConfig::read(json));
  SLUICE_TRY(const VocabularyData vocabulary,
             hf::read_vocabulary(folder, json, config.shape().n_vocab));
  SLUICE_TRY(const Checkpoint checkpoint, Checkpoint::open(folder));
  SLUICE_TRY(std::vector<Job> jobs, match(config, checkpoint, folder));

  const Format& format =
      type->format ? *find_format(std::string_view(type->format)) : main_format(jobs);
  uint64_t total = 0;
  for (Job& job : jobs) {
    job.to = job.is_matrix() ? &format : find_format("F32");
    total += job.to->bytes(job.n_elements());
  }
  Conversion done;
  done.architecture = config.family().gguf;
  done.name = options.name.empty() ? name_of_folder(folder) : options.name;
  done.type = format.name;
  done.tokenizer =
      vocabulary.model == "gpt2" ? fmt::format("gpt2 ({})", vocabulary.pre) : vocabulary.model;
  done.n_vocab = config.shape().n_vocab;
  SLUICE_TRY(GgufWriter writer, begin(out, config, vocabulary, done, jobs));
  TensorStream stream(writer, options.n_threads, total, progress);
  for (const Job& job : jobs) {
    SLUICE_TRY(ConvertedTensor one, write_tensor(job, stream));
    done.tensors.push_back(std::move(one));
  }
  SLUICE_CHECK(writer.finish());
  return done;
}

}  // namespace sluice
