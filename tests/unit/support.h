// SPDX-License-Identifier: Apache-2.0
// What unit tests share: Criterion, a scratch folder, files, errors, and
// the paths of fixtures. Tests run in the root of the checkout.
#ifndef SLUICE_TESTS_UNIT_SUPPORT_H
#define SLUICE_TESTS_UNIT_SUPPORT_H

#include <criterion/criterion.h>

#include <fmt/format.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <sluice/result.hpp>

namespace sluice::test {

// a == b, as numbers where both are; says what they were if not. Criterion 2.4's own comparisons
// take no constants in C++ and paste tokens onto what they are given.
template <typename A, typename B>
bool same(const A& a, const B& b) {
  bool equal;
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                !std::is_same_v<B, bool>) {
    equal = std::cmp_equal(a, b);
  } else {
    equal = a == b;
  }
  if (!equal) cr_log_error("%s", fmt::format("{} is not {}", a, b).c_str());
  return equal;
}

// True under sanitizers and valgrind: heavy tests take smaller sizes.
inline bool light() { return std::getenv("SLUICE_TEST_LIGHT") != nullptr; }

// True under valgrind, where a multiplication takes a hundred times as long: the smallest sizes.
inline bool lightest() {
  const char* value = std::getenv("SLUICE_TEST_LIGHT");
  return value && std::string_view(value) == "2";
}

// A folder that is removed with everything in it. A failed assertion leaves by longjmp and keeps
// it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  size_t n_files() const {
    const std::filesystem::directory_iterator begin(path_), end;
    return static_cast<size_t>(std::distance(begin, end));
  }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline nlohmann::json read_json(const std::string& path) {
  return nlohmann::json::parse(read_file(path), nullptr, false);
}

// A model that is not part of the project; empty where the machine does not have it.
inline std::string extra_model(const std::string& name) {
  const char* folder = std::getenv("SLUICE_TEST_MODELS");
  const std::string path = std::string(folder ? folder : "../shared/models") + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

// Whether a Result is the error `code` and its message holds every one of `parts`; says what it was
// instead.
template <typename T>
bool is_error(const Result<T>& result, int code, std::initializer_list<std::string_view> parts) {
  if (result) {
    cr_log_error("expected error %d, but the call succeeded", code);
    return false;
  }
  bool good = result.error().code == code;
  for (const std::string_view part : parts) {
    good = good && result.error().message.find(part) != std::string::npos;
  }
  if (!good) {
    cr_log_error("unexpected error %d: %s", result.error().code, result.error().message.c_str());
  }
  return good;
}

// The message of a failed Result, for assertions that expect success.
template <typename T>
const char* why(const Result<T>& result) {
  return result ? "" : result.error().message.c_str();
}

}  // namespace sluice::test

using sluice::test::same;

#endif  // SLUICE_TESTS_UNIT_SUPPORT_H
