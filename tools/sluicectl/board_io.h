// SPDX-License-Identifier: Apache-2.0
// Choosing a board and a register of it, and reaching that register by system call or by mapping.
#ifndef SLUICECTL_BOARD_IO_H
#define SLUICECTL_BOARD_IO_H

#include <map>
#include <optional>
#include <sluice/device.hpp>
#include <string>

#include "board_file.h"

namespace sluicectl {

// What the command line says for every command.
struct Options {
  std::string device;      // empty: the only board
  std::string board_file;  // empty: none
  std::optional<uint32_t> window;
  std::optional<unsigned> width;
  bool json = false;
  bool mmap = false;
};

// The device file for -d: a path, "sluiceN", "N", a bus name, or nothing for the only board.
sluice::Result<std::string> find_device(const std::string& wanted);

// A register, or a field of one, as the command line names it.
struct Target {
  const Register* reg = nullptr;  // null: given by offset
  const Field* field = nullptr;   // null: the whole register
  uint32_t window = 0;
  uint64_t offset = 0;
  unsigned width = 32;
};

// An open board with its description.
class Board {
 public:
  static sluice::Result<Board> open(const Options& options, bool read_only);

  sluice::Device& device() { return device_; }
  const BoardFile* file() const { return file_ ? &*file_ : nullptr; }

  // "0x10", "CTRL" or "CTRL.ENABLE".
  sluice::Result<Target> target(const std::string& text) const;
  // --window, or the first window of registers.
  sluice::Result<uint32_t> window() const;

  sluice::Result<uint64_t> read(const Target& target);
  sluice::Result<void> write(const Target& target, uint64_t value);

 private:
  Board(sluice::Device device, const Options& options, bool read_only)
      : device_(std::move(device)), options_(options), read_only_(read_only) {}
  sluice::Result<void> load(const std::string& path);
  // The mapping of the page or two around a register.
  sluice::Result<sluice::Mapping*> mapping(const Target& target);

  sluice::Device device_;
  std::optional<BoardFile> file_;
  Options options_;
  bool read_only_;
  std::map<std::pair<uint32_t, uint64_t>, sluice::Mapping> mappings_;  // by window and page
};

}  // namespace sluicectl

#endif  // SLUICECTL_BOARD_IO_H
