// SPDX-License-Identifier: Apache-2.0
// The HTTP/1.1 server: a listening socket, its connections, and the limits that keep any client
// from taking more than its share.
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <sluice/result.hpp>

#include "http.h"

namespace sluice::daemon {

struct ServerOptions {
  std::string host;
  uint16_t port = 0;
  uint32_t max_connections = 256;
  uint32_t max_header_bytes = 16 << 10;
  uint64_t max_body_bytes = 4 << 20;
  size_t max_pending_bytes = 8 << 20;  // of a response that the client does not read
  std::chrono::seconds header_time{10};
  std::chrono::seconds body_time{30};
  std::chrono::seconds write_time{30};
  std::chrono::seconds keep_alive_time{75};
  std::string cors_origin;
};

struct ServerState;  // shared with the connections

class Server {
 public:
  // `handler` answers every request that is well-formed HTTP; it is called on the context's
  // threads, and on several at a time for different connections.
  Server(boost::asio::io_context& context, ServerOptions options, HttpHandler handler);
  ~Server();

  // Takes the port. EADDRINUSE, EADDRNOTAVAIL, EACCES, ...: naming host and port; ENOENT: the
  // host's name is not known.
  Result<void> bind();
  // Accepts connections from now on. Errors as of bind().
  Result<void> listen();
  // "http://127.0.0.1:8080", after bind().
  std::string url() const;
  // Whether only this machine can reach it, after bind().
  bool is_local() const;

  // Accepts no more, closes idle connections, lets the others finish what they are at, and calls
  // `done` (on a thread of the context) when the last one is closed. Safe to call from any thread,
  // once.
  void drain(std::function<void()> done);
  uint32_t n_connections() const;

 private:
  boost::asio::io_context& context_;
  std::shared_ptr<ServerState> state_;
  boost::asio::ip::tcp::acceptor acceptor_;
};

}  // namespace sluice::daemon

#endif  // DAEMON_SERVER_H
