// Reading uses Beast's parser on our own buffer (the one Beast include of the tree): the head is
// parsed when it is complete, the body piece by piece as the handler asks for it. Whatever the
// client has sent beyond stays in the buffer: the next request, or the first bytes of a hijacked
// stream.
//
// The coroutine of run() is one chain down into the handler and the engine. When the client leaves
// and the handler said that this ends it, the chain is cancelled; a cancellation can fall into a
// moment that does not hear it (a worker thread at work), so it is repeated until the call is over.
#include "shim/http/connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <span>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "engine/base/defer.hpp"
#include "engine/base/log.hpp"
#include "engine/base/text.hpp"
#include "shim/http/body_pipe.hpp"
#include "shim/http/host.hpp"
#include "shim/http/problem.hpp"

namespace coracle::http {
namespace {

namespace beast_http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using Parser = beast_http::request_parser<beast_http::buffer_body>;

constexpr std::size_t kPiece = std::size_t{64} << 10;
// "0\r\n\r\n": with less of it the parser has not to be asked again once it has wanted more.
constexpr std::size_t kShortestLastChunk = 5;
constexpr std::size_t kHijackBodyLimit = std::size_t{64} << 10;
constexpr auto kAskAgain = std::chrono::milliseconds(50);
constexpr auto kTimeToRead = std::chrono::milliseconds(500);

class ConnectionImpl final : public Connection,
                             public Call,
                             public std::enable_shared_from_this<ConnectionImpl> {
 public:
  ConnectionImpl(asio::io_context& io, Scope& scope, const Router& router, Limits limits,
                 UniqueFd socket)
      : io_(io),
        scope_(scope),
        router_(router),
        limits_(limits),
        socket_(io, asio::local::stream_protocol(), socket.release()),
        deadline_(io),
        write_deadline_(io),
        pumped_(io),
        again_(io) {}

  Coro<void> run(std::shared_ptr<Connection> self) override;
  void stop(bool now) override;

  Task<std::string> read_body(std::size_t limit) override;
  Result<UniqueFd> body_as_pipe() override;
  Task<> body_end() override;
  [[nodiscard]] bool body_failed() const override { return body_error_.has_value(); }
  Task<> begin(Reply head) override;
  Task<> write(std::string data) override;
  [[nodiscard]] bool begun() const override { return begun_; }
  void end_when_client_leaves() override;
  void end_when_client_stalls() override { ends_when_stalled_ = true; }
  Task<Hijacked> hijack(const char* type) override;
  void beside(Coro<void> coroutine) override {
    scope_.start("beside a call", std::move(coroutine));
  }

 private:
  Coro<void> serve(std::shared_ptr<ConnectionImpl> self);
  Coro<bool> serve_one(std::shared_ptr<ConnectionImpl> self);
  Task<bool> read_head();
  void take_head();
  Task<std::size_t> read_some_body(char* into, std::size_t size);
  Task<std::size_t> receive(std::size_t most);
  Result<std::size_t> take_body(std::span<char> into, bool& wants_more);
  Task<> send(std::string data, std::string more = {});
  Task<> send_reply(Reply reply, bool keep);
  Coro<bool> finish_body();
  Coro<void> close_after_answer();
  Coro<void> pump(std::shared_ptr<ConnectionImpl> self, UniqueFd pipe);
  Task<std::size_t> next_of_body(char* into, std::size_t size);
  void cancel_until_over();
  void arm(asio::steady_timer& timer, std::chrono::milliseconds patience);

  asio::io_context& io_;
  Scope& scope_;
  const Router& router_;
  Limits limits_;
  Socket socket_;
  asio::steady_timer deadline_;
  asio::steady_timer write_deadline_;
  Signal pumped_;
  asio::steady_timer again_;
  asio::cancellation_signal signal_;
  std::optional<Parser> parser_;
  std::string buffer_;     // received, not yet parsed
  bool in_call_ = false;   // a handler is at work
  bool over_ = false;      // run() has ended
  bool stopping_ = false;  // no further request
  bool ends_with_client_ = false;
  bool watching_ = false;      // a wait for the client's leaving is pending
  bool continue_due_ = false;  // the client waits for "100 Continue"
  bool begun_ = false;
  bool hijacked_ = false;
  bool chunked_ = false;
  bool pumping_ = false;
  bool late_ = false;
  bool body_broken_ = false;
  bool ends_when_stalled_ = false;
  std::optional<Error> body_error_;  // of a body that went into a pipe
};

void ConnectionImpl::arm(asio::steady_timer& timer, std::chrono::milliseconds patience) {
  late_ = false;
  timer.expires_after(patience);
  timer.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (ec || !self) return;
    self->late_ = true;
    boost::system::error_code ignored;
    self->socket_.cancel(ignored);
  });
}

// Reads what there is into the buffer. 0: the client has ended its side.
Task<std::size_t> ConnectionImpl::receive(std::size_t most) {
  const std::size_t had = buffer_.size();
  // Not filled with zeros first: of a body that would be as many bytes again.
  buffer_.resize_and_overwrite(had + most, [](char*, std::size_t size) { return size; });
  auto space = asio::buffer(buffer_.data() + had, most);
  const auto [ec, n] = co_await socket_.async_read_some(space, kToken);
  buffer_.resize(had + n);
  if (ec == asio::error::eof) co_return std::size_t{0};
  if (ec) co_return fail(Errc::unavailable, "read from the client: {}", ec.message());
  co_return n;
}

Task<> ConnectionImpl::send(std::string data, std::string more) {
  const std::array<asio::const_buffer, 2> whole{asio::buffer(data), asio::buffer(more)};
  const auto [ec, n] = co_await asio::async_write(socket_, whole, kToken);
  if (ec) co_return fail(Errc::unavailable, "write to the client: {}", ec.message());
  co_return Result<>{};
}

// false: the client has ended between two requests, as clients do. An error carries the text for
// the answer; unavailable means that nobody is there to hear it.
Task<bool> ConnectionImpl::read_head() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits_.head));
  parser_->body_limit(boost::none);
  if (buffer_.empty()) {
    std::string().swap(buffer_);
    const auto [ec] = co_await socket_.async_wait(Socket::wait_read, kToken);
    if (ec) co_return false;
  }
  arm(deadline_, limits_.patience);
  for (;;) {
    // Empty lines before a request are allowed. See RFC 9112, 2.2.
    buffer_.erase(0, std::min(buffer_.find_first_not_of("\r\n"), buffer_.size()));
    if (!buffer_.empty()) {
      boost::beast::error_code ec;
      const std::size_t used = parser_->put(asio::buffer(buffer_), ec);
      buffer_.erase(0, used);
      if (parser_->is_header_done()) break;
      if (ec == beast_http::error::header_limit || buffer_.size() > limits_.head)
        co_return fail(Errc::unsupported, "request header is larger than {} bytes", limits_.head);
      if (ec && ec != beast_http::error::need_more)
        co_return fail(Errc::invalid_argument, "malformed HTTP request: {}", ec.message());
    }
    const auto n = co_await receive(kPiece);
    if (late_) co_return fail(Errc::unavailable, "the request's head did not arrive in time");
    if (!n) co_return std::unexpected(n.error());
    if (*n == 0) {
      if (buffer_.empty()) co_return false;
      co_return fail(Errc::unavailable, "the client left in the middle of a request");
    }
  }
  deadline_.cancel();
  take_head();
  CO_CHECK(check_host(request, parser_->get().version() >= 11));
  co_return true;
}

void ConnectionImpl::take_head() {
  const auto& message = parser_->get();
  request = Request{};
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message)
    request.headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  request.has_body = !parser_->is_done();
  continue_due_ = request.has_body && lower(request.header("expect")) == "100-continue";
  begun_ = hijacked_ = chunked_ = ends_with_client_ = body_broken_ = ends_when_stalled_ = false;
  body_error_.reset();
}

// Of what was received: the body's bytes, of as many chunks as fit.
//   wants_more  the parser's own wish, kept until more was received
Result<std::size_t> ConnectionImpl::take_body(std::span<char> into, bool& wants_more) {
  std::size_t got = 0;
  std::size_t used = 0;
  const Defer keep_rest([&] { buffer_.erase(0, used); });
  while (!parser_->is_done() && got < into.size()) {
    const std::size_t left = buffer_.size() - used;
    if (left == 0 || (wants_more && left < kShortestLastChunk)) break;
    auto& body = parser_->get().body();
    body.data = into.data() + got;
    body.size = into.size() - got;
    body.more = true;
    boost::beast::error_code ec;
    const std::size_t n = parser_->put(asio::buffer(buffer_) + used, ec);
    used += n;
    got = into.size() - body.size;
    wants_more = ec == beast_http::error::need_more;
    if (ec && ec != beast_http::error::need_buffer && ec != beast_http::error::need_more) {
      body_broken_ = true;
      return fail(Errc::invalid_argument, "malformed request body: {}", ec.message());
    }
    if (n == 0) break;
  }
  return got;
}

// Gives the next piece of the body. 0: its end.
Task<std::size_t> ConnectionImpl::read_some_body(char* into, std::size_t size) {
  bool wants_more = false;
  while (!parser_->is_done()) {
    CO_TRY(const auto got, take_body({into, size}, wants_more));
    if (got > 0) co_return got;
    if (parser_->is_done()) break;
    if (buffer_.size() > kPiece) {
      body_broken_ = true;
      co_return fail(Errc::invalid_argument, "malformed request body: a chunk's head is too long");
    }
    if (std::exchange(continue_due_, false))
      CO_CHECK(co_await send("HTTP/1.1 100 Continue\r\n\r\n"));
    const auto n = co_await receive(std::max(size, kPiece));
    if (!n || *n == 0) {
      body_broken_ = true;
      if (late_)
        co_return fail(Errc::invalid_argument, "the request's body did not arrive in time");
      co_return fail(Errc::invalid_argument, "the request's body ends too early");
    }
  }
  co_return std::size_t{0};
}

Task<std::string> ConnectionImpl::read_body(std::size_t limit) {
  std::string out;
  if (!request.has_body) co_return out;
  arm(deadline_, limits_.patience);
  std::array<char, 8192> piece;
  for (;;) {
    const auto n = co_await read_some_body(piece.data(), piece.size());
    if (!n) co_return std::unexpected(n.error());
    if (*n == 0) break;
    if (out.size() + *n > limit)
      co_return fail(Errc::invalid_argument, "the request's body is larger than {} bytes", limit);
    out.append(piece.data(), *n);
  }
  deadline_.cancel();
  co_return out;
}

Result<UniqueFd> ConnectionImpl::body_as_pipe() {
  TRY(auto pipe, make_body_pipe());
  pumping_ = true;
  scope_.start("request body", pump(shared_from_this(), std::move(pipe.write)));
  return std::move(pipe.read);
}

Coro<void> ConnectionImpl::pump(std::shared_ptr<ConnectionImpl> self, UniqueFd pipe) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const Defer end([this] {
    pumping_ = false;
    pumped_.notify_all();
  });
  BodyReader reader = [self](char* into, std::size_t size) {
    return self->next_of_body(into, size);
  };
  const auto filled = co_await fill_body_pipe(io_, std::move(pipe), std::move(reader));
  if (!filled) body_error_ = filled.error();
}

Task<std::size_t> ConnectionImpl::next_of_body(char* into, std::size_t size) {
  arm(deadline_, limits_.stall);
  auto n = co_await read_some_body(into, size);
  deadline_.cancel();
  co_return n;
}

Task<> ConnectionImpl::body_end() {
  while (pumping_) {
    co_await pumped_.wait();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (pumping_ && state.cancelled() != asio::cancellation_type::none)
      co_return fail(Errc::unavailable, "the client has left");
  }
  if (body_error_) co_return std::unexpected(*body_error_);
  co_return Result<>{};
}

Task<> ConnectionImpl::begin(Reply head) {
  begun_ = true;
  chunked_ = parser_->get().version() >= 11;
  std::string text =
      head_text(head, chunked_ ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n");
  co_return co_await send(std::move(text));
}

// With a deadline that each byte taken puts off, when the handler asked for one.
Task<> ConnectionImpl::write(std::string data) {
  if (data.empty()) co_return Result<>{};
  const std::string size = chunked_ ? fmt::format("{:x}\r\n", data.size()) : "";
  const std::array<asio::const_buffer, 3> parts{asio::buffer(size), asio::buffer(data),
                                                asio::buffer("\r\n", chunked_ ? 2 : 0)};
  const auto goes_on = [this](boost::system::error_code ec, std::size_t) {
    if (ends_when_stalled_) arm(write_deadline_, limits_.stall);
    return ec ? std::size_t{0} : kPiece;
  };
  const auto [ec, n] = co_await asio::async_write(socket_, parts, goes_on, kToken);
  write_deadline_.cancel();
  if (ec) co_return fail(Errc::unavailable, "write to the client: {}", ec.message());
  co_return Result<>{};
}

// A client that has closed hangs the socket up (EPOLLHUP); one that has only shut down its writing
// side does not. See unix(7), poll(2).
void ConnectionImpl::end_when_client_leaves() {
  ends_with_client_ = true;
  if (std::exchange(watching_, true)) return;
  socket_.async_wait(Socket::wait_error, [weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (!self) return;
    self->watching_ = false;
    if (!ec && self->in_call_ && self->ends_with_client_) self->cancel_until_over();
  });
}

void ConnectionImpl::cancel_until_over() {
  if (over_ || !in_call_) return;
  stopping_ = true;
  signal_.emit(asio::cancellation_type::terminal);
  again_.expires_after(kAskAgain);
  again_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    if (const auto self = weak.lock(); self && !ec) self->cancel_until_over();
  });
}

Task<Hijacked> ConnectionImpl::hijack(const char* type) {
  // A body whose length was told is no part of the stream: dockerode sends attach's options as one.
  if (parser_->content_length() && !parser_->is_done()) {
    const auto body = co_await read_body(kHijackBodyLimit);
    if (!body) co_return std::unexpected(body.error());
  }
  if (type != nullptr) {
    std::string head = hijack_head(request, type);
    CO_CHECK(co_await send(std::move(head)));
  }
  boost::system::error_code ec;
  const int fd = socket_.release(ec);
  if (ec) co_return fail(Errc::internal, "take a connection over: {}", ec.message());
  hijacked_ = true;
  Hijacked out{UniqueFd(fd), std::move(buffer_)};
  buffer_.clear();
  co_return out;
}

Task<> ConnectionImpl::send_reply(Reply reply, bool keep) {
  const bool without_body = reply.status == 204 || reply.status == 304;
  std::string framing =
      without_body ? "" : fmt::format("Content-Length: {}\r\n", reply.body.size());
  if (!keep) framing += "Connection: close\r\n";
  std::string text = head_text(reply, framing);
  if (without_body || request.method == "HEAD") reply.body.clear();
  co_return co_await send(std::move(text), std::move(reply.body));
}

// What the handler left of the body. false: there is too much of it, or it never comes.
Coro<bool> ConnectionImpl::finish_body() {
  for (int i = 0; pumping_ && i < 100; ++i) co_await sleep_for(io_, std::chrono::milliseconds(20));
  if (pumping_ || body_broken_) co_return false;
  if (parser_->is_done()) co_return true;
  if (continue_due_) co_return false;
  arm(deadline_, limits_.patience);
  std::array<char, 8192> piece;
  for (std::size_t dropped = 0; dropped < kDrain;) {
    const auto n = co_await read_some_body(piece.data(), piece.size());
    if (!n) co_return false;
    if (*n == 0) {
      deadline_.cancel();
      co_return true;
    }
    dropped += *n;
  }
  deadline_.cancel();
  co_await close_after_answer();
  co_return false;
}

// More comes than is worth reading. A client that is still writing has the time to see its answer
// before it hears that nobody listens: Go's gives up at a write that fails.
Coro<void> ConnectionImpl::close_after_answer() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  arm(deadline_, kTimeToRead);
  while (!late_) {
    buffer_.clear();
    const auto n = co_await receive(kPiece);
    if (!n || *n == 0) break;
  }
  deadline_.cancel();
}

Coro<bool> ConnectionImpl::serve_one(std::shared_ptr<ConnectionImpl> self) {
  const auto there = co_await read_head();
  if (!there) {
    const Error& e = there.error();
    if (e.code == Errc::unavailable && !late_) co_return false;
    const int status = late_ ? 408 : e.code == Errc::unsupported ? 431 : 400;
    request = Request{};
    auto reply = problem(status, e.message);
    const auto sent = co_await send_reply(std::move(reply), false);
    if (sent) co_await close_after_answer();
    co_return false;
  }
  if (!*there) co_return false;

  const auto connection = lower(request.header("connection"));
  bool keep =
      parser_->get().version() >= 11 ? connection.find("close") == std::string::npos : false;
  in_call_ = true;
  CallPtr call(self, static_cast<Call*>(self.get()));
  auto reply = co_await router_.answer(std::move(call));
  in_call_ = false;
  ends_with_client_ = false;
  again_.cancel();
  if (hijacked_) co_return false;
  if (begun_) {
    // An error after the head has gone out: the stream stays without its end, which tells.
    if (!reply.sent) co_return false;
    if (!chunked_) co_return false;
    const auto ended = co_await send("0\r\n\r\n");
    if (!ended || !keep || stopping_) co_return false;
    co_return co_await finish_body();
  }
  keep = keep && !stopping_ && !body_broken_ && !(continue_due_ && !parser_->is_done());
  const auto sent = co_await send_reply(std::move(reply), keep);
  if (!sent || !keep) {
    // Closing with unread bytes could take the answer away from a client that is still sending.
    if (sent && body_broken_) co_await close_after_answer();
    if (sent && !body_broken_ && !continue_due_) co_await finish_body();
    co_return false;
  }
  co_return co_await finish_body();
}

Coro<void> ConnectionImpl::serve(std::shared_ptr<ConnectionImpl> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  // Not `while (!stopping_ && co_await …)`: g++ 12 destroys the arguments of a conditional co_await
  // wrongly.
  bool more = true;
  while (more && !stopping_) more = co_await serve_one(self);
}

Coro<void> ConnectionImpl::run([[maybe_unused]] std::shared_ptr<Connection> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  // A chain of its own, so that it can be cancelled alone.
  auto ended = std::make_shared<OneShot<>>(io_);
  asio::co_spawn(io_, serve(shared_from_this()),
                 asio::bind_cancellation_slot(signal_.slot(), [ended](const std::exception_ptr& e) {
                   ended->set();
                   if (!e) return;
                   try {
                     std::rethrow_exception(e);
                   } catch (const std::exception& x) {
                     log::error("connection ended by an exception reason={}", x.what());
                   }
                 }));
  while (!ended->is_set()) {
    const bool over = co_await ended->wait();
    if (!over) stop(true);  // cancelled from outside: the server closes
  }
  over_ = true;
  again_.cancel();
  deadline_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void ConnectionImpl::stop(bool now) {
  stopping_ = true;
  if (over_) return;
  if (!in_call_) {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    return;
  }
  if (now || ends_with_client_) cancel_until_over();
  if (now) {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }
}

}  // namespace

std::shared_ptr<Connection> make_connection(asio::io_context& io, Scope& scope,
                                            const Router& router, Limits limits, UniqueFd socket) {
  return std::make_shared<ConnectionImpl>(io, scope, router, limits, std::move(socket));
}

}  // namespace coracle::http
