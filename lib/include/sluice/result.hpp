// SPDX-License-Identifier: Apache-2.0
// Result<T> and Error: how every fallible function of libsluice reports failure.
// No exception of our own is thrown; std::bad_alloc may pass through C++ functions, never through C
// ones.
#ifndef SLUICE_RESULT_HPP
#define SLUICE_RESULT_HPP

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

// What went wrong. `code` is a positive errno value (EINVAL, ENOENT, EBADMSG for malformed data,
// ...); `message` names the path, offset, key or field that it is about and what was expected.
struct Error {
  int code = 0;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

// Makes the failure value of any Result.
inline tl::unexpected<Error> fail(int code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace sluice

// Evaluates a Result expression; on failure returns its error from the enclosing function, else
// assigns the value to `lhs`. `lhs` may be a declaration.
#define SLUICE_TRY(lhs, expr) SLUICE_TRY_IMPL_(SLUICE_CAT_(sluice_try_, __LINE__), lhs, expr)
// The same for a Result<void>, or where the value is not wanted.
#define SLUICE_CHECK(expr) SLUICE_CHECK_IMPL_(SLUICE_CAT_(sluice_check_, __LINE__), expr)

#define SLUICE_CAT_(a, b) SLUICE_CAT2_(a, b)
#define SLUICE_CAT2_(a, b) a##b
#define SLUICE_TRY_IMPL_(tmp, lhs, expr)                                    \
  auto tmp = (expr);                                                        \
  if (!tmp) return tl::unexpected<::sluice::Error>(std::move(tmp).error()); \
  lhs = std::move(*tmp)
#define SLUICE_CHECK_IMPL_(tmp, expr) \
  if (auto tmp = (expr); !tmp) return tl::unexpected<::sluice::Error>(std::move(tmp).error())

#endif  // SLUICE_RESULT_HPP
