// SPDX-License-Identifier: Apache-2.0
// Zip files whose entries are stored and not compressed, as torch.save writes them.
// Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3 (zip64).
#ifndef SLUICE_CONVERT_ZIP_H
#define SLUICE_CONVERT_ZIP_H

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>

#include <sluice/result.hpp>

namespace sluice::hf {

// Views into `bytes`, which outlive them, by entry name. EBADMSG: no zip file, or a malformed one;
// ENOTSUP: an entry that is compressed or encrypted, or several volumes.
using ZipEntries = std::unordered_map<std::string, std::span<const std::byte>>;
Result<ZipEntries> read_zip(std::span<const std::byte> bytes, const std::string& path);

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_ZIP_H
