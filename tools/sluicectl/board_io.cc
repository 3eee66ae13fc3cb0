// SPDX-License-Identifier: Apache-2.0
// Boards and registers as the command line names them.
#include "board_io.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sluice/emulator.hpp>

#include "number.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;

namespace {

Result<std::string> find_by_bus_name(const std::string& wanted) {
  std::vector<sluice::Error> skipped;
  SLUICE_TRY(const auto boards, sluice::Device::list(&skipped));
  for (const auto& board : boards) {
    if (board.name == wanted) return board.path;
  }
  if (skipped.empty()) return fail(ENODEV, fmt::format("no board named {}", wanted));
  return fail(skipped.front().code,
              fmt::format("no board named {} may be opened; {}", wanted, skipped.front().message));
}

Result<std::string> find_only_board() {
  std::vector<sluice::Error> skipped;
  SLUICE_TRY(const auto boards, sluice::Device::list(&skipped));
  if (boards.size() == 1) return boards[0].path;
  if (boards.size() > 1) {
    std::string names;
    for (const auto& board : boards) names += " " + board.path;
    return fail(kUsage,
                fmt::format("there are {} boards: choose one with -d:{}", boards.size(), names));
  }
  if (!skipped.empty()) return tl::unexpected<sluice::Error>(skipped.front());
  return fail(ENODEV, "no board: is the module loaded, and a board bound to it?");
}

}  // namespace

Result<std::string> find_device(const std::string& wanted) {
  if (wanted.empty()) return find_only_board();
  if (wanted.find('/') != wanted.npos) return wanted;
  // "0" or "sluice0"; "sluice-plain.0" is the name of a bus.
  const size_t number = wanted.rfind("sluice", 0) == 0 ? std::strlen("sluice") : 0;
  if (wanted.find_first_not_of("0123456789", number) == wanted.npos) {
    return "/dev/sluice" + wanted.substr(number);
  }
  return find_by_bus_name(wanted);
}

Result<Board> Board::open(const Options& options, bool read_only) {
  const auto open_device = [&]() -> Result<sluice::Device> {
    if (options.device == "emu") return sluice::Device::emulate({});
    SLUICE_TRY(const std::string path, find_device(options.device));
    return sluice::Device::open(path, read_only);
  };
  SLUICE_TRY(auto device, open_device());
  Board board(std::move(device), options, read_only);
  if (!options.board_file.empty()) SLUICE_CHECK(board.load(options.board_file));
  return board;
}

Result<void> Board::load(const std::string& path) {
  SLUICE_TRY(file_, load_board(path));
  SLUICE_TRY(const auto info, device_.info());
  if ((file_->vendor && *file_->vendor != info.vendor) ||
      (file_->device && *file_->device != info.device)) {
    return fail(EINVAL, fmt::format("{}: describes a board {:04x}:{:04x}, but {} is {:04x}:{:04x}",
                                    path, file_->vendor.value_or(info.vendor),
                                    file_->device.value_or(info.device), info.path, info.vendor,
                                    info.device));
  }
  return {};
}

Result<uint32_t> Board::window() const {
  if (options_.window) return *options_.window;
  SLUICE_TRY(const auto windows, device_.windows());
  for (const auto& window : windows) {
    if (window.kind == sluice::WindowKind::kRegisters) return window.index;
  }
  if (windows.empty()) return fail(ENXIO, "the board has no windows");
  return windows.front().index;
}

Result<Target> Board::target(const std::string& text) const {
  Target target;
  if (looks_like_number(text)) {
    SLUICE_TRY(target.offset, parse_number(text));
    SLUICE_TRY(target.window, window());
    target.width = options_.width.value_or(32);
    return target;
  }
  if (!file_) {
    return fail(kUsage, fmt::format("'{}' is not a number, and no --board describes it", text));
  }
  if (options_.window || options_.width) {
    return fail(kUsage, "--window and --width go with an offset; a named register has its own");
  }
  const size_t dot = text.find('.');
  target.reg = file_->find(text.substr(0, dot));
  if (target.reg == nullptr) {
    return fail(kUsage, fmt::format("{}: no register {}", file_->path, text.substr(0, dot)));
  }
  if (dot != text.npos) {
    target.field = target.reg->field(text.substr(dot + 1));
    if (target.field == nullptr) {
      return fail(kUsage, fmt::format("{}: register {} has no field {}", file_->path,
                                      target.reg->name, text.substr(dot + 1)));
    }
  }
  target.window = target.reg->window;
  target.offset = target.reg->offset;
  target.width = target.reg->width;
  return target;
}

Result<sluice::Mapping*> Board::mapping(const Target& target) {
  const auto page_size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t page = target.offset / page_size * page_size;
  const auto key = std::make_pair(target.window, page);
  auto found = mappings_.find(key);
  if (found == mappings_.end()) {
    SLUICE_TRY(const auto info, device_.window(target.window));
    const uint64_t rest = page < info.length ? info.length - page : page_size;
    SLUICE_TRY(auto mapping, device_.map(target.window, page, std::min(page_size, rest),
                                         sluice::MemoryType::kUncached, read_only_));
    found = mappings_.emplace(key, std::move(mapping)).first;
  }
  return &found->second;
}

Result<uint64_t> Board::read(const Target& target) {
  if (!options_.mmap) return device_.read_register(target.window, target.offset, target.width);
  SLUICE_TRY(sluice::Mapping * mapping, this->mapping(target));
  return mapping->read(target.offset % ::sysconf(_SC_PAGESIZE), target.width);
}

Result<void> Board::write(const Target& target, uint64_t value) {
  if (!options_.mmap) {
    return device_.write_register(target.window, target.offset, value, target.width);
  }
  SLUICE_TRY(sluice::Mapping * mapping, this->mapping(target));
  return mapping->write(target.offset % ::sysconf(_SC_PAGESIZE), value, target.width);
}

}  // namespace sluicectl
