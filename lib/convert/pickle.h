// SPDX-License-Identifier: Apache-2.0
// Python pickles that hold a state dict of tensors. Nothing is executed: of the opcodes those are
// known that torch.save needs, of the globals those that make dictionaries and tensors.
// Opcodes: github.com/python/cpython, Lib/pickletools.py (protocol 2).
#ifndef SLUICE_CONVERT_PICKLE_H
#define SLUICE_CONVERT_PICKLE_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sluice/result.hpp>

#include "convert/source.h"

namespace sluice::hf {

// A tensor as a pickle describes it: a part of a storage, which is an entry of its own.
struct PickledTensor {
  std::string name;
  const SourceType* type = nullptr;
  std::string storage;     // key of the storage
  uint64_t n_storage = 0;  // elements of it
  uint64_t offset = 0;     // elements before the first
  std::vector<uint64_t> shape, strides;
};

// The tensors in the order of the dict. EBADMSG: malformed, or no dict of tensors; ENOTSUP: an
// opcode or global that a state dict has no need of. Messages name the offset.
Result<std::vector<PickledTensor>> read_state_dict(std::span<const std::byte> bytes,
                                                   const std::string& path);

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_PICKLE_H
