// SPDX-License-Identifier: Apache-2.0
// Numbers as a board engineer types them: decimal, 0x hexadecimal, 0 octal; nothing else.
#ifndef SLUICECTL_NUMBER_H
#define SLUICECTL_NUMBER_H

#include <cstdint>
#include <sluice/result.hpp>
#include <string>

namespace sluicectl {

// The Error code of what is wrong with the command line and not with a board.
inline constexpr int kUsage = -1;

// Signs, spaces, trailing characters and numbers beyond 64 bits are kUsage errors naming `text`.
sluice::Result<uint64_t> parse_number(const std::string& text);

// A frequency in Hz: "168MHz", "168M", "32.768kHz", "168000000". Parts of a Hz and more than 32
// bits are kUsage errors naming `text`.
sluice::Result<uint32_t> parse_frequency(const std::string& text);

// Does `text` start like a number? Names of registers do not.
bool looks_like_number(const std::string& text);

}  // namespace sluicectl

#endif  // SLUICECTL_NUMBER_H
