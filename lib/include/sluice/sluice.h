/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice.h - libsluice for C: load a model, tokenize, generate, free.
 *
 * Functions that can fail return a negative errno value, and
 * sluice_error_message() says in words what was wrong. Objects are made by
 * functions that hand them out through a ret_ argument, which is untouched on
 * failure; the caller frees them. Freeing NULL does nothing. A model may be
 * used by several threads at once; a session by one at a time.
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sluice_model sluice_model;
typedef struct sluice_session sluice_session;

/* "0.1.0" */
const char* sluice_version(void);

/*
 * What the last failed call of this thread was about, with the path, key or
 * field and what was expected; "" before any. Valid until the next failure.
 */
const char* sluice_error_message(void);

/*
 * Loads a GGUF file; NULL: the default model inside the library.
 * -ENOENT, -EACCES: the file; -EBADMSG: no valid GGUF, or a tensor is missing;
 * -ENOTSUP: unknown architecture or tokenizer.
 */
int sluice_model_load(const char* path, sluice_model** ret_model);
/* Sessions of the model stay usable. */
void sluice_model_free(sluice_model* model);

/* "embedded" or the file's general.name; lives as long as the model. */
const char* sluice_model_name(const sluice_model* model);
uint32_t sluice_model_n_vocab(const sluice_model* model);
/* Tokens that the model was trained to see at once. */
uint32_t sluice_model_n_ctx(const sluice_model* model);

/*
 * Writes the ids of `length` bytes of text to ret_ids, at most `capacity` of
 * them, and returns how many there are in all, which may be more. add_bos: the
 * model's BOS token in front, if it has one.
 */
int64_t sluice_model_tokenize(const sluice_model* model, const char* text, size_t length,
                              int add_bos, int32_t* ret_ids, size_t capacity);

/*
 * Writes the text of the ids to ret_text, at most `capacity` bytes with no
 * terminating zero, and returns its length in bytes, which may be more.
 * -EINVAL: an id outside the vocabulary.
 */
int64_t sluice_model_detokenize(const sluice_model* model, const int32_t* ids, size_t n_ids,
                                char* ret_text, size_t capacity);

/* How to run a model. Zero everything but `size` for the defaults. */
struct sluice_options {
  uint32_t size;      /* sizeof(struct sluice_options) */
  uint32_t n_threads; /* 0: as many as the process may use */
  const char* isa;    /* "scalar", "avx2", "avxvnni", "avx512", "amx"; on arm64 "scalar", "neon",
                         "dotprod"; NULL: $SLUICE_ISA, else the best */
  const char* device; /* "auto", "cpu"; NULL: "auto" */
  uint32_t max_batch_tokens; /* prompt tokens computed at once; 0: 512 */
  uint32_t window;           /* tokens in sight, a multiple of 16 of at least 48; older ones are
                                dropped. 0: generation ends when the context is full */
  const char* kv_type;       /* how keys and values are kept: "f16", "bf16", "q8_0" (heads of 32
                                numbers or a multiple); NULL: "f16" */
  uint32_t fast;             /* not 0: prompts with weights quantized again to 8 bits, or floats
                                rounded to bf16, which is for machines with AMX; else all is
                                exact */
  uint32_t huge_pages; /* not 0: weights in memory of the process, in huge pages, instead of the
                          file's mapping */
};

/*
 * Makes a session: threads, memory for activations, and a KV cache for one
 * text. options may be NULL. -EINVAL: an option out of range; -ENOTSUP: an ISA
 * that this CPU lacks; -ENOMEM.
 */
int sluice_session_create(const sluice_model* model, const struct sluice_options* options,
                          sluice_session** ret_session);
void sluice_session_free(sluice_session* session);
/* Forgets the text: the next prompt begins a new one. */
void sluice_session_clear(sluice_session* session);

/* How to choose tokens. sluice_sampling_default() fills in the defaults. */
struct sluice_sampling {
  uint32_t size;        /* sizeof(struct sluice_sampling) */
  uint32_t n_predict;   /* tokens at most */
  float temperature;    /* 0: always the likeliest */
  uint32_t top_k;       /* 0: all */
  float top_p;          /* 1: all */
  float min_p;          /* 0: all */
  float repeat_penalty; /* 1: none */
  uint32_t ignore_eos;  /* not 0: go on past an end token */
  uint64_t seed;
};
void sluice_sampling_default(struct sluice_sampling* ret_sampling);

/*
 * Called with each new piece of text: `length` bytes of whole UTF-8
 * characters, not terminated. Returning non-zero ends the generation.
 */
typedef int (*sluice_text_fn)(const char* text, size_t length, void* user);

/*
 * Appends the prompt to the session's text and generates from there. sampling
 * and on_text may be NULL. Returns the number of tokens generated.
 * -EINVAL: an empty prompt, an id outside the vocabulary, a parameter out of
 * range; -ENOSPC: the prompt does not fit the context.
 */
int64_t sluice_session_generate(sluice_session* session, const int32_t* prompt, size_t n_prompt,
                                const struct sluice_sampling* sampling, sluice_text_fn on_text,
                                void* user);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_SLUICE_H */
