// SPDX-License-Identifier: Apache-2.0
// A connection is one coroutine: wait, read a request, answer it, again. Every wait has a deadline
// and every size a limit.
#include "connection.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>

namespace sluice::daemon {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;

constexpr auto kAwait = net::as_tuple(net::use_awaitable);
constexpr size_t kMaxBuffered = 256 << 10;  // of what was received and not yet parsed
constexpr size_t kMaxAhead = 16 << 10;      // of that, while an answer is being made
constexpr std::chrono::seconds kLingerTime{2};
constexpr size_t kLingerBytes = 16 << 20;

// The path of a request target in any of its forms: "/a?b", "http://host/a".
std::string path_of(std::string_view target) {
  if (const size_t scheme = target.find("://"); !target.starts_with('/') && scheme != target.npos) {
    const size_t slash = target.find('/', scheme + 3);
    target = slash == target.npos ? "/" : target.substr(slash);
  }
  return std::string(target.substr(0, target.find_first_of("?#")));
}

// For the log: one line whatever the client sent.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 200));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

ApiError client_error(unsigned status, std::string message, std::string code) {
  return {status, "invalid_request_error", std::move(message), "", std::move(code)};
}

}  // namespace

bool ServerState::is_draining() {
  const std::lock_guard lock(mutex);
  return draining;
}

void ServerState::remove(uint64_t id) {
  std::function<void()> done;
  {
    const std::lock_guard lock(mutex);
    connections.erase(id);
    if (draining && connections.empty()) done = std::exchange(drained, nullptr);
  }
  if (done) done();
}

Connection::Connection(net::ip::tcp::socket socket, std::shared_ptr<ServerState> state, uint64_t id,
                       std::optional<ApiError> refusal)
    : socket_(std::move(socket)),
      state_(std::move(state)),
      id_(id),
      refusal_(std::move(refusal)),
      buffer_(kMaxBuffered),
      read_event_(socket_.get_executor(), net::steady_timer::time_point::max()),
      deadline_(socket_.get_executor()) {
  ErrorCode error;
  const auto endpoint = socket_.remote_endpoint(error);
  peer_ = error ? "?" : endpoint.address().to_string();
  socket_.set_option(net::ip::tcp::no_delay(true), error);  // tokens go out as they come
}

// Tells nobody of an unfinished answer: when the context goes, whoever worked on it may be gone.
Connection::~Connection() { state_->remove(id_); }

void Connection::start() {
  net::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this()]() -> net::awaitable<void> { co_await self->run(); },
      [self = shared_from_this()](const std::exception_ptr& failure) {
        if (self->exchange_) self->exchange_->client_gone();
        self->clear_deadline();
        ErrorCode ignored;
        self->socket_.close(ignored);
        if (!failure) return;
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& error) {
          spdlog::error("connection of {}: {}", self->peer_, error.what());
        }
      });
}

void Connection::drain() {
  net::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->exchange_) self->exchange_->close_afterwards();
    ErrorCode ignored;
    if (self->phase_ == Phase::kIdle) self->socket_.close(ignored);
  });
}

net::awaitable<void> Connection::run() {
  while (!refusal_ && co_await wait_for_request()) {
    phase_ = Phase::kReading;
    Parser parser;
    parser.header_limit(state_->options.max_header_bytes);
    parser.body_limit(state_->options.max_body_bytes);
    const Reading reading = co_await read_request(parser);
    clear_deadline();
    first_ = false;
    if (reading == Reading::kRefused) break;
    if (reading == Reading::kEnded || !co_await answer(parser)) co_return;
    phase_ = Phase::kIdle;
  }
  if (refusal_) co_await refuse();
}

// Waits for the first bytes of the next request. False: there will be none.
net::awaitable<bool> Connection::wait_for_request() {
  if (state_->is_draining()) co_return false;
  if (buffer_.size() > 0) {  // sent ahead; the read that is still pending would use the buffer too
    co_await stop_watching();
    co_return !timed_out_;
  }
  watch_client();
  set_deadline(first_ ? state_->options.header_time : state_->options.keep_alive_time);
  while (read_pending_) co_await read_event_.async_wait(kAwait);
  clear_deadline();
  co_return buffer_.size() > 0 && !timed_out_;
}

net::awaitable<Connection::Reading> Connection::read_request(Parser& parser) {
  set_deadline(state_->options.header_time);
  const auto [header_error, n_header] =
      co_await http::async_read_header(socket_, buffer_, parser, kAwait);
  if (header_error) co_return explain(header_error, parser);
  refusal_ = objection(parser);
  if (refusal_) co_return Reading::kRefused;

  set_deadline(state_->options.body_time);
  if (!parser.is_done() && parser.get().version() == 11 &&
      parser.get().count(http::field::expect) > 0) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto [error, n_sent] = co_await net::async_write(socket_, net::buffer(kContinue), kAwait);
    if (error) co_return Reading::kEnded;
  }
  const auto [body_error, n_body] = co_await http::async_read(socket_, buffer_, parser, kAwait);
  if (body_error) co_return explain(body_error, parser);
  co_return Reading::kDone;
}

// What is wrong with a request whose header is well-formed.
std::optional<ApiError> Connection::objection(const Parser& parser) const {
  const auto& header = parser.get();
  if (header.version() != 10 && header.version() != 11) {
    return client_error(505, "HTTP/1.0 and HTTP/1.1 are spoken here", "http_version");
  }
  if (header.version() == 11 && header.count(http::field::host) != 1) {
    return client_error(400, "an HTTP/1.1 request needs one Host header", "bad_request");
  }
  if (header.count(http::field::transfer_encoding) > 0 &&
      (header.version() == 10 ||
       !boost::beast::iequals(header[http::field::transfer_encoding], "chunked"))) {
    return client_error(501, "no transfer coding but chunked is understood", "transfer_encoding");
  }
  if (header.count(http::field::content_encoding) > 0 &&
      !boost::beast::iequals(header[http::field::content_encoding], "identity")) {
    return client_error(415, "the body must not be compressed", "content_encoding");
  }
  if (header.count(http::field::expect) > 0 &&
      !boost::beast::iequals(header[http::field::expect], "100-continue")) {
    return client_error(417, "no expectation but 100-continue can be met", "expect");
  }
  return {};
}

// What a failed read means for the client.
Connection::Reading Connection::explain(ErrorCode error, const Parser& parser) {
  const ServerOptions& options = state_->options;
  if (timed_out_) {
    if (!parser.got_some()) return Reading::kEnded;
    refusal_ = client_error(408, "the request took too long to arrive", "request_timeout");
  } else if (error == http::error::body_limit) {
    refusal_ =
        client_error(413, fmt::format("the body is larger than {} bytes", options.max_body_bytes),
                     "body_too_large");
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    refusal_ = client_error(
        431, fmt::format("the header is larger than {} bytes", options.max_header_bytes),
        "header_too_large");
  } else if (error == http::error::end_of_stream || error == http::error::partial_message ||
             error.category() != http::make_error_code(http::error::bad_method).category()) {
    return Reading::kEnded;
  } else {
    refusal_ = client_error(400, fmt::format("this is no HTTP request: {}", error.message()),
                            "bad_request");
  }
  return Reading::kRefused;
}

std::shared_ptr<Exchange> Connection::make_exchange(const Parser& parser) {
  ExchangeOptions options;
  options.head_only = parser.get().method() == http::verb::head;
  options.chunked = parser.get().version() == 11;
  options.keep_alive = parser.get().keep_alive() && !state_->is_draining();
  options.max_pending = state_->options.max_pending_bytes;
  options.cors_origin = state_->options.cors_origin;
  return std::make_shared<Exchange>(socket_.get_executor(), std::move(options));
}

// Has the request answered. False: the connection ends.
net::awaitable<bool> Connection::answer(Parser& parser) {
  const auto started = std::chrono::steady_clock::now();
  exchange_ = make_exchange(parser);
  phase_ = Phase::kAnswering;
  auto& message = parser.get();
  const std::string method(message.method_string());
  const std::string target = printable(message.target());
  {  // the body goes before the answer, which may take long, is made
    const HttpRequest request{method == "HEAD" ? "GET" : method, path_of(message.target()),
                              std::string(message[http::field::authorization]),
                              std::exchange(message.body(), {})};
    state_->handler(request, exchange_);
  }
  co_await send_pending();

  const std::chrono::duration<double, std::milli> taken =
      std::chrono::steady_clock::now() - started;
  spdlog::info("{} {} {} {} {:.1f} ms{}", peer_, printable(method), target, exchange_->status(),
               taken.count(), exchange_->gone() ? " (client left)" : "");
  const bool again = exchange_->keep_alive() && !exchange_->gone();
  exchange_.reset();
  co_return again;
}

// Sends the answer as it comes, until it is complete or the client is gone.
net::awaitable<void> Connection::send_pending() {
  for (;;) {
    while (!exchange_->ready()) {
      watch_client();
      co_await exchange_->ready_event().async_wait(kAwait);
    }
    if (exchange_->gone()) co_return;
    const std::string bytes = exchange_->take();
    if (bytes.empty()) co_return;
    set_deadline(state_->options.write_time);
    const auto [error, n_sent] = co_await net::async_write(socket_, net::buffer(bytes), kAwait);
    clear_deadline();
    if (error) exchange_->client_gone();
  }
}

// Sends an error and closes; reads on for a while, because closing with data unread would take the
// answer away from a client that is still sending.
net::awaitable<void> Connection::refuse() {
  phase_ = Phase::kAnswering;
  timed_out_ = false;
  spdlog::info("{} refused: {} {}", peer_, refusal_->status, printable(refusal_->message));
  Exchange answer(socket_.get_executor(), {.keep_alive = false, .cors_origin = {}});
  answer.send(to_response(*refusal_));
  const std::string bytes = answer.take();
  set_deadline(kLingerTime);
  const auto [error, n_sent] = co_await net::async_write(socket_, net::buffer(bytes), kAwait);
  ErrorCode ignored;
  socket_.shutdown(net::ip::tcp::socket::shutdown_send, ignored);
  std::string scratch(16 << 10, '\0');
  for (size_t total = 0; !error && total < kLingerBytes;) {
    const auto [read_error, n_read] =
        co_await socket_.async_read_some(net::buffer(scratch), kAwait);
    if (read_error) break;
    total += n_read;
  }
}

// Keeps a read pending that notices when the client leaves, or sends its next request.
void Connection::watch_client() {
  if (read_pending_ || read_ended_ || buffer_.size() >= kMaxAhead) return;
  read_pending_ = true;
  socket_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this()](ErrorCode error, size_t n_bytes) {
                            self->read_pending_ = false;
                            self->buffer_.commit(n_bytes);
                            if (error && error != net::error::operation_aborted) {
                              self->read_ended_ = true;
                              if (self->exchange_) self->exchange_->client_gone();
                            }
                            if (!error && self->phase_ == Phase::kAnswering) self->watch_client();
                            self->read_event_.cancel();
                          });
}

net::awaitable<void> Connection::stop_watching() {
  ErrorCode ignored;
  if (read_pending_) socket_.cancel(ignored);
  while (read_pending_) co_await read_event_.async_wait(kAwait);
}

// Cancels whatever the socket does when `time` is over.
void Connection::set_deadline(std::chrono::seconds time) {
  timed_out_ = false;
  const uint64_t id = ++deadline_id_;
  deadline_.expires_after(time);
  deadline_.async_wait([weak = weak_from_this(), id](ErrorCode error) {
    const auto self = weak.lock();
    if (error || !self || self->deadline_id_ != id) return;
    self->timed_out_ = true;
    ErrorCode ignored;
    self->socket_.cancel(ignored);
  });
}

void Connection::clear_deadline() {
  ++deadline_id_;
  deadline_.cancel();
}

}  // namespace sluice::daemon
