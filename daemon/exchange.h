// SPDX-License-Identifier: Apache-2.0
// One request's answer on its way to the client: the Reply that handlers see, and the bytes that
// the connection takes from it. It outlives the connection if a handler still holds it; then it
// swallows what it is given.
#ifndef DAEMON_EXCHANGE_H
#define DAEMON_EXCHANGE_H

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "http.h"

namespace sluice::daemon {

// What the head of a response depends on besides the response.
struct ExchangeOptions {
  bool head_only = false;   // the request was HEAD
  bool chunked = true;      // streams are chunked; HTTP/1.0 ends them by closing
  bool keep_alive = true;   // what the client wants; the connection may still decide to close
  size_t max_pending = 0;   // bytes that may wait for a slow client
  std::string cors_origin;  // empty: no header
};

// All functions but post() run on `executor`, which runs one thing at a time.
class Exchange final : public Reply {
 public:
  Exchange(boost::asio::any_io_executor executor, ExchangeOptions options);

  void post(std::function<void()> work) override;
  void send(HttpResponse response) override;
  void begin_stream(HttpResponse head) override;
  void write(std::string piece) override;
  void end_stream() override;
  void on_disconnect(std::function<void()> work) override;

  // --- the connection's side
  // Ready: there are bytes to send, the answer is complete, or the client is gone.
  bool ready() const { return gone_ || complete_ || !pending_.empty(); }
  boost::asio::steady_timer& ready_event() { return ready_event_; }  // cancelled when ready
  std::string take();                                                // bytes to send now
  bool complete() const { return complete_; }
  bool gone() const { return gone_; }
  bool keep_alive() const { return options_.keep_alive; }
  void close_afterwards() { options_.keep_alive = false; }
  unsigned status() const { return status_; }  // 0: none yet
  // The client went away: whoever works on the answer is told.
  void client_gone();

 private:
  std::string head_text(const HttpResponse& response, bool has_length) const;
  void append(std::string_view bytes);

  boost::asio::any_io_executor executor_;
  ExchangeOptions options_;
  boost::asio::steady_timer ready_event_;
  std::string pending_;
  unsigned status_ = 0;
  bool complete_ = false;
  bool gone_ = false;
  std::function<void()> on_disconnect_;
};

}  // namespace sluice::daemon

#endif  // DAEMON_EXCHANGE_H
