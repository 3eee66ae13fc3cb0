// SPDX-License-Identifier: Apache-2.0
// The table of settings and its three readers.
#include "settings.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace sluice::daemon {
namespace {

using S = Settings;
constexpr uint64_t kDay = 86400;  // longest time limit, in seconds

// Rows are in the order of --help. The range of a number, or the choices of a text, follow the
// member.
const Setting kTable[] = {
    {"config", nullptr, "FILE", &S::config, 0, 0, nullptr, "read settings from this TOML file"},
    {"model", "-m", "FILE", &S::model, 0, 0, nullptr,
     "GGUF file to serve; without it the embedded model"},
    {"model_name", nullptr, "NAME", &S::model_name, 0, 0, nullptr,
     "id of the model in the API; without it the model's own name"},
    {"device", nullptr, "DEVICE", &S::device, 0, 0, "auto|cpu|emu|/dev/sluiceN",
     "where the model runs; auto: the first board that is free, else the CPU"},
    {"device_layers", nullptr, "N", &S::device_layers, 0, 65536, nullptr,
     "layers for the board, the last ones; the others run on the CPU"},
    {"threads", "-t", "N", &S::threads, 0, 1024, nullptr,
     "compute threads; 0: as many as the process may use"},
    {"max_sequences", nullptr, "N", &S::max_sequences, 1, 1024, nullptr,
     "sequences that generate at the same time"},
    {"max_batch_tokens", nullptr, "N", &S::max_batch_tokens, 16, 65536, nullptr,
     "tokens in one step, all sequences together"},
    {"kv_tokens", nullptr, "N", &S::kv_tokens, 0, uint64_t{1} << 32, nullptr,
     "room in the KV cache, in tokens; 0: one context and a step"},
    {"arithmetic", nullptr, "MODE", &S::arithmetic, 0, 0, "exact|fast",
     "of prompts; fast: weights quantized again to 8 bits, or floats rounded to bf16, for machines "
     "with AMX"},
    {"kv_type", nullptr, "TYPE", &S::kv_type, 0, 0, "f16|bf16|q8_0",
     "how keys and values are kept"},
    {"weights", nullptr, "PLACE", &S::weights, 0, 0, "mapped|huge-pages",
     "where the CPU's weights are: in the file's mapping, or copied to memory in huge pages"},
    {"max_queue", nullptr, "N", &S::max_queue, 1, 65536, nullptr,
     "sequences that may wait; more are refused with status 503"},
    {"host", nullptr, "HOST", &S::host, 0, 0, nullptr, "address to listen on"},
    {"port", nullptr, "PORT", &S::port, 0, 65535, nullptr, "TCP port; 0: any free one"},
    {"api_key_file", nullptr, "FILE", &S::api_key_file, 0, 0, nullptr,
     "accept only requests with a key from this file, one a line"},
    {"cors_origin", nullptr, "ORIGIN", &S::cors_origin, 0, 0, nullptr,
     "let pages of this origin (or *) call the API; without it none"},
    {"http_threads", nullptr, "N", &S::http_threads, 1, 64, nullptr, "network threads"},
    {"max_connections", nullptr, "N", &S::max_connections, 1, 65536, nullptr,
     "connections at the same time"},
    {"max_body_bytes", nullptr, "N", &S::max_body_bytes, 1024, uint64_t{1} << 30, nullptr,
     "longest request body"},
    {"header_seconds", nullptr, "S", &S::header_seconds, 1, kDay, nullptr,
     "time for a request's header to arrive"},
    {"body_seconds", nullptr, "S", &S::body_seconds, 1, kDay, nullptr,
     "time for a request's body to arrive"},
    {"write_seconds", nullptr, "S", &S::write_seconds, 1, kDay, nullptr,
     "time for a client to take what was sent"},
    {"keep_alive_seconds", nullptr, "S", &S::keep_alive_seconds, 1, kDay, nullptr,
     "time that an idle connection stays open"},
    {"drain_seconds", nullptr, "S", &S::drain_seconds, 0, kDay, nullptr,
     "time for running requests to finish after SIGTERM or SIGINT"},
    {"log_level", nullptr, "LEVEL", &S::log_level, 0, 0, "debug|info|warn|error",
     "least severe messages to log"},
};

const Setting* find_setting(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTable), std::end(kTable),
                                   [&](const Setting& setting) { return setting.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

std::string flag_of(const Setting& setting) {
  std::string flag = fmt::format("--{}", setting.name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string variable_of(const Setting& setting) {
  std::string variable = fmt::format("SLUICED_{}", setting.name);
  for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

bool is_number(const Setting& setting) {
  return std::holds_alternative<uint64_t Settings::*>(setting.member);
}

// Is `text` one of them? A choice that is a path stands for any path.
bool is_choice(std::string_view choices, std::string_view text) {
  while (!choices.empty()) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    const std::string_view choice = choices.substr(0, bar);
    if (choice == text || (choice.starts_with("/") && text.starts_with("/"))) return true;
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return false;
}

std::string help_of(const Setting& setting) {
  std::string help = setting.help;
  if (setting.choices != nullptr) help += fmt::format(" ({})", setting.choices);
  const Settings defaults;
  if (is_number(setting)) {
    help += fmt::format(" [{}]", defaults.*std::get<uint64_t Settings::*>(setting.member));
  } else if (const auto& text = defaults.*std::get<std::string Settings::*>(setting.member);
             !text.empty()) {
    help += fmt::format(" [{}]", text);
  }
  return help;
}

Result<std::string> read_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // Reading a folder opens well and then fails, so both are looked at.
  if (!file || !(text << file.rdbuf())) {
    const int code = errno != 0 ? errno : EIO;
    return fail(code, fmt::format("{}: {}", path, std::strerror(code)));
  }
  return std::move(text).str();
}

}  // namespace

std::span<const Setting> settings_table() { return kTable; }

Result<void> set_setting(Settings& settings, const Setting& setting, std::string_view text,
                         std::string_view source) {
  if (!is_number(setting)) {
    const bool printable = std::none_of(text.begin(), text.end(),
                                        [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (!printable || (setting.choices != nullptr && !is_choice(setting.choices, text))) {
      return fail(EINVAL,
                  fmt::format("{}: expected {}", source,
                              setting.choices != nullptr ? setting.choices
                                                         : "text without control characters"));
    }
    settings.*std::get<std::string Settings::*>(setting.member) = text;
    return {};
  }
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped_at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stopped_at != end || value < setting.min || value > setting.max) {
    return fail(EINVAL, fmt::format("{}: expected a whole number from {} to {}, not \"{}\"", source,
                                    setting.min, setting.max, text));
  }
  settings.*std::get<uint64_t Settings::*>(setting.member) = value;
  return {};
}

Result<void> read_config_file(Settings& settings, const std::string& path) {
  SLUICE_TRY(const std::string text, read_file(path));
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    const auto& error = parsed.error();
    return fail(EINVAL,
                fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string where = fmt::format("{}:{}: {}", path, node.source().begin.line, key.str());
    const Setting* setting = find_setting(key.str());
    if (setting == nullptr || setting == find_setting("config")) {
      return fail(EINVAL, fmt::format("{}: no such setting", where));
    }
    std::string value;
    if (is_number(*setting) && node.is_integer()) {
      value = std::to_string(node.as_integer()->get());
    } else if (!is_number(*setting) && node.is_string()) {
      value = node.as_string()->get();
    } else {
      return fail(EINVAL, fmt::format("{}: expected {}", where,
                                      is_number(*setting) ? "a whole number" : "a string"));
    }
    SLUICE_CHECK(set_setting(settings, *setting, value, where));
  }
  return {};
}

Result<void> read_environment(Settings& settings,
                              const std::function<const char*(const char*)>& get) {
  for (const Setting& setting : kTable) {
    const std::string variable = variable_of(setting);
    const char* value = get(variable.c_str());
    if (value == nullptr) continue;
    SLUICE_CHECK(set_setting(settings, setting, value, variable));
  }
  return {};
}

Result<ParsedArguments> read_settings(int argc, const char* const* argv,
                                      const std::function<const char*(const char*)>& get_env) {
  constexpr size_t kCount = std::size(kTable);
  std::string texts[kCount];
  const CLI::Option* options[kCount];
  CLI::App app{"Serves a language model over an OpenAI-compatible HTTP API."};
  app.name("sluiced");
  app.set_version_flag("--version", "sluiced " SLUICE_VERSION);
  app.footer(
      "Every setting but --config can also stand in the TOML file (max_queue = 64) and every one "
      "in\n"
      "the environment (SLUICED_MAX_QUEUE=64). Flags win over the environment, it over the file.");
  for (size_t i = 0; i < kCount; ++i) {
    const Setting& setting = kTable[i];
    std::string names = flag_of(setting);
    if (setting.short_flag != nullptr) names = fmt::format("{},{}", setting.short_flag, names);
    options[i] = app.add_option(names, texts[i], help_of(setting))->type_name(setting.metavar);
  }
  ParsedArguments result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help and --version
    std::ostringstream out;
    app.exit(wanted, out, out);
    result.output = out.str();
    return result;
  } catch (const CLI::ParseError& error) {
    return fail(EINVAL, fmt::format("{} (sluiced --help lists the options)", error.what()));
  }

  const char* config = get_env("SLUICED_CONFIG");
  std::string config_path = config != nullptr ? config : "";
  for (size_t i = 0; i < kCount; ++i) {
    if (&kTable[i] == find_setting("config") && options[i]->count() > 0) config_path = texts[i];
  }
  if (!config_path.empty()) SLUICE_CHECK(read_config_file(result.settings, config_path));
  SLUICE_CHECK(read_environment(result.settings, get_env));
  for (size_t i = 0; i < kCount; ++i) {
    if (options[i]->count() == 0) continue;
    SLUICE_CHECK(set_setting(result.settings, kTable[i], texts[i], flag_of(kTable[i])));
  }
  if (result.settings.max_sequences > result.settings.max_batch_tokens) {
    return fail(EINVAL,
                fmt::format("max_sequences ({}) must not be larger than max_batch_tokens "
                            "({}): each sequence needs a token in a step",
                            result.settings.max_sequences, result.settings.max_batch_tokens));
  }
  return result;
}

}  // namespace sluice::daemon
