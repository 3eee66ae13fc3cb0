// SPDX-License-Identifier: Apache-2.0
// What sluicectl does, one function per command; each returns what is to be printed.
#ifndef SLUICECTL_COMMANDS_H
#define SLUICECTL_COMMANDS_H

#include <optional>
#include <sluice/result.hpp>
#include <string>

#include "board_io.h"

namespace sluicectl {

// Boards that may not be opened are named in `*ret_skipped`, a line each.
sluice::Result<std::string> list(const Options& options, std::string* ret_skipped);
sluice::Result<std::string> info(const Options& options);
sluice::Result<std::string> reg_read(const Options& options, const std::string& target);
// `value` is a number or, for a field, one of its names. With a mask only those bits of a register
// change.
sluice::Result<std::string> reg_write(const Options& options, const std::string& target,
                                      const std::string& value, std::optional<uint64_t> mask);
// Reads until the register, or its field, has that value; what was read last. ETIMEDOUT.
sluice::Result<std::string> reg_poll(const Options& options, const std::string& target,
                                     const std::string& value, uint64_t timeout_ms);
// Without a range: all named registers that can be read, or the first 256 bytes of the window.
sluice::Result<std::string> reg_dump(const Options& options, std::optional<uint64_t> offset,
                                     std::optional<uint64_t> length);
sluice::Result<std::string> map_dump(const Options& options, uint64_t offset,
                                     std::optional<uint64_t> length);
// Waits for the next interrupt, `timeout_ms` at most (not given: for ever).
sluice::Result<std::string> irq_wait(const Options& options, std::optional<uint64_t> timeout_ms);

// Checks a board against the Device Interface; a check that failed is an error behind the output.
sluice::Result<std::string> check_board(const Options& options);

}  // namespace sluicectl

#endif  // SLUICECTL_COMMANDS_H
