// shim/http: requests as any client may send them, through the connection that serves them; the
// parameters behind "?".
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "engine/base/async/async.hpp"
#include "shim/http/connection.hpp"
#include "shim/http/message.hpp"
#include "shim/http/router.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

using http::CallPtr;
using http::Reply;

constexpr std::size_t kBodyLimit = std::size_t{32} << 10;
constexpr std::size_t kMostRounds = 5000;

Task<Reply> echo(CallPtr call) {
  const auto body = co_await call->read_body(kBodyLimit);
  if (!body) co_return std::unexpected(body.error());
  MUST(body->size() <= kBodyLimit);
  co_return http::json_reply(std::to_string(body->size()));
}

Task<Reply> pipe_through(asio::io_context& io, CallPtr call) {
  auto pipe = call->body_as_pipe();
  if (!pipe) co_return std::unexpected(pipe.error());
  CO_CHECK(set_nonblocking(*pipe, true));
  asio::posix::stream_descriptor in(io, pipe->release());
  std::string piece(16384, '\0');
  std::size_t seen = 0;
  const auto space = asio::buffer(piece);
  for (;;) {
    const auto [ec, n] = co_await in.async_read_some(space, kToken);
    if (ec) break;
    seen += n;
  }
  co_return http::json_reply(std::to_string(seen));
}

Task<Reply> stream(CallPtr call) {
  call->end_when_client_leaves();
  Reply head;
  head.type = "text/plain";
  CO_CHECK(co_await call->begin(std::move(head)));
  for (const char* text : {"one\n", "", "two\n"}) {
    std::string data = text;
    CO_CHECK(co_await call->write(std::move(data)));
  }
  co_return http::sent_reply();
}

Task<Reply> hijacked(CallPtr call) {
  const auto taken = co_await call->hijack(http::kRawStream);
  if (!taken) co_return std::unexpected(taken.error());
  co_return http::sent_reply();
}

Task<Reply> parameters(CallPtr call) {
  (void)call->request.query.flag("a");
  (void)call->request.query.list("a");
  const auto n = call->request.query.number("n");
  if (!n) co_return std::unexpected(n.error());
  for (const auto& p : call->request.params) MUST(!p.empty());
  co_return http::json_reply("{}");
}

class Client {
 public:
  Client() {
    const auto any = [this](CallPtr call) { return pipe_through(io_, std::move(call)); };
    router_.add("GET", "/_ping", parameters);
    router_.add("HEAD", "/_ping", parameters);
    router_.add("POST", "/echo", echo);
    router_.add("PUT", "/pipe/{}", any);
    router_.add("GET", "/stream", stream);
    router_.add("POST", "/hijack", hijacked);
    router_.add("GET", "/images/{*}/json", parameters);
    router_.add("DELETE", "/a/{}/b/{*}/c/{}", parameters);
  }

  // The first byte says how the rest is cut, and how the client leaves.
  void run(std::string_view input) {
    if (input.empty()) return;
    const auto choice = static_cast<std::uint8_t>(input[0]);
    input.remove_prefix(1);
    auto pair = make_socket_pair(SOCK_STREAM);
    MUST(pair.has_value() && set_nonblocking(pair->a, true).has_value() &&
         set_nonblocking(pair->b, true).has_value());
    answer_.clear();
    const auto connection = http::make_connection(
        io_, scope_, router_, http::Limits{4096, std::chrono::seconds(5)}, std::move(pair->b));
    scope_.start("connection", connection->run(connection));
    const std::size_t piece =
        (choice & 0x0f) == 0 ? input.size() : std::size_t{1} << (choice & 0x0f);
    while (!input.empty()) {
      const auto n =
          ::send(pair->a.get(), input.data(), std::min(piece, input.size()), MSG_NOSIGNAL);
      if (n > 0) input.remove_prefix(static_cast<std::size_t>(n));
      turn();
      if (n <= 0 && !drain(pair->a)) break;
    }
    if ((choice & 0x10) != 0) pair->a.reset();  // at once, else only its writing side
    if (pair->a) ::shutdown(pair->a.get(), SHUT_WR);
    for (std::size_t i = 0; scope_.running() > 0; ++i) {
      MUST(i < kMostRounds);  // a connection without a client ends
      if (turn() == 0) io_.run_one_for(std::chrono::milliseconds(2));
      if (pair->a) drain(pair->a);
      if (i == kMostRounds / 2) connection->stop(true);
    }
    if (pair->a) drain(pair->a);
    check_answer();
  }

 private:
  std::size_t turn() {
    std::size_t all = 0;
    io_.restart();
    for (std::size_t n = io_.poll(); n > 0; n = io_.poll()) all += n;
    return all;
  }
  // false: there was nothing.
  bool drain(const UniqueFd& from) {
    char space[16384];
    bool any = false;
    for (ssize_t n = 1; n > 0;) {
      n = ::recv(from.get(), space, sizeof space, MSG_DONTWAIT);
      if (n > 0) answer_.append(space, static_cast<std::size_t>(n));
      any = any || n > 0;
    }
    return any;
  }
  // Whatever came, the answer is HTTP, and the fault is not ours.
  void check_answer() const {
    if (answer_.empty()) return;
    MUST(answer_.starts_with("HTTP/1.1 ") && answer_.size() > 12);
    MUST(answer_[9] != '5');
  }

  asio::io_context io_;
  Scope scope_{io_};
  http::Router router_;
  std::string answer_;
};

void query(std::string_view input) {
  for (const bool plus : {true, false}) {
    const auto text = http::percent_decode(input, plus);
    if (text) MUST(text->size() <= input.size());
  }
  const auto parsed = http::Query::parse(input);
  if (!parsed) return;
  (void)parsed->flag("a", true);
  (void)parsed->number("n");
  (void)parsed->text("a");
  MUST(parsed->list("a").size() <= input.size() + 1);
  if (const auto v = http::parse_version(input))
    MUST(http::parse_version(http::to_string(*v)) == v);
}

}  // namespace

std::vector<Target> http_targets() {
  Target requests;
  requests.name = "http";
  requests.dictionary = {"GET ",
                         "POST ",
                         "HEAD ",
                         "PUT ",
                         "DELETE ",
                         "OPTIONS ",
                         "/_ping",
                         "/echo",
                         "/pipe/x",
                         "/stream",
                         "/hijack",
                         "/images/a/b/json",
                         "/v1.41",
                         "/v1.24",
                         "?a=1&n=2",
                         " HTTP/1.1\r\n",
                         " HTTP/1.0\r\n",
                         "Host: d\r\n",
                         "\r\n\r\n",
                         "\r\n",
                         "Content-Length: ",
                         "Transfer-Encoding: chunked\r\n",
                         "Connection: close\r\n",
                         "Connection: keep-alive\r\n",
                         "Connection: Upgrade\r\nUpgrade: tcp\r\n",
                         "Expect: 100-continue\r\n",
                         "0\r\n\r\n",
                         "5\r\nhello\r\n",
                         "ffffffffffffffff\r\n",
                         ";a=b",
                         "Content-Type: application/json\r\n",
                         "http://h/",
                         "%2f",
                         "%00",
                         "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
                         "X: y\r\n",
                         " folded\r\n"};
  requests.largest = 6000;
  requests.inputs = 10'000;
  requests.run = [client = std::shared_ptr<Client>()](std::string_view input) mutable {
    if (!client) client = std::make_shared<Client>();
    client->run(input);
  };
  return {requests,
          {.name = "query",
           .run = query,
           .dictionary = {"%41", "%", "%zz", "+", "&", "=", "a=", "n=", "true", "-1",
                          "9223372036854775808", "1.41"},
           .largest = 512,
           .inputs = 100'000}};
}

}  // namespace coracle::fuzz
