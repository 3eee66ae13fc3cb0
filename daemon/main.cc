// SPDX-License-Identifier: Apache-2.0
// sluiced: loads a model and serves it over HTTP until a signal asks it to stop. Exit status: 0
// after a drain, 1 when something failed, 2 for wrong usage.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include <sluice/engine.hpp>

#include "api.h"
#include "notify.h"
#include "scheduler.h"
#include "server.h"
#include "settings.h"

namespace sluice::daemon {
namespace {

namespace net = boost::asio;

// Messages begin with the program's name. Under systemd the journal knows time and severity.
void set_up_log(const Settings& settings) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("sluiced", std::move(sink));
  const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;
  logger->set_pattern(to_journal ? "sluiced: %l: %v" : "sluiced: [%Y-%m-%d %H:%M:%S.%e] %l: %v");
  logger->set_level(spdlog::level::from_str(settings.log_level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

Result<std::unique_ptr<Engine>> make_engine(std::shared_ptr<const Model> model,
                                            const Settings& settings) {
  EngineOptions options;
  options.device = settings.device;
  options.device_layers = static_cast<int32_t>(settings.device_layers);
  options.n_threads = static_cast<unsigned>(settings.threads);
  options.max_batch_tokens = static_cast<uint32_t>(settings.max_batch_tokens);
  options.max_sequences = static_cast<uint32_t>(settings.max_sequences);
  options.kv_tokens = settings.kv_tokens;
  options.kv_type = settings.kv_type;
  options.huge_pages = settings.weights == "huge-pages";
  if (settings.arithmetic == "fast") options.arithmetic = Arithmetic::kFast;
  return Engine::create(std::move(model), options);
}

// Which model, on what, by which kernels: nobody should have to guess.
void log_engine(const Engine& engine) {
  const ModelInfo& model = engine.model().info();
  const EngineInfo& info = engine.info();
  spdlog::info("model {} ({}): {} {}, {:.1f}M parameters, {:.1f} MB, context {}", model.name,
               model.path, model.architecture, model.format,
               static_cast<double>(model.n_params) / 1e6, static_cast<double>(model.n_bytes) / 1e6,
               model.n_ctx_train);
  spdlog::info("device {}, {}, {} threads; KV cache for {} tokens, {} ({:.1f} MB)", info.device,
               info.isa, info.n_threads, info.kv_tokens, info.kv_type,
               static_cast<double>(info.kv_bytes) / 1e6);
  if (info.device_layers > 0) {
    std::string memory;
    for (const MemoryNeed& need : info.device_memory) {
      memory += fmt::format(", {} {:.1f} MB", need.what, static_cast<double>(need.bytes) / 1e6);
    }
    spdlog::info("board {}: {} of {} layers{}", info.device, info.device_layers, info.n_layers,
                 memory);
  }
  for (const KernelChoice& kernel : info.kernels) {
    spdlog::info("kernel for {} ({}): {} on {}", kernel.tensors, kernel.format, kernel.kernel,
                 kernel.isa);
  }
}

ServerOptions server_options(const Settings& settings) {
  ServerOptions options;
  options.host = settings.host;
  options.port = static_cast<uint16_t>(settings.port);
  options.max_connections = static_cast<uint32_t>(settings.max_connections);
  options.max_body_bytes = settings.max_body_bytes;
  options.header_time = std::chrono::seconds(settings.header_seconds);
  options.body_time = std::chrono::seconds(settings.body_seconds);
  options.write_time = std::chrono::seconds(settings.write_seconds);
  options.keep_alive_time = std::chrono::seconds(settings.keep_alive_seconds);
  options.cors_origin = settings.cors_origin;
  return options;
}

Result<ApiOptions> api_options(const Settings& settings, const Engine& engine) {
  ApiOptions options;
  const ModelInfo& model = engine.model().info();
  options.model_id =
      settings.model_name.empty() ? model_id_from_name(model.name) : settings.model_name;
  options.n_ctx =
      static_cast<uint32_t>(std::min<uint64_t>(model.n_ctx_train, engine.info().kv_tokens));
  options.max_choices = static_cast<uint32_t>(settings.max_queue);
  options.cors_origin = settings.cors_origin;
  if (!settings.api_key_file.empty()) {
    SLUICE_TRY(options.api_keys, read_api_keys(settings.api_key_file));
  }
  return options;
}

// For a person at a terminal.
void print_hint(const std::string& url, bool needs_key) {
  fmt::print(
      stderr,
      "\nServing on {0} (Ctrl-C stops). Try it from another terminal:\n\n"
      "  curl {0}/v1/completions {1}\\\n"
      "    -d '{{\"prompt\": \"Once upon a time\", \"max_tokens\": 60, \"temperature\": 0}}'\n\n"
      "  curl -N {0}/v1/completions {1}\\\n"
      "    -d '{{\"prompt\": \"The old king\", \"max_tokens\": 100, \"stream\": true}}'\n\n",
      url, needs_key ? "-H \"Authorization: Bearer $KEY\" " : "");
}

// Stops the daemon in good order on the first signal, at once on the second.
class Shutdown {
 public:
  Shutdown(net::io_context& context, Server& server, std::chrono::seconds limit)
      : context_(context),
        server_(server),
        limit_(limit),
        timer_(context),
        signals_(context, SIGINT, SIGTERM) {
    wait();
  }

 private:
  void wait() {
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (error) return;
      if (draining_) {
        spdlog::warn("second signal: ending at once");
        _exit(1);
      }
      drain();
      wait();
    });
  }

  void drain() {
    draining_ = true;
    const uint32_t n_connections = server_.n_connections();
    spdlog::info("stopping: {} connections, at most {} s for running requests", n_connections,
                 limit_.count());
    notify_manager(fmt::format("STOPPING=1\nSTATUS=Draining {} connections", n_connections));
    timer_.expires_after(limit_);
    timer_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      spdlog::warn("{} connections did not finish in time", server_.n_connections());
      context_.stop();
    });
    server_.drain([this] { context_.stop(); });
  }

  net::io_context& context_;
  Server& server_;
  const std::chrono::seconds limit_;
  net::steady_timer timer_;
  net::signal_set signals_;
  bool draining_ = false;
};

// The network's part of the watchdog: a timer that only fires while the context's threads turn.
class Heartbeat {
 public:
  Heartbeat(net::io_context& context, Watchdog& watchdog) : timer_(context), watchdog_(watchdog) {
    if (watchdog_.enabled()) beat();
  }

 private:
  void beat() {
    watchdog_.beat(Watchdog::kNetwork);
    timer_.expires_after(watchdog_.period());
    timer_.async_wait([this](boost::system::error_code error) {
      if (!error) beat();
    });
  }

  net::steady_timer timer_;
  Watchdog& watchdog_;
};

// A handler that throws (out of memory) loses its connection, not the thread.
void run_context(net::io_context& context) {
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("network thread: {}", error.what());
    }
  }
}

void serve(net::io_context& context, uint64_t n_threads) {
  std::vector<std::jthread> threads;
  for (uint64_t i = 1; i < n_threads; ++i) threads.emplace_back([&] { run_context(context); });
  run_context(context);
}

Result<void> run(const Settings& settings) {
  // In this order they are destroyed last to first: handlers that never ran go with the context,
  // after everything that they could have called.
  Watchdog watchdog(watchdog_timeout());
  net::io_context context;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Api> api;
  net::thread_pool background(1);
  Server server(context, server_options(settings),
                [&api](const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
                  api->handle(request, reply);
                });
  SLUICE_CHECK(server.bind());  // before the model is loaded: a port in use is found at once

  notify_manager("STATUS=Loading the model");
  SLUICE_TRY(const std::shared_ptr<const Model> model,
             settings.model.empty() ? Model::embedded() : Model::load(settings.model));
  SLUICE_TRY(std::unique_ptr<Engine> engine, make_engine(model, settings));
  log_engine(*engine);
  SLUICE_TRY(ApiOptions options, api_options(settings, *engine));
  const bool needs_key = !options.api_keys.empty();
  const std::string model_id = options.model_id;
  const EngineInfo engine_info = engine->info();
  scheduler = std::make_unique<Scheduler>(std::move(engine),
                                          static_cast<uint32_t>(settings.max_queue), watchdog);
  api = std::make_unique<Api>(
      model, engine_info, *scheduler, std::move(options),
      [&background](std::function<void()> work) { net::post(background, std::move(work)); });

  const Shutdown shutdown(context, server, std::chrono::seconds(settings.drain_seconds));
  const Heartbeat heartbeat(context, watchdog);
  SLUICE_CHECK(server.listen());
  const std::string status = fmt::format("Serving {} on {}", model_id, server.url());
  spdlog::info("{}", status);
  if (!needs_key && !server.is_local()) {
    spdlog::warn("whoever can reach this port may use it: there is no --api-key-file");
  }
  notify_manager(fmt::format("READY=1\nSTATUS={}", status));
  if (isatty(STDERR_FILENO) != 0) print_hint(server.url(), needs_key);
  serve(context, settings.http_threads);
  spdlog::info("stopped");
  return {};
}

int main_with(int argc, const char* const* argv) {
  const auto parsed = read_settings(argc, argv, [](const char* name) { return std::getenv(name); });
  if (!parsed) {
    fmt::print(stderr, "sluiced: {}\n", parsed.error().message);
    return parsed.error().code == EINVAL ? 2 : 1;
  }
  if (!parsed->output.empty()) {
    fmt::print("{}", parsed->output);
    return 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  set_up_log(parsed->settings);
  if (const auto result = run(parsed->settings); !result) {
    fmt::print(stderr, "sluiced: {}\n", result.error().message);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace sluice::daemon

int main(int argc, char** argv) {
  try {
    return sluice::daemon::main_with(argc, argv);
  } catch (const std::exception& error) {  // out of memory, in all likelihood
    fmt::print(stderr, "sluiced: {}\n", error.what());
    return 1;
  }
}
