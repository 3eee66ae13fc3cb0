// SPDX-License-Identifier: Apache-2.0
// The listening socket.
#include "server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "connection.h"

namespace sluice::daemon {
namespace {

namespace net = boost::asio;
using net::ip::tcp;

// Clients above the limit that are told so at a time; still more are just closed.
constexpr size_t kMaxRefused = 64;
constexpr auto kAwait = net::as_tuple(net::use_awaitable);

tl::unexpected<Error> cannot_listen(const ServerOptions& options,
                                    const boost::system::error_code& error) {
  return fail(error.value(), fmt::format("cannot listen on {} port {}: {}", options.host,
                                         options.port, error.message()));
}

net::awaitable<void> accept_loop(tcp::acceptor& acceptor, net::io_context& context,
                                 std::shared_ptr<ServerState> state) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(net::make_strand(context), kAwait);
    if (!acceptor.is_open() || error == net::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors or memory: that passes, and trying at once would only burn the CPU.
      spdlog::warn("cannot accept a connection: {}", error.message());
      net::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(kAwait);
      continue;
    }
    std::shared_ptr<Connection> connection;
    {
      const std::lock_guard lock(state->mutex);
      const size_t n_open = state->connections.size();
      const size_t limit = state->options.max_connections;
      if (state->draining || n_open >= limit + kMaxRefused) continue;
      std::optional<ApiError> refusal;
      if (n_open >= limit) {
        refusal = server_error(503, fmt::format("{} connections are open already", limit),
                               "too_many_connections");
      }
      const uint64_t id = state->next_id++;
      connection = std::make_shared<Connection>(std::move(socket), state, id, std::move(refusal));
      state->connections.emplace(id, connection);
    }
    connection->start();
  }
}

}  // namespace

Server::Server(net::io_context& context, ServerOptions options, HttpHandler handler)
    : context_(context),
      state_(std::make_shared<ServerState>()),
      acceptor_(net::make_strand(context)) {
  state_->options = std::move(options);
  state_->handler = std::move(handler);
}

Server::~Server() {
  const std::lock_guard lock(state_->mutex);
  state_->drained = nullptr;
}

Result<void> Server::bind() {
  const ServerOptions& options = state_->options;
  boost::system::error_code error;
  tcp::resolver resolver(context_);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return fail(ENOENT, fmt::format("cannot listen on {}: {}", options.host,
                                    error ? error.message() : "no such host"));
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (error) return cannot_listen(options, error);
  return {};
}

Result<void> Server::listen() {
  boost::system::error_code error;
  acceptor_.listen(net::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(state_->options, error);
  net::co_spawn(acceptor_.get_executor(), accept_loop(acceptor_, context_, state_), net::detached);
  return {};
}

std::string Server::url() const {
  boost::system::error_code error;
  const tcp::endpoint endpoint = acceptor_.local_endpoint(error);
  std::string address = endpoint.address().to_string();
  if (endpoint.address().is_v6()) address = fmt::format("[{}]", address);
  return fmt::format("http://{}:{}", address, endpoint.port());
}

bool Server::is_local() const {
  boost::system::error_code error;
  return acceptor_.local_endpoint(error).address().is_loopback();
}

void Server::drain(std::function<void()> done) {
  net::post(acceptor_.get_executor(), [this, done = std::move(done)]() mutable {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    std::vector<std::shared_ptr<Connection>> connections;
    {
      const std::lock_guard lock(state_->mutex);
      state_->draining = true;
      for (const auto& [id, weak] : state_->connections) {
        if (auto connection = weak.lock()) connections.push_back(std::move(connection));
      }
      if (!state_->connections.empty()) state_->drained = std::exchange(done, nullptr);
    }
    if (done) return done();
    for (const auto& connection : connections) connection->drain();
  });
}

uint32_t Server::n_connections() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<uint32_t>(state_->connections.size());
}

}  // namespace sluice::daemon
