// HTTP for registries: libcurl's multi interface driven by our io_context, so that nothing blocks
// the loop (names are looked up on libcurl's own thread). Proxies come from the environment as with
// other clients (HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case; never for loopback). Redirects
// are followed by GET and HEAD; Authorization goes to the first origin only, and what else is sent
// goes to its own URL alone.
// What the last of them said is not the word of whom we asked: HttpResponse::foreign tells.
//
// What a server may make us hold or do is bounded: headers, bodies, redirects, time without a byte,
// and for small bodies the time as a whole.
//
// Small bodies come whole; a layer's goes into a ByteQueue and is paused while that is full. Those
// use HTTP/1.1, one connection each: libcurl buffers up to 32 MB for a paused HTTP/2 stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/byte_queue.hpp"
#include "storage/content/upload_queue.hpp"
#include "storage/registry/certificates.hpp"

namespace coracle::storage {

struct HttpRequest {
  std::string method = "GET";  // GET, HEAD, POST, PUT, PATCH, DELETE
  std::string url;
  std::vector<std::string> headers;  // "Accept: …"
  std::string authorization;         // value of the header, "" for none; never logged
  std::string body;                  // of POST and PUT; never logged
  bool verify_tls = true;            // false: any certificate will do, and redirects to http
  CertificatesPtr certificates = nullptr;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case, of the last response
  std::string body;
  bool foreign = false;  // a redirect led to another origin, and this is its answer
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string{} : found->second;
  }
};

// %-escapes everything but unreserved characters.
std::string url_escape(const std::string& text);
// localhost, 127.0.0.0/8, ::1; with or without port.
bool is_loopback(const std::string& host);
// What a Location of an answer to `base` means (RFC 3986 §5); "" for what is no URL.
std::string resolve_url(const std::string& base, const std::string& location);
// "https://host:443", in lower case and with the port, so that two can be compared; "" for what is
// no URL. See RFC 6454 §4.
std::string origin_of(const std::string& url);

// On the loop's thread; outlives its requests.
class Transfer {
 public:
  explicit Transfer(asio::io_context& io);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Any status is an answer; that of what is neither GET nor HEAD may be a redirect, which is not
  // followed.
  //   errors  not_found: no such host; unavailable: no answer, with Go's and so Docker's words ("dial tcp 127.0.0.1:5000:
  //   connect: connection refused"), or cancelled; invalid_argument: a body above `limit`, or too
  //   long headers
  Task<HttpResponse> request(HttpRequest request, std::size_t limit = std::size_t{4} << 20);

  // GET from byte `offset` on. With status 200 or 206 the bytes go into the queue (what comes
  // before the offset is skipped when the server ignores the range) and `received` is told of each
  // piece; with another status the body is in the response. Does not end the queue.
  //   errors  as request(); what was received so far is in the queue
  Task<HttpResponse> stream(HttpRequest request, std::int64_t offset,
                            std::shared_ptr<ByteQueue> into,
                            std::function<void(std::size_t)> received);

  // Sends what comes out of the queue as the request's body; `sent` is told of each piece.
  //   length  of the body; -1: not known before its end
  //   errors  as request(); the queue's own
  Task<HttpResponse> upload(HttpRequest request, std::shared_ptr<UploadQueue> from,
                            std::int64_t length, std::function<void(std::size_t)> sent);

 private:
  struct Loop;
  struct Op;
  std::function<void()> resumes(const std::shared_ptr<Op>& op);
  Task<HttpResponse> perform(std::shared_ptr<Op> op);

  asio::io_context& io_;
  std::shared_ptr<Loop> loop_;
};

}  // namespace coracle::storage
