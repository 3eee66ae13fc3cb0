// SPDX-License-Identifier: Apache-2.0
// tokenizer.model: a protobuf message, of which a few fields are read. Wire format:
// protobuf.dev/programming-guides/encoding.
#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "convert/vocabulary.h"
#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

enum Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  Wire wire = kVarint;
  uint64_t value = 0;                // of numbers
  std::span<const std::byte> bytes;  // of kBytes
  uint64_t offset = 0;               // in the file, for messages
};

// The fields of one message.
class Message {
 public:
  Message(std::span<const std::byte> bytes, const std::string& path, uint64_t base)
      : bytes_(bytes), path_(path), base_(base) {}
  bool at_end() const { return at_ == bytes_.size(); }
  Result<Field> next();
  tl::unexpected<Error> bad(uint64_t offset, const std::string& what) const {
    return fail(EBADMSG, fmt::format("{}: at offset {}: {}", path_, base_ + offset, what));
  }

 private:
  Result<uint64_t> varint();
  Result<uint64_t> fixed(size_t n);

  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t base_, at_ = 0;
};

Result<uint64_t> Message::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_end()) return bad(at_, "the message ends within a number");
    const auto byte = static_cast<uint8_t>(bytes_[at_++]);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return bad(at_, "a number of more than 64 bits");
}

Result<uint64_t> Message::fixed(size_t n) {
  if (bytes_.size() - at_ < n) return bad(at_, "the message ends within a number");
  uint64_t value = 0;
  std::memcpy(&value, bytes_.data() + at_, n);
  at_ += n;
  return value;
}

Result<Field> Message::next() {
  Field out;
  out.offset = base_ + at_;
  SLUICE_TRY(const uint64_t tag, varint());
  out.wire = static_cast<Wire>(tag & 7);
  if (tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1) {
    return bad(at_, "no SentencePiece model (a field number out of range)");
  }
  out.number = static_cast<uint32_t>(tag >> 3);
  switch (out.wire) {
    case kVarint: {
      SLUICE_TRY(out.value, varint());
      return out;
    }
    case kFixed64: {
      SLUICE_TRY(out.value, fixed(8));
      return out;
    }
    case kFixed32: {
      SLUICE_TRY(out.value, fixed(4));
      return out;
    }
    case kBytes: {
      SLUICE_TRY(const uint64_t n, varint());
      if (n > bytes_.size() - at_) {
        return bad(at_, fmt::format("{} bytes, but {} are left", n, bytes_.size() - at_));
      }
      out.bytes = bytes_.subspan(at_, n);
      at_ += n;
      return out;
    }
  }
  return bad(at_, fmt::format("no SentencePiece model (wire type {})", tag & 7));
}

// Numbers of fields.
constexpr uint32_t kPieces = 1, kTrainer = 2, kNormalizer = 3;       // ModelProto
constexpr uint32_t kPieceText = 1, kPieceScore = 2, kPieceType = 3;  // SentencePiece
constexpr uint32_t kModelType = 3, kDummyPrefix = 3;                 // of the two specs
constexpr uint64_t kUnigram = 1, kBpe = 2;

struct Piece {
  std::string text;
  float score = 0;
  TokenType type = TokenType::kNormal;
};

// The types are numbered as in GGUF, which took them from here.
Result<Piece> read_piece(const Field& field, const std::string& path) {
  Piece out;
  Message message(field.bytes, path, field.offset);
  while (!message.at_end()) {
    SLUICE_TRY(const Field f, message.next());
    if (f.number == kPieceText && f.wire == kBytes) {
      out.text.assign(reinterpret_cast<const char*>(f.bytes.data()), f.bytes.size());
    } else if (f.number == kPieceScore && f.wire == kFixed32) {
      const auto bits = static_cast<uint32_t>(f.value);
      std::memcpy(&out.score, &bits, sizeof(bits));
    } else if (f.number == kPieceType && f.wire == kVarint) {
      if (f.value < 1 || f.value > static_cast<uint64_t>(TokenType::kByte)) {
        return fail(EBADMSG, fmt::format("{}: at offset {}: a piece of type {}, expected 1 to 6",
                                         path, f.offset, f.value));
      }
      out.type = static_cast<TokenType>(f.value);
    }
  }
  if (out.text.empty() || !std::isfinite(out.score)) {
    return fail(EBADMSG, fmt::format("{}: at offset {}: a piece without a text or with a score "
                                     "that is no number",
                                     path, field.offset));
  }
  return out;
}

// The value of a number of a message, or what it is where it is not there.
Result<uint64_t> read_number(const Field& field, const std::string& path, uint32_t number,
                             uint64_t otherwise) {
  Message message(field.bytes, path, field.offset);
  while (!message.at_end()) {
    SLUICE_TRY(const Field f, message.next());
    if (f.number == number && f.wire == kVarint) otherwise = f.value;
  }
  return otherwise;
}

}  // namespace

Result<VocabularyData> read_sentencepiece(std::span<const std::byte> bytes, const std::string& path,
                                          uint32_t n_vocab) {
  VocabularyData out(n_vocab);
  out.model = "llama";
  out.pre = "default";
  out.add_space_prefix = true;
  uint32_t n = 0;
  Message message(bytes, path, 0);
  while (!message.at_end()) {
    SLUICE_TRY(const Field field, message.next());
    if (field.wire != kBytes) continue;
    if (field.number == kTrainer) {
      SLUICE_TRY(const uint64_t type, read_number(field, path, kModelType, kUnigram));
      if (type != kBpe) {
        return fail(ENOTSUP, fmt::format("{}: model type {}, expected {} (byte-pair encoding)",
                                         path, type, kBpe));
      }
    } else if (field.number == kNormalizer) {
      SLUICE_TRY(const uint64_t prefix, read_number(field, path, kDummyPrefix, 1));
      out.add_space_prefix = prefix != 0;
    } else if (field.number == kPieces) {
      SLUICE_TRY(Piece piece, read_piece(field, path));
      if (n == n_vocab) {
        return fail(EBADMSG, fmt::format("{}: more pieces than the {} rows of the embedding", path,
                                         n_vocab));
      }
      if (piece.type == TokenType::kByte && byte_of_token(piece.text) < 0) {
        return fail(EBADMSG, fmt::format("{}: piece {} is '{}', expected a byte like '<0x41>'",
                                         path, n, gguf::printable(piece.text)));
      }
      out.put(n++, std::move(piece.text), piece.score, piece.type);
    }
  }
  if (n == 0) return fail(EBADMSG, path + ": no SentencePiece model (it has no pieces)");
  return out;
}

}  // namespace sluice::hf
