// SPDX-License-Identifier: Apache-2.0
// The commands of sluicectl.
#include "commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>

#include "number.h"
#include "print.h"
#include "tools/common/cli.h"
#include "tools/sluicectl/conform/conform.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;

namespace {

constexpr uint64_t kDefaultDump = 256;      // bytes
constexpr uint64_t kMaxDump = 64ull << 20;  // bytes; more than anybody reads, less than memory

// The number of bytes to dump from `offset` on, checked against the window.
Result<uint64_t> dump_length(const sluice::WindowInfo& window, uint64_t offset,
                             std::optional<uint64_t> length, unsigned width) {
  const uint64_t rest = offset < window.length ? window.length - offset : 0;
  const uint64_t bytes = length.value_or(std::max<uint64_t>(std::min(rest, kDefaultDump), 1));
  if (bytes > rest) {
    return fail(ERANGE, fmt::format("window {}: {:#x} bytes from offset {:#x} on are past the end "
                                    "at {:#x}",
                                    window.index, bytes, offset, window.length));
  }
  if (bytes == 0 || bytes > kMaxDump || bytes % (width / 8) != 0 || offset % (width / 8) != 0) {
    return fail(kUsage, fmt::format("dump of {:#x} bytes from offset {:#x} on: expected multiples "
                                    "of {}, and at most {:#x} bytes",
                                    bytes, offset, width / 8, kMaxDump));
  }
  return bytes;
}

// Reads a range register by register.
Result<std::string> dump_range(Board& board, const Options& options, uint64_t offset,
                               std::optional<uint64_t> length) {
  Target at;
  at.width = options.width.value_or(32);
  SLUICE_TRY(at.window, board.window());
  SLUICE_TRY(const auto window, board.device().window(at.window));
  SLUICE_TRY(const uint64_t bytes, dump_length(window, offset, length, at.width));
  std::vector<uint64_t> values;
  for (uint64_t done = 0; done < bytes; done += at.width / 8) {
    at.offset = offset + done;
    SLUICE_TRY(const uint64_t value, board.read(at));
    values.push_back(value);
  }
  if (options.json) return json_line(dump_json(at.window, offset, at.width, values));
  return dump_text(offset, at.width, values);
}

// Reads every register of the description that has something to read.
Result<std::string> dump_named(Board& board, const Options& options) {
  std::string text;
  Json json = Json::array();
  for (const Register& reg : board.file()->registers) {
    if (reg.access == Access::kWriteOnly) continue;
    SLUICE_TRY(const Target target, board.target(reg.name));
    SLUICE_TRY(const uint64_t value, board.read(target));
    if (options.json) {
      json.push_back(value_json(target, value));
    } else {
      text += value_text(target, value);
    }
  }
  return options.json ? json_line(json) : text;
}

// The number that `text` means for `target`.
Result<uint64_t> parse_value(const Target& target, const std::string& text) {
  if (target.field != nullptr && !looks_like_number(text)) {
    for (const EnumName& entry : target.field->names) {
      if (entry.name == text) return entry.value;
    }
    return fail(kUsage, fmt::format("field {} has no value named {}", target.field->name, text));
  }
  SLUICE_TRY(const uint64_t value, parse_number(text));
  const uint64_t max = target.field ? target.field->max() : ~uint64_t{0} >> (64 - target.width);
  if (value > max) {
    return fail(EINVAL, fmt::format("value {:#x} does not fit: the largest is {:#x}", value, max));
  }
  return value;
}

Result<void> check_access(const Target& target, bool write) {
  if (target.reg == nullptr) return {};
  if (write && target.reg->access == Access::kReadOnly) {
    return fail(EPERM, fmt::format("register {} is described as read-only", target.reg->name));
  }
  // Writing a field means reading the rest of the register first.
  const bool reads = !write || target.field != nullptr;
  if (reads && target.reg->access == Access::kWriteOnly) {
    return fail(EPERM, fmt::format("register {} is described as write-only", target.reg->name));
  }
  return {};
}

}  // namespace

Result<std::string> list(const Options& options, std::string* ret_skipped) {
  std::vector<sluice::Error> skipped;
  SLUICE_TRY(const auto boards, sluice::Device::list(&skipped));
  for (const auto& error : skipped) *ret_skipped += error.message + "\n";
  if (!options.json) return boards_text(boards);
  Json json = Json::array();
  for (const auto& board : boards) json.push_back(board_json(board));
  return json_line(json);
}

Result<std::string> info(const Options& options) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const auto info, board.device().info());
  SLUICE_TRY(const auto windows, board.device().windows());
  return options.json ? json_line(info_json(info, windows)) : info_text(info, windows);
}

Result<std::string> reg_read(const Options& options, const std::string& target_text) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const Target target, board.target(target_text));
  SLUICE_CHECK(check_access(target, false));
  SLUICE_TRY(const uint64_t value, board.read(target));
  return options.json ? json_line(value_json(target, value)) : value_text(target, value);
}

Result<std::string> reg_write(const Options& options, const std::string& target_text,
                              const std::string& value_text, std::optional<uint64_t> mask) {
  SLUICE_TRY(Board board, Board::open(options, false));
  SLUICE_TRY(const Target target, board.target(target_text));
  SLUICE_TRY(uint64_t value, parse_value(target, value_text));
  SLUICE_CHECK(check_access(target, true));
  if (mask && target.field != nullptr) {
    return fail(kUsage, target_text + ": a field is its own mask");
  }
  if (target.field != nullptr) {
    mask = target.field->mask();
    value <<= target.field->low;
  }
  if (!mask) {
    SLUICE_CHECK(board.write(target, value));
  } else if (options.mmap) {
    SLUICE_TRY(const uint64_t old, board.read(target));
    value = (old & ~*mask) | (value & *mask);
    SLUICE_CHECK(board.write(target, value));
  } else {
    SLUICE_TRY(const uint64_t old, board.device().update_register(target.window, target.offset,
                                                                  *mask, value, target.width));
    value = (old & ~*mask) | value;
  }
  return options.json ? json_line(value_json(target, value)) : std::string();
}

Result<std::string> reg_poll(const Options& options, const std::string& target_text,
                             const std::string& wanted, uint64_t timeout_ms) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const Target target, board.target(target_text));
  SLUICE_TRY(uint64_t value, parse_value(target, wanted));
  SLUICE_CHECK(check_access(target, false));
  uint64_t mask = target.width == 64 ? ~uint64_t{0} : (uint64_t{1} << target.width) - 1;
  if (target.field != nullptr) {
    mask = target.field->mask();
    value <<= target.field->low;
  }
  const auto seen =
      board.device().poll_register(target.window, target.offset, mask, value,
                                   std::chrono::milliseconds(timeout_ms), target.width);
  if (!seen && seen.error().code == ETIMEDOUT) {
    SLUICE_TRY(const uint64_t now, board.read(target));
    return fail(ETIMEDOUT, fmt::format("{}: not {} within {} ms: {}", target_text, wanted,
                                       timeout_ms, hex(now, target.width)));
  }
  SLUICE_CHECK(seen);
  return options.json ? json_line(value_json(target, *seen)) : value_text(target, *seen);
}

Result<std::string> reg_dump(const Options& options, std::optional<uint64_t> offset,
                             std::optional<uint64_t> length) {
  SLUICE_TRY(Board board, Board::open(options, true));
  if (!offset && board.file() != nullptr) return dump_named(board, options);
  return dump_range(board, options, offset.value_or(0), length);
}

Result<std::string> map_dump(const Options& options, uint64_t offset,
                             std::optional<uint64_t> length) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const uint32_t index, board.window());
  SLUICE_TRY(const auto window, board.device().window(index));
  const unsigned width = options.width.value_or(32);
  SLUICE_TRY(const uint64_t bytes, dump_length(window, offset, length, width));
  const uint64_t skip = offset % static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  SLUICE_TRY(const auto mapping, board.device().map(index, offset - skip, skip + bytes,
                                                    sluice::MemoryType::kUncached, true));
  std::vector<uint64_t> values;
  for (uint64_t at = skip; at < skip + bytes; at += width / 8) {
    SLUICE_TRY(const uint64_t value, mapping.read(at, width));
    values.push_back(value);
  }
  if (options.json) return json_line(dump_json(index, offset, width, values));
  return dump_text(offset, width, values);
}

Result<std::string> irq_wait(const Options& options, std::optional<uint64_t> timeout_ms) {
  SLUICE_TRY(Board board, Board::open(options, true));
  SLUICE_TRY(const uint64_t before, board.device().arm_interrupt());
  const int64_t wait =
      timeout_ms ? static_cast<int64_t>(std::min<uint64_t>(*timeout_ms, INT_MAX)) : -1;
  SLUICE_TRY(const auto count, board.device().wait_interrupt(std::chrono::milliseconds(wait)));
  if (!count) return fail(ETIMEDOUT, fmt::format("no interrupt within {} ms", wait));
  if (options.json) return json_line({{"count", *count}, {"new", *count - before}});
  return fmt::format("{}\n", *count);
}

Result<std::string> check_board(const Options& options) {
  SLUICE_TRY(Board board, Board::open(options, false));
  std::string output;
  SLUICE_TRY(const auto report, conform::run_all(board.device(), options.json, &output));
  if (report.n_failed == 0) return output;
  sluice::cli::write_out(output);
  return fail(EPROTO, fmt::format("the board failed {} checks", report.n_failed));
}

}  // namespace sluicectl
