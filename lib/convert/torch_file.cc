// SPDX-License-Identifier: Apache-2.0
// PyTorch's zip files: PREFIX/data.pkl describes the tensors, PREFIX/data/KEY holds a storage.
#include <fmt/format.h>

#include <cerrno>

#include "convert/pickle.h"
#include "convert/source.h"
#include "convert/zip.h"
#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_contiguous(const PickledTensor& tensor) {
  uint64_t stride = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    // The stride of a dimension of one element is of no account.
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

Result<SourceTensor> place(const PickledTensor& pickled, const ZipEntries& entries,
                           const std::string& prefix, const std::string& path) {
  const std::string subject = fmt::format("{}: tensor '{}'", path, gguf::printable(pickled.name));
  const auto bad = [&](const std::string& what) { return fail(EBADMSG, subject + ": " + what); };
  const auto entry = entries.find(prefix + "/data/" + pickled.storage);
  if (entry == entries.end()) {
    return bad(fmt::format("no zip entry '{}/data/{}'", prefix, gguf::printable(pickled.storage)));
  }
  const auto bytes = entry->second;
  const uint32_t size = pickled.type->bytes;
  if (bytes.size() % size != 0 || bytes.size() / size != pickled.n_storage) {
    return bad(fmt::format("storage {} has {} bytes, expected {} elements of {}",
                           gguf::printable(pickled.storage), bytes.size(), pickled.n_storage,
                           size));
  }
  SourceTensor out;
  out.path = path;
  out.type = pickled.type->safetensors;
  if (pickled.type->format) out.format = find_format(std::string_view(pickled.type->format));
  out.shape = pickled.shape;
  SLUICE_TRY(const uint64_t n_bytes, bytes_of(out.shape, size, subject));
  if (!is_contiguous(pickled)) {
    return fail(ENOTSUP,
                fmt::format("{}: strides [{}] of shape [{}], expected values in order", subject,
                            fmt::join(pickled.strides, ", "), fmt::join(pickled.shape, ", ")));
  }
  if (pickled.offset > pickled.n_storage || n_bytes / size > pickled.n_storage - pickled.offset) {
    return bad(fmt::format("{} elements from {} on, its storage has {}", n_bytes / size,
                           pickled.offset, pickled.n_storage));
  }
  out.data = bytes.subspan(pickled.offset * size, n_bytes);
  return out;
}

}  // namespace

Result<SourceTensors> read_torch(std::span<const std::byte> bytes, const std::string& path) {
  SLUICE_TRY(const ZipEntries entries, read_zip(bytes, path));
  const std::string* pickle = nullptr;
  for (const auto& [name, data] : entries) {
    if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
    if (pickle) return fail(EBADMSG, path + ": two zip entries 'data.pkl'");
    pickle = &name;
  }
  if (!pickle) return fail(EBADMSG, path + ": no zip entry 'data.pkl' in a folder");
  const std::string prefix = pickle->substr(0, pickle->size() - kPickle.size());
  const auto order = entries.find(prefix + "/byteorder");
  if (order != entries.end() && text_of(order->second) != "little") {
    return fail(ENOTSUP, fmt::format("{}: zip entry 'byteorder' is '{}', expected 'little'", path,
                                     gguf::printable(text_of(order->second))));
  }
  SLUICE_TRY(const auto tensors, read_state_dict(entries.at(*pickle), path));
  SourceTensors out;
  for (const PickledTensor& pickled : tensors) {
    SLUICE_TRY(SourceTensor tensor, place(pickled, entries, prefix, path));
    if (!out.emplace(pickled.name, std::move(tensor)).second) {
      return fail(EBADMSG,
                  fmt::format("{}: two tensors '{}'", path, gguf::printable(pickled.name)));
    }
  }
  return out;
}

}  // namespace sluice::hf
