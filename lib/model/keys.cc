// SPDX-License-Identifier: Apache-2.0
#include "model/keys.h"

#include <fmt/format.h>

#include <cerrno>

namespace sluice {
namespace {

template <typename T>
Result<void> expect_range(const GgufFile& file, const std::string& name, T value, T least, T most) {
  if (value >= least && value <= most) return {};
  return fail(EBADMSG, fmt::format("{}: key {} is {}, expected {} to {}", file.path(), name, value,
                                   least, most));
}

}  // namespace

Result<uint32_t> Keys::number(std::string_view key, uint32_t least, uint32_t most) const {
  SLUICE_TRY(const uint64_t value, file_.get_u64(name(key)));
  SLUICE_CHECK(expect_range<uint64_t>(file_, name(key), value, least, most));
  return static_cast<uint32_t>(value);
}

Result<uint32_t> Keys::number_or(std::string_view key, uint32_t least, uint32_t most,
                                 uint32_t otherwise) const {
  return has(key) ? number(key, least, most) : Result<uint32_t>(otherwise);
}

Result<double> Keys::real(std::string_view key, double least, double most) const {
  SLUICE_TRY(const double value, file_.get_f64(name(key)));
  SLUICE_CHECK(expect_range(file_, name(key), value, least, most));
  return value;
}

Result<double> Keys::real_or(std::string_view key, double least, double most,
                             double otherwise) const {
  return has(key) ? real(key, least, most) : Result<double>(otherwise);
}

}  // namespace sluice
