// SPDX-License-Identifier: Apache-2.0
// Rewrites a GGUF file with its matrices in another format. Everything else is kept as it is;
// general.file_type and general.quantization_version follow, with llama.cpp's numbers.
#include <fmt/format.h>
#include <regex.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "model/importance.h"
#include "model/mix.h"
#include "model/tensor_stream.h"
#include "quant/format.h"

namespace sluice {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of ggml's block layouts

bool same_file(const std::string& a, const std::string& b) {
  struct stat first, second;
  return a == b || (stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
                    first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

// A POSIX extended regular expression.
class Pattern {
 public:
  // EINVAL says what is wrong with it.
  static Result<Pattern> compile(const std::string& text) {
    regex_t raw;
    if (const int error = regcomp(&raw, text.c_str(), REG_EXTENDED | REG_NOSUB)) {
      char message[128];
      regerror(error, &raw, message, sizeof(message));
      return fail(EINVAL, message);
    }
    return Pattern(raw);
  }
  bool found_in(const std::string& text) const {
    return regexec(compiled_.get(), text.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  struct Free {
    void operator()(regex_t* r) const {
      regfree(r);
      delete r;
    }
  };
  explicit Pattern(const regex_t& raw) : compiled_(new regex_t(raw)) {}
  std::unique_ptr<regex_t, Free> compiled_;
};

// What is asked for, looked up and checked.
struct Plan {
  const Mix& mix;
  MixModel model;
  std::vector<std::pair<Pattern, const Format*>> overrides;
  std::optional<Importance> importance;
};

const Format* find_encodable(std::string_view name) {
  const Format* format = find_format(name);
  return format && format->encode ? format : nullptr;
}

Result<void> add_overrides(const QuantizeOptions& options, Plan& plan) {
  for (const TensorOverride& o : options.overrides) {
    const Format* format = find_encodable(o.type);
    if (!format) {
      return fail(EINVAL, fmt::format("override {}={}: unknown type, expected one of {}", o.pattern,
                                      o.type, fmt::join(quantize_types(), ", ")));
    }
    auto pattern = Pattern::compile(o.pattern);
    if (!pattern) {
      return fail(EINVAL,
                  fmt::format("override {}={}: {}", o.pattern, o.type, pattern.error().message));
    }
    plan.overrides.emplace_back(std::move(*pattern), format);
  }
  return {};
}

Result<Plan> make_plan(const GgufFile& in, const QuantizeOptions& options) {
  const Mix* mix = find_mix(options.type);
  if (!mix) {
    std::vector<std::string> names;
    for (const Mix& m : mixes()) names.emplace_back(m.name);
    return fail(EINVAL, fmt::format("unknown type '{}', expected one of {}", options.type,
                                    fmt::join(names, ", ")));
  }
  Plan plan{*mix, MixModel(in), {}, {}};
  SLUICE_CHECK(add_overrides(options, plan));
  if (!options.importance.empty()) {
    SLUICE_TRY(plan.importance, Importance::load(options.importance));
    plan.model.has_importance = true;
  }
  return plan;
}

// The format that a tensor gets; its own where it is no matrix, or already as small as what its
// rows allow.
const Format& choose_format(const GgufTensor& tensor, const Plan& plan) {
  const Format& own = *find_format(tensor.type);
  uint32_t n_dims = 0;  // a vector written with rank 2 is still a vector
  for (const uint64_t dim : tensor.shape) n_dims += dim > 1;
  if (n_dims < 2 || !own.decode) return own;
  for (const auto& [pattern, format] : plan.overrides) {
    if (pattern.found_in(tensor.name)) return fitting_format(*format, tensor.shape[0]);
  }
  const std::string_view name = tensor.name;
  if (!plan.mix.base || name.ends_with("_norm.weight") || name.ends_with("ffn_gate_inp.weight")) {
    return own;
  }
  const Format& wanted = mix_format(plan.mix, plan.model, name);
  const Format& fitting = fitting_format(wanted, tensor.shape[0]);
  return &fitting != &wanted && fitting.bytes(256) >= own.bytes(256) ? own : fitting;
}

// Weights of the columns of a tensor, null where there are none.
Result<const std::vector<float>*> columns(const GgufFile& in, const GgufTensor& tensor,
                                          const Plan& plan) {
  const auto* found = plan.importance ? plan.importance->find(tensor.name) : nullptr;
  if (found && found->size() != tensor.shape[0]) {
    return fail(EINVAL, fmt::format("{}: tensor '{}' has {} columns, the importance matrix {}",
                                    in.path(), tensor.name, tensor.shape[0], found->size()));
  }
  return found;
}

Result<QuantizedTensor> rewrite(const GgufFile& in, const GgufTensor& tensor, const Plan& plan,
                                TensorStream& stream) {
  const Format& to = choose_format(tensor, plan);
  const Format& from = *find_format(tensor.type);
  const auto bytes = in.data(tensor);
  QuantizedTensor done;
  done.name = tensor.name;
  done.from = from.name;
  done.to = to.name;
  done.n_elements = tensor.n_elements();
  done.bytes_in = tensor.n_bytes;
  done.bytes_out = to.bytes(tensor.n_elements());
  if (to.id == from.id) {
    SLUICE_CHECK(stream.copy(bytes));
    return done;
  }
  const auto fill = [&](uint64_t first, std::span<float> values) {
    from.decode(bytes.data() + from.bytes(first), values.data(), values.size());
  };
  const std::string subject = fmt::format("{}: tensor '{}'", in.path(), tensor.name);
  SLUICE_TRY(const std::vector<float>* importance, columns(in, tensor, plan));
  const TensorStream::Job job{to, done.n_elements, tensor.n_bytes, true, importance};
  SLUICE_TRY(const double squared_error, stream.encode(job, subject, fill));
  done.rmse = std::sqrt(squared_error / static_cast<double>(done.n_elements));
  return done;
}

}  // namespace

std::vector<std::string> quantize_types() {
  std::vector<std::string> names;
  for (const Format& format : formats()) {
    if (format.encode) names.emplace_back(format.name);
  }
  return names;
}

std::vector<QuantizeMix> quantize_mixes() {
  std::vector<QuantizeMix> out;
  for (const Mix& m : mixes()) {
    out.push_back({m.name, m.alias ? m.alias : "", m.base ? m.base : ""});
  }
  return out;
}

Result<std::vector<QuantizedTensor>> quantize(const std::string& in_path, const std::string& out,
                                              const QuantizeOptions& options,
                                              const Progress& progress) {
  if (same_file(in_path, out)) {
    return fail(EINVAL, fmt::format("{}: input and output are the same file", out));
  }
  SLUICE_TRY(const GgufFile in, GgufFile::open(in_path));
  SLUICE_TRY(const Plan plan, make_plan(in, options));
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(out, static_cast<uint32_t>(in.alignment())));
  for (const auto& [key, value] : in.metadata()) writer.set(key, value);
  if (plan.mix.base) {
    writer.set_u32("general.file_type", static_cast<uint32_t>(plan.mix.file_type));
    writer.set_u32("general.quantization_version", kQuantizationVersion);
  }

  uint64_t total = 0;
  for (const GgufTensor& tensor : in.tensors()) {
    total += tensor.n_bytes;
    SLUICE_CHECK(writer.add_tensor(tensor.name, choose_format(tensor, plan).id,
                                   std::span(tensor.shape).first(tensor.rank)));
  }
  TensorStream stream(writer, options.n_threads, total, progress);
  std::vector<QuantizedTensor> done;
  for (const GgufTensor& tensor : in.tensors()) {
    SLUICE_TRY(QuantizedTensor one, rewrite(in, tensor, plan, stream));
    done.push_back(std::move(one));
  }
  SLUICE_CHECK(writer.finish());
  return done;
}

Result<std::vector<QuantizedTensor>> quantize(const std::string& in, const std::string& out,
                                              std::string_view type, unsigned n_threads,
                                              const Progress& progress) {
  QuantizeOptions options;
  options.type = type;
  options.n_threads = n_threads;
  return quantize(in, out, options, progress);
}

}  // namespace sluice
