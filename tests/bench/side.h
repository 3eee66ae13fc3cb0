// SPDX-License-Identifier: Apache-2.0
// The commands of llama-peer and sluice-peer, written once over a Side: both implementations are
// measured by the same loop with the same tokens, and print the same JSON.
// A Side has load(path), context(n_ctx, n_batch, n_threads), clear(), decode(tokens), logits() of
// the last token, n_vocab(), and tokenize(text).
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

inline double rate(uint32_t n, Clock::time_point start) {
  return n / std::chrono::duration<double>(Clock::now() - start).count();
}

inline int32_t some_token(uint32_t i, int32_t n_vocab) {
  return static_cast<int32_t>((uint64_t{i} * 2654435761u + 12345) % static_cast<uint64_t>(n_vocab));
}

// One measurement for each line on standard input, so that the caller can take turns. The first
// line "ready" says that the model is loaded.
template <typename Side>
void bench(Side& side, const char* path, uint32_t n_prompt, uint32_t n_decode, uint32_t n_threads) {
  side.load(path);
  side.context(std::max(n_prompt, n_decode) + 16, std::max(1u, n_prompt), n_threads);
  std::printf("ready\n");
  std::fflush(stdout);
  char line[16];
  while (std::fgets(line, sizeof(line), stdin)) {
    std::vector<int32_t> tokens;
    for (uint32_t i = 0; i < n_prompt; ++i) tokens.push_back(some_token(i, side.n_vocab()));
    double prefill = 0, decode = 0;
    side.clear();
    auto start = Clock::now();
    if (n_prompt) {
      side.decode(tokens);
      side.logits();
      prefill = rate(n_prompt, start);
    }
    side.clear();
    start = Clock::now();
    for (uint32_t i = 0; i < n_decode; ++i) {
      tokens.assign(1, some_token(i, side.n_vocab()));
      side.decode(tokens);
      side.logits();
    }
    if (n_decode) decode = rate(n_decode, start);
    std::printf("{\"prefill_tps\": %.6g, \"decode_tps\": %.6g}\n", prefill, decode);
    std::fflush(stdout);
  }
}

// The prompt's last logits, then the likeliest token n_predict times; for each the distance of its
// logit to the second best. What is fed back is that token, or, where `forced` has any, its tokens.
template <typename Side>
void greedy(Side& side, const char* path, uint32_t n_predict, std::vector<int32_t> prompt,
            const std::vector<int32_t>& forced) {
  side.load(path);
  // One thread: two that spin for each other lose all time when the machine has other work.
  side.context(static_cast<uint32_t>(prompt.size()) + n_predict + 16, 512, 1);
  side.decode(prompt);
  std::printf("{\"logits\": [");
  const float* logits = side.logits();
  for (int32_t i = 0; i < side.n_vocab(); ++i) std::printf("%s%.9g", i ? ", " : "", logits[i]);
  std::string ids, margins;
  for (uint32_t i = 0; i < n_predict; ++i) {
    logits = side.logits();
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
    std::vector<int32_t> next = {forced.empty() ? best : forced[i]};
    side.decode(next);
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

// How well the text on standard input is predicted: its tokens in chunks, each from an empty
// context and token by token, the second half of each scored.
template <typename Side>
void perplexity(Side& side, const char* path, uint32_t chunk, uint32_t n_chunks) {
  side.load(path);
  side.context(chunk + 16, 512, 1);
  std::string text;
  for (int c; (c = std::getchar()) != EOF;) text.push_back(static_cast<char>(c));
  const std::vector<int32_t> ids = side.tokenize(text);
  double loss = 0;
  uint32_t n_scored = 0;
  for (uint32_t first = 0; first + chunk <= ids.size() && first < chunk * n_chunks;
       first += chunk) {
    side.clear();
    for (uint32_t i = 0; i + 1 < chunk; ++i) {
      std::vector<int32_t> token = {ids[first + i]};
      side.decode(token);
      const float* logits = side.logits();
      if (i + 1 < chunk / 2) continue;
      const float largest = *std::max_element(logits, logits + side.n_vocab());
      double sum = 0;
      for (int32_t v = 0; v < side.n_vocab(); ++v) sum += std::exp(double{logits[v]} - largest);
      loss += std::log(sum) + largest - logits[ids[first + i + 1]];
      ++n_scored;
    }
  }
  std::printf("{\"perplexity\": %.9g, \"tokens\": %u}\n", std::exp(loss / n_scored), n_scored);
}

inline uint32_t number(const char* text) {
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

// Runs the command in args; false if it is none of them. args: COMMAND MODEL ...
template <typename Side>
bool run(Side& side, int n_args, char** args) {
  const std::string command = n_args > 1 ? args[0] : "";
  if (command == "bench" && n_args == 5) {
    bench(side, args[1], number(args[2]), number(args[3]), number(args[4]));
  } else if ((command == "greedy" || command == "follow") && n_args > 3) {
    const uint32_t n_predict = number(args[2]);
    std::vector<int32_t> prompt, forced;
    for (int i = 3; i < n_args; ++i) prompt.push_back(static_cast<int32_t>(number(args[i])));
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
