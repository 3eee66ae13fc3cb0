// SPDX-License-Identifier: Apache-2.0
// Writes HTTP/1.1 responses (RFC 9112) as bytes. Header values are our own, never a client's, so
// nothing in them can break a line.
#include "exchange.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <boost/beast/http/status.hpp>
#include <ctime>

namespace sluice::daemon {
namespace {

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

}  // namespace

Exchange::Exchange(boost::asio::any_io_executor executor, ExchangeOptions options)
    : executor_(std::move(executor)), options_(std::move(options)), ready_event_(executor_) {
  ready_event_.expires_at(boost::asio::steady_timer::time_point::max());
}

void Exchange::post(std::function<void()> work) { boost::asio::post(executor_, std::move(work)); }

std::string Exchange::head_text(const HttpResponse& response, bool has_length) const {
  namespace http = boost::beast::http;
  std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\ndate: {}\r\nserver: sluiced/{}\r\nconnection: {}\r\n", response.status,
      std::string_view(http::obsolete_reason(http::int_to_status(response.status))), http_date(),
      SLUICE_VERSION, options_.keep_alive ? "keep-alive" : "close");
  if (response.status != 204) {
    head += fmt::format("content-type: {}\r\n", response.content_type);
    if (has_length) {
      head += fmt::format("content-length: {}\r\n", response.body.size());
    } else if (options_.chunked) {
      head += "transfer-encoding: chunked\r\n";
    }
  }
  if (!options_.cors_origin.empty()) {
    head +=
        fmt::format("access-control-allow-origin: {}\r\nvary: origin\r\n", options_.cors_origin);
  }
  for (const auto& [name, value] : response.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
  }
  head += "\r\n";
  return head;
}

void Exchange::append(std::string_view bytes) {
  if (gone_ || complete_) return;
  pending_ += bytes;
  if (options_.max_pending > 0 && pending_.size() > options_.max_pending) {
    spdlog::debug("a client does not read its response: dropped");
    return client_gone();
  }
  ready_event_.cancel();
}

void Exchange::send(HttpResponse response) {
  if (status_ != 0) return;  // an error after the response began
  status_ = response.status;
  append(head_text(response, true));
  if (!options_.head_only) pending_ += response.body;  // already in memory: no limit
  complete_ = true;
  ready_event_.cancel();
}

void Exchange::begin_stream(HttpResponse head) {
  if (status_ != 0) return;
  status_ = head.status;
  if (!options_.chunked) options_.keep_alive = false;
  append(head_text(head, false));
}

void Exchange::write(std::string piece) {
  if (piece.empty()) return;  // an empty chunk would end the stream
  append(options_.chunked ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : piece);
}

void Exchange::end_stream() {
  if (options_.chunked) append("0\r\n\r\n");
  complete_ = true;
  ready_event_.cancel();
}

void Exchange::on_disconnect(std::function<void()> work) {
  if (complete_) return;
  if (gone_) return work();
  on_disconnect_ = std::move(work);
}

std::string Exchange::take() { return std::exchange(pending_, {}); }

void Exchange::client_gone() {
  if (gone_) return;
  gone_ = true;
  pending_.clear();
  if (on_disconnect_ && !complete_) on_disconnect_();
  on_disconnect_ = nullptr;
  ready_event_.cancel();
}

}  // namespace sluice::daemon
