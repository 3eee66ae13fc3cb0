// SPDX-License-Identifier: Apache-2.0
// The daemon's settings. One table names them all; the TOML file, the environment, the command line
// and --help follow from it.
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <sluice/result.hpp>

namespace sluice::daemon {

// The initial values are the defaults.
struct Settings {
  std::string config;
  std::string model;
  std::string model_name;
  std::string device = "auto";
  uint64_t device_layers = 65536;  // as many as there are
  uint64_t threads = 0;
  uint64_t max_sequences = 16;
  uint64_t max_batch_tokens = 512;
  uint64_t kv_tokens = 0;
  std::string arithmetic = "exact";
  std::string kv_type = "f16";
  std::string weights = "mapped";
  uint64_t max_queue = 128;

  std::string host = "127.0.0.1";
  uint64_t port = 8080;
  std::string api_key_file;
  std::string cors_origin;
  uint64_t http_threads = 2;
  uint64_t max_connections = 256;
  uint64_t max_body_bytes = 4 << 20;
  uint64_t header_seconds = 10;
  uint64_t body_seconds = 30;
  uint64_t write_seconds = 30;
  uint64_t keep_alive_seconds = 75;
  uint64_t drain_seconds = 30;

  std::string log_level = "info";
};

// One row: the setting is `name` in the TOML file, --name (with dashes) on the command line and
// SLUICED_NAME in the environment.
struct Setting {
  const char* name;
  const char* short_flag;  // "-m", or null
  const char* metavar;     // what stands for the value in --help
  std::variant<std::string Settings::*, uint64_t Settings::*> member;
  uint64_t min;  // numbers: the range that is accepted
  uint64_t max;
  const char* choices;  // texts: the accepted values separated by '|', or null for any
  const char* help;
};

std::span<const Setting> settings_table();

// Sets one setting from text. EINVAL naming `source` and what was expected.
Result<void> set_setting(Settings& settings, const Setting& setting, std::string_view text,
                         std::string_view source);

// Reads a TOML file over `settings`. Errors of open(2) keep their code; EINVAL: malformed, a key
// that is not in the table, or a value of the wrong type or range, with file and line.
Result<void> read_config_file(Settings& settings, const std::string& path);

// Reads SLUICED_* variables over `settings`; `get` is getenv(3), or stands for it in tests.
Result<void> read_environment(Settings& settings,
                              const std::function<const char*(const char*)>& get);

struct ParsedArguments {
  Settings settings;
  std::string output;  // not empty: print this (--help, --version) and exit with success
};

// Everything together: defaults, the file that --config or SLUICED_CONFIG names, environment,
// flags, later ones winning. EINVAL: wrong usage.
Result<ParsedArguments> read_settings(int argc, const char* const* argv,
                                      const std::function<const char*(const char*)>& get_env);

}  // namespace sluice::daemon

#endif  // DAEMON_SETTINGS_H
