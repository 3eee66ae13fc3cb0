// SPDX-License-Identifier: Apache-2.0
// What the network side and the API side say to each other: a request, a response, and the Reply
// through which a response reaches the client. Neither side sees more of the other than this.
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::daemon {

struct HttpRequest {
  std::string method;         // "GET"; a HEAD request arrives as GET
  std::string path;           // without scheme, authority and query
  std::string authorization;  // the header's value, or empty
  std::string body;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // besides those about the body
};

// The answer to one request. post() may be called from any thread and never blocks; everything else
// only from a handler or from a function given to post(), which run one at a time. Once the client
// is gone, what is sent is dropped.
class Reply {
 public:
  virtual ~Reply() = default;

  // Runs `work` soon, on the network side.
  virtual void post(std::function<void()> work) = 0;

  // Sends the whole response.
  virtual void send(HttpResponse response) = 0;

  // Sends a response of unknown length: its head (the body is ignored), then pieces, then the end.
  virtual void begin_stream(HttpResponse head) = 0;
  virtual void write(std::string piece) = 0;
  virtual void end_stream() = 0;

  // `work` runs once if the client goes away before the response is complete.
  virtual void on_disconnect(std::function<void()> work) = 0;
};

// Answers a request now or later through the reply. Must not throw.
using HttpHandler =
    std::function<void(const HttpRequest& request, const std::shared_ptr<Reply>& reply)>;

}  // namespace sluice::daemon

#endif  // DAEMON_HTTP_H
