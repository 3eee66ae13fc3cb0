// SPDX-License-Identifier: Apache-2.0
// The commands of llama-peer, ik-peer and sluice-peer, written once over a Side: all are measured
// by the same loop with the same tokens, and print the same JSON. A Side has load(path);
// context(n_ctx, n_batch, n_threads, n_sequences), n_ctx being the room of each sequence; clear(),
// which empties them all; step(inputs), which appends tokens to one sequence or several; logits(i)
// of the last token of input i; n_vocab(); bos(); and tokenize(text).
#ifndef SLUICE_TESTS_BENCH_SIDE_H
#define SLUICE_TESTS_BENCH_SIDE_H

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace peer {

using Clock = std::chrono::steady_clock;

// What a step appends to a sequence.
struct Input {
  uint32_t sequence;
  std::vector<int32_t> tokens;
  bool all = false;  // logits of every token, not of the last one alone
};

// For a Side whose only sequence is meant.
template <typename Side>
void decode(Side& side, std::vector<int32_t> tokens) {
  side.step({{0, std::move(tokens)}});
}

inline double rate(uint32_t n, Clock::time_point start) {
  return n / std::chrono::duration<double>(Clock::now() - start).count();
}

inline int32_t some_token(uint32_t i, int32_t n_vocab) {
  return static_cast<int32_t>((uint64_t{i} * 2654435761u + 12345) % static_cast<uint64_t>(n_vocab));
}

// n tokens from the i-th on.
inline std::vector<int32_t> some_tokens(uint32_t i, uint32_t n, int32_t n_vocab) {
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = some_token(i++, n_vocab);
  return tokens;
}

// One measurement for each line on standard input, so that the caller can take turns. The first
// line "ready" says that the model is loaded.
template <typename Measure>
void answer(const Measure& measure) {
  std::printf("ready\n");
  std::fflush(stdout);
  char line[16];
  while (std::fgets(line, sizeof(line), stdin)) {
    measure(line);
    std::fflush(stdout);
  }
}

// A line "prefill" or "decode" measures that alone, an empty one both.
template <typename Side>
void bench(Side& side, const char* path, uint32_t n_prompt, uint32_t n_decode, uint32_t n_threads) {
  side.load(path);
  side.context(std::max(n_prompt, n_decode) + 16, std::max(1u, n_prompt), n_threads, 1);
  answer([&](const char* line) {
    double prefill_tps = 0, decode_tps = 0;
    side.clear();
    auto start = Clock::now();
    if (n_prompt && line[0] != 'd') {
      decode(side, some_tokens(0, n_prompt, side.n_vocab()));
      side.logits(0);
      prefill_tps = rate(n_prompt, start);
    }
    side.clear();
    start = Clock::now();
    if (n_decode && line[0] != 'p') {
      for (uint32_t i = 0; i < n_decode; ++i) {
        decode(side, some_tokens(i, 1, side.n_vocab()));
        side.logits(0);
      }
      decode_tps = rate(n_decode, start);
    }
    std::printf("{\"prefill_tps\": %.6g, \"decode_tps\": %.6g}\n", prefill_tps, decode_tps);
  });
}

// A line is a number of sequences, at most n_most: each gets a context of n_context tokens, then
// every step appends a token to each of them.
template <typename Side>
void concurrent(Side& side, const char* path, uint32_t n_context, uint32_t n_steps,
                uint32_t n_threads, uint32_t n_most) {
  side.load(path);
  side.context(n_context + n_steps + 16, std::max(n_context, n_most), n_threads, n_most);
  answer([&](const char* line) {
    const auto n = static_cast<uint32_t>(std::clamp(std::atoi(line), 1, static_cast<int>(n_most)));
    side.clear();
    for (uint32_t s = 0; s < n; ++s) {
      side.step({{s, some_tokens(s * n_context, n_context, side.n_vocab())}});
      side.logits(0);
    }
    const auto start = Clock::now();
    for (uint32_t i = 0; i < n_steps; ++i) {
      std::vector<Input> inputs;
      for (uint32_t s = 0; s < n; ++s) inputs.push_back({s, some_tokens(i + s, 1, side.n_vocab())});
      side.step(inputs);
      for (uint32_t s = 0; s < n; ++s) side.logits(s);
    }
    std::printf("{\"sequences\": %u, \"decode_tps\": %.6g}\n", n, rate(n * n_steps, start));
  });
}

// From nothing to the likeliest token after the prompt, as a program that is started for it.
template <typename Side>
void first(Side& side, const char* path, uint32_t n_threads, const std::vector<int32_t>& prompt) {
  side.load(path);
  side.context(static_cast<uint32_t>(prompt.size()) + 16, 512, n_threads, 1);
  decode(side, prompt);
  const float* logits = side.logits(0);
  std::printf("{\"id\": %d}\n",
              static_cast<int>(std::max_element(logits, logits + side.n_vocab()) - logits));
}

// The prompt's last logits, then the likeliest token n_predict times; for each the distance of its
// logit to the second best. What is fed back is that token, or, where `forced` has any, its tokens.
template <typename Side>
void greedy(Side& side, const char* path, uint32_t n_predict, std::vector<int32_t> prompt,
            const std::vector<int32_t>& forced) {
  side.load(path);
  // One thread: two that spin for each other lose all time when the machine has other work.
  side.context(static_cast<uint32_t>(prompt.size()) + n_predict + 16, 512, 1, 1);
  decode(side, std::move(prompt));
  std::printf("{\"logits\": [");
  const float* logits = side.logits(0);
  for (int32_t i = 0; i < side.n_vocab(); ++i) std::printf("%s%.9g", i ? ", " : "", logits[i]);
  std::string ids, margins;
  for (uint32_t i = 0; i < n_predict; ++i) {
    logits = side.logits(0);
    int32_t best = 0;
    float second = -INFINITY;
    for (int32_t v = 1; v < side.n_vocab(); ++v) {
      if (logits[v] > logits[best]) {
        second = logits[best];
        best = v;
      } else {
        second = std::max(second, logits[v]);
      }
    }
    ids += (i ? ", " : "") + std::to_string(best);
    margins += (i ? ", " : "") + std::to_string(logits[best] - second);
    decode(side, {forced.empty() ? best : forced[i]});
  }
  std::printf("], \"ids\": [%s], \"margins\": [%s]}\n", ids.c_str(), margins.c_str());
}

// Texts that end with a zero byte on standard input, a JSON array of ids for each; no BOS, and
// special tokens are not recognised.
template <typename Side>
void tokenize(Side& side, const char* path) {
  side.load(path);
  std::string text;
  for (int c; (c = std::getchar()) != EOF;) {
    if (c != 0) {
      text.push_back(static_cast<char>(c));
      continue;
    }
    std::string line;
    for (const int32_t id : side.tokenize(text)) {
      line += (line.empty() ? "" : ", ") + std::to_string(id);
    }
    std::printf("[%s]\n", line.c_str());
    text.clear();
  }
}

// How well the text on standard input is predicted, measured as by `sluice perplexity`: BOS and the
// tokens in chunks whose first is BOS too, each from an empty context, those after the middle
// scored. At most n_chunks; 0: all.
template <typename Side>
void perplexity(Side& side, const char* path, uint32_t chunk, uint32_t n_chunks) {
  side.load(path);
  side.context(chunk + 16, chunk, 1, 1);
  std::string text;
  for (int c; (c = std::getchar()) != EOF;) text.push_back(static_cast<char>(c));
  std::vector<int32_t> ids = side.tokenize(text);
  ids.insert(ids.begin(), side.bos());
  double loss = 0;
  uint32_t n_scored = 0;
  for (uint32_t first = 0;
       first + chunk <= ids.size() && (n_chunks == 0 || first < chunk * n_chunks); first += chunk) {
    const int32_t* id = &ids[first];
    ids[first] = side.bos();
    side.clear();
    side.step({{0, {id, id + chunk - 1}, true}});
    for (uint32_t i = chunk / 2; i + 1 < chunk; ++i) {
      const float* logits = side.logits(i);
      const float largest = *std::max_element(logits, logits + side.n_vocab());
      double sum = 0;
      for (int32_t v = 0; v < side.n_vocab(); ++v) sum += std::exp(double{logits[v]} - largest);
      loss += std::log(sum) + largest - logits[id[i + 1]];
      ++n_scored;
    }
  }
  std::printf("{\"perplexity\": %.9g, \"tokens\": %u}\n", std::exp(loss / n_scored), n_scored);
}

inline constexpr const char* kCommands[] = {
    "bench MODEL N_PROMPT N_DECODE THREADS",
    "concurrent MODEL N_CONTEXT N_STEPS THREADS N_SEQUENCES",
    "first MODEL THREADS ID...",
    "greedy MODEL N_PREDICT ID...",
    "follow MODEL N_PREDICT ID... (the last N_PREDICT: forced)",
    "perplexity MODEL CHUNK N_CHUNKS",
    "tokenize MODEL",
};

// To standard error: `program` with each command.
inline void usage(const std::string& program) {
  for (const char* command : kCommands) {
    std::fprintf(stderr, "%s%s %s\n", command == kCommands[0] ? "usage: " : "       ",
                 program.c_str(), command);
  }
}

inline uint32_t number(const char* text) {
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

inline std::vector<int32_t> numbers(char** begin, char** end) {
  std::vector<int32_t> found;
  for (; begin != end; ++begin) found.push_back(static_cast<int32_t>(number(*begin)));
  return found;
}

// Runs the command in args; false if it is none of them. args: COMMAND MODEL ...
template <typename Side>
bool run(Side& side, int n_args, char** args) {
  const std::string command = n_args > 1 ? args[0] : "";
  if (command == "bench" && n_args == 5) {
    bench(side, args[1], number(args[2]), number(args[3]), number(args[4]));
  } else if (command == "concurrent" && n_args == 6) {
    concurrent(side, args[1], number(args[2]), number(args[3]), number(args[4]), number(args[5]));
  } else if (command == "first" && n_args > 3) {
    first(side, args[1], number(args[2]), numbers(args + 3, args + n_args));
  } else if ((command == "greedy" || command == "follow") && n_args > 3) {
    const uint32_t n_predict = number(args[2]);
    std::vector<int32_t> prompt = numbers(args + 3, args + n_args), forced;
    if (command == "follow") {
      if (prompt.size() <= n_predict) return false;
      forced.assign(prompt.end() - n_predict, prompt.end());
      prompt.resize(prompt.size() - n_predict);
    }
    greedy(side, args[1], n_predict, prompt, forced);
  } else if (command == "perplexity" && n_args == 4) {
    perplexity(side, args[1], number(args[2]), number(args[3]));
  } else if (command == "tokenize" && n_args == 2) {
    tokenize(side, args[1]);
  } else {
    return false;
  }
  std::fflush(stdout);
  return true;
}

}  // namespace peer

#endif  // SLUICE_TESTS_BENCH_SIDE_H
