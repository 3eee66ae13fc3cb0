// SPDX-License-Identifier: Apache-2.0
// The C interface over the C++ one. No exception leaves it: out of memory becomes -ENOMEM.
#include <sluice/sluice.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <sluice/engine.hpp>

struct sluice_model {
  std::shared_ptr<const sluice::Model> model;
};

struct sluice_session {
  std::unique_ptr<sluice::Engine> engine;
  sluice::Sequence sequence;
  // The last token generated: part of the text, but not computed yet.
  std::optional<int32_t> pending;
};

namespace {

thread_local std::string last_error;

int report(int code, const char* message) {
  last_error = message;
  return -(code ? code : EIO);
}
int report(const sluice::Error& error) { return report(error.code, error.message.c_str()); }

// Runs f, turning what it throws into an errno value.
template <typename F>
auto guard(F f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return report(ENOMEM, "out of memory");
  } catch (const std::exception& e) {
    return report(EIO, e.what());
  }
}

// Reads a caller's struct of another version: what it lacks keeps its default, what is longer than
// ours must be zero.
template <typename T>
int read_sized(const T* from, T* to, const char* name) {
  constexpr size_t kSize = sizeof(T);
  const uint32_t size = from->size;
  if (size < sizeof(uint32_t) || size > 4096) {
    return report(EINVAL, (std::string(name) + ".size is not the struct's size").c_str());
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = kSize; i < size; ++i) {
    if (bytes[i]) return report(E2BIG, (std::string(name) + " is newer than this library").c_str());
  }
  std::memcpy(to, from, std::min<size_t>(size, kSize));
  return 0;
}

sluice::EngineOptions engine_options(const sluice_options& o) {
  sluice::EngineOptions out;
  out.n_threads = o.n_threads;
  if (o.isa) out.isa = o.isa;
  if (o.device) out.device = o.device;
  if (o.kv_type) out.kv_type = o.kv_type;
  if (o.fast) out.arithmetic = sluice::Arithmetic::kFast;
  out.huge_pages = o.huge_pages != 0;
  if (o.max_batch_tokens) out.max_batch_tokens = o.max_batch_tokens;
  return out;
}

sluice::GenerateParams generate_params(const sluice_sampling& s) {
  sluice::GenerateParams out;
  out.n_predict = s.n_predict;
  out.ignore_eos = s.ignore_eos != 0;
  out.sampling.temperature = s.temperature;
  out.sampling.top_k = s.top_k;
  out.sampling.top_p = s.top_p;
  out.sampling.min_p = s.min_p;
  out.sampling.repeat_penalty = s.repeat_penalty;
  out.sampling.seed = s.seed;
  return out;
}

}  // namespace

extern "C" {

const char* sluice_version(void) { return SLUICE_VERSION; }

const char* sluice_error_message(void) { return last_error.c_str(); }

int sluice_model_load(const char* path, sluice_model** ret_model) {
  return guard([&]() -> int {
    auto model = path ? sluice::Model::load(path) : sluice::Model::embedded();
    if (!model) return report(model.error());
    *ret_model = new sluice_model{std::move(*model)};
    return 0;
  });
}

void sluice_model_free(sluice_model* model) { delete model; }

const char* sluice_model_name(const sluice_model* model) {
  return model->model->info().name.c_str();
}
uint32_t sluice_model_n_vocab(const sluice_model* model) { return model->model->info().n_vocab; }
uint32_t sluice_model_n_ctx(const sluice_model* model) { return model->model->info().n_ctx_train; }

int64_t sluice_model_tokenize(const sluice_model* model, const char* text, size_t length,
                              int add_bos, int32_t* ret_ids, size_t capacity) {
  return guard([&]() -> int64_t {
    const auto ids = model->model->tokenizer()->encode({text, length}, add_bos != 0);
    std::copy_n(ids.begin(), std::min(ids.size(), capacity), ret_ids);
    return static_cast<int64_t>(ids.size());
  });
}

int64_t sluice_model_detokenize(const sluice_model* model, const int32_t* ids, size_t n_ids,
                                char* ret_text, size_t capacity) {
  return guard([&]() -> int64_t {
    const auto text = model->model->tokenizer()->decode({ids, n_ids});
    if (!text) return report(text.error());
    std::copy_n(text->begin(), std::min(text->size(), capacity), ret_text);
    return static_cast<int64_t>(text->size());
  });
}

int sluice_session_create(const sluice_model* model, const struct sluice_options* options,
                          sluice_session** ret_session) {
  return guard([&]() -> int {
    sluice_options o{};
    if (options) {
      if (const int status = read_sized(options, &o, "sluice_options")) return status;
    }
    auto engine = sluice::Engine::create(model->model, engine_options(o));
    if (!engine) return report(engine.error());
    auto sequence = (*engine)->new_sequence(o.window);
    if (!sequence) return report(sequence.error());
    *ret_session = new sluice_session{std::move(*engine), std::move(*sequence), {}};
    return 0;
  });
}

void sluice_session_free(sluice_session* session) { delete session; }

void sluice_session_clear(sluice_session* session) {
  session->sequence.clear();
  session->pending.reset();
}

void sluice_sampling_default(struct sluice_sampling* ret_sampling) {
  const sluice::GenerateParams d;
  *ret_sampling = {
      sizeof(*ret_sampling), d.n_predict,      d.sampling.temperature,    d.sampling.top_k,
      d.sampling.top_p,      d.sampling.min_p, d.sampling.repeat_penalty, 0,
      d.sampling.seed};
}

int64_t sluice_session_generate(sluice_session* session, const int32_t* prompt, size_t n_prompt,
                                const struct sluice_sampling* sampling, sluice_text_fn on_text,
                                void* user) {
  return guard([&]() -> int64_t {
    sluice_sampling s;
    sluice_sampling_default(&s);
    if (sampling) {
      if (const int status = read_sized(sampling, &s, "sluice_sampling")) return status;
    }
    sluice::TextCallback callback;
    if (on_text) {
      callback = [&](std::string_view text) {
        return on_text(text.data(), text.size(), user) == 0;
      };
    }
    std::vector<int32_t> ids;
    if (session->pending) ids.push_back(*session->pending);
    ids.insert(ids.end(), prompt, prompt + n_prompt);
    if (n_prompt == 0) ids.clear();
    const auto result =
        sluice::generate(*session->engine, session->sequence, ids, generate_params(s), callback);
    if (!result) return report(result.error());
    session->pending.reset();
    if (!result->ids.empty()) session->pending = result->ids.back();
    return static_cast<int64_t>(result->ids.size());
  });
}

}  // extern "C"
