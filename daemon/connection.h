// SPDX-License-Identifier: Apache-2.0
// One client's connection, and what all connections of a server share. Private to the server.
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "api_error.h"
#include "exchange.h"
#include "server.h"

namespace sluice::daemon {

class Connection;

struct ServerState {
  ServerOptions options;
  HttpHandler handler;

  std::mutex mutex;  // guards what follows
  std::map<uint64_t, std::weak_ptr<Connection>> connections;
  uint64_t next_id = 1;
  bool draining = false;
  std::function<void()> drained;

  bool is_draining();
  // Forgets a connection; the last one of a server that drains ends the draining.
  void remove(uint64_t id);
};

// Reads requests one after the other and sends their answers; while an answer is being made, a read
// stays pending, so that a client that leaves is noticed. Everything runs on the socket's strand.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  // `refusal`: do not serve this client, tell it so.
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ServerState> state, uint64_t id,
             std::optional<ApiError> refusal);
  ~Connection();

  void start();
  // Closes the connection if it is between two requests, else after the current one. Safe to call
  // from any thread.
  void drain();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using ErrorCode = boost::system::error_code;
  enum class Phase : uint8_t { kIdle, kReading, kAnswering };
  // How reading a request went: it is there, it gets an error, or the connection just ends.
  enum class Reading : uint8_t { kDone, kRefused, kEnded };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> wait_for_request();
  boost::asio::awaitable<Reading> read_request(Parser& parser);
  boost::asio::awaitable<bool> answer(Parser& parser);
  boost::asio::awaitable<void> send_pending();
  boost::asio::awaitable<void> refuse();
  boost::asio::awaitable<void> stop_watching();

  Reading explain(ErrorCode error, const Parser& parser);
  std::optional<ApiError> objection(const Parser& parser) const;
  std::shared_ptr<Exchange> make_exchange(const Parser& parser);
  void watch_client();
  void set_deadline(std::chrono::seconds time);
  void clear_deadline();

  boost::asio::ip::tcp::socket socket_;
  const std::shared_ptr<ServerState> state_;
  const uint64_t id_;
  std::optional<ApiError> refusal_;
  std::string peer_;
  boost::beast::flat_buffer buffer_;
  std::shared_ptr<Exchange> exchange_;  // while answering
  Phase phase_ = Phase::kIdle;
  bool first_ = true;  // no request was read so far

  bool read_pending_ = false;             // watch_client() reads,
  bool read_ended_ = false;               // and found the end
  boost::asio::steady_timer read_event_;  // cancelled when it is done

  boost::asio::steady_timer deadline_;
  uint64_t deadline_id_ = 0;  // tells an expiry that is too late from one that counts
  bool timed_out_ = false;
};

}  // namespace sluice::daemon

#endif  // DAEMON_CONNECTION_H
