// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, streaming-safe: the tokenizer, the incremental detokenizer and the
// stop matcher.
#ifndef SLUICE_TEXT_HPP
#define SLUICE_TEXT_HPP

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

class GgufFile;

// Immutable and safe to share between threads.
class Tokenizer {
 public:
  // Reads tokenizer.ggml.*. ENOTSUP: a model of tokenizer that is not in the table; EBADMSG:
  // malformed.
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted; what is no valid UTF-8 becomes byte tokens. Special tokens in the text
  // are not recognised. With `add_bos` the BOS id comes first, if the model has one.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_bos) const = 0;
  // The text of the ids; control tokens have none. The space that encode() put in front is dropped.
  // Ids outside the vocabulary are EINVAL.
  virtual Result<std::string> decode(std::span<const int32_t> ids) const = 0;
  // The bytes that one id stands for, in the middle of a text ("" for control tokens).
  virtual std::string_view piece(int32_t id) const = 0;

  virtual uint32_t n_vocab() const = 0;
  virtual int32_t bos() const = 0;            // -1: none
  virtual int32_t eos() const = 0;            // -1: none
  virtual bool add_bos() const = 0;           // whether the model wants BOS in front of a text
  virtual bool is_end(int32_t id) const = 0;  // generation ends here (EOS, EOT)
  virtual bool strips_leading_space() const = 0;
};

// Ids to text piece by piece: what push() returns is always whole UTF-8 characters, a character
// that is spread over several byte tokens comes out when it is complete. Bytes that can become no
// character come out as U+FFFD.
class Detokenizer {
 public:
  // `at_start`: these ids begin a text, so the first leading space is dropped.
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool at_start = false);
  std::string push(int32_t id);
  std::string flush();  // what is still held back

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool drop_space_;
  std::string pending_;
};

// Finds stop strings in a stream of text, holding back what could be the beginning of one.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);
  // Text that may be shown now. After a stop string was found: what stood before it, then nothing.
  std::string push(std::string_view text);
  std::string flush();  // what was held back, at the end of the stream
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace sluice

#endif  // SLUICE_TEXT_HPP
