#include "shim/http/websocket.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>

#include "engine/base/text.hpp"

namespace coracle::http {
namespace {

namespace websocket = boost::beast::websocket;
using Socket = asio::local::stream_protocol::socket;

constexpr std::size_t kFramePiece = std::size_t{16} << 10;

struct Tunnel {
  Tunnel(asio::io_context& io, int client, int engine)
      : ws(Socket(io, asio::local::stream_protocol(), client)),
        inner(io, asio::local::stream_protocol(), engine) {}
  websocket::stream<Socket> ws;
  Socket inner;
};
using TunnelPtr = std::shared_ptr<Tunnel>;

Coro<void> from_client(TunnelPtr t) {
  std::array<char, kFramePiece> piece;
  const auto buffer = asio::buffer(piece);
  for (;;) {
    const auto [ec, n] = co_await t->ws.async_read_some(buffer, kToken);
    if (ec) break;
    const auto part = asio::buffer(piece.data(), n);
    const auto [failed, written] = co_await asio::async_write(t->inner, part, kToken);
    if (failed) break;
  }
  boost::system::error_code ignored;
  t->inner.shutdown(Socket::shutdown_both, ignored);
}

Coro<void> to_client(TunnelPtr t) {
  std::array<char, kFramePiece> piece;
  const auto buffer = asio::buffer(piece);
  for (;;) {
    const auto [ec, n] = co_await t->inner.async_read_some(buffer, kToken);
    if (ec) break;
    const auto part = asio::buffer(piece.data(), n);
    const auto [failed, written] = co_await t->ws.async_write(part, kToken);
    if (failed) break;
  }
  if (!t->ws.is_open()) co_return;
  const websocket::close_reason normal(websocket::close_code::normal);
  co_await t->ws.async_close(normal, kToken);
}

}  // namespace

Result<> check_websocket(const Request& request) {
  const auto bad = [](const char* what) {
    return fail(Errc::invalid_argument, "attach by WebSocket: the request has no {}", what);
  };
  if (lower(request.header("upgrade")) != "websocket") return bad("Upgrade: websocket");
  if (request.header("sec-websocket-key").empty()) return bad("Sec-WebSocket-Key");
  if (request.header("sec-websocket-version") != "13") return bad("Sec-WebSocket-Version: 13");
  return {};
}

Task<> serve_websocket(asio::io_context& io, CallPtr call, Hijacked client, UniqueFd inner,
                       bool binary) {
  if (!client.leftover.empty())
    co_return fail(Errc::invalid_argument,
                   "attach by WebSocket: the client sent frames before the handshake's end");
  CO_CHECK(set_nonblocking(inner, true));
  auto t = std::make_shared<Tunnel>(io, client.client.release(), inner.release());
  websocket::stream_base::timeout limits{};
  limits.handshake_timeout = std::chrono::seconds(10);  // of the closing one, too
  limits.idle_timeout = websocket::stream_base::none();
  limits.keep_alive_pings = false;
  t->ws.set_option(limits);
  t->ws.binary(binary);
  boost::beast::http::request<boost::beast::http::empty_body> head;
  head.method(boost::beast::http::verb::get);
  head.target(call->request.target);
  head.version(11);
  for (const auto& [name, value] : call->request.headers) head.insert(name, value);
  const auto [ec] = co_await t->ws.async_accept(head, kToken);
  if (ec) co_return fail(Errc::unavailable, "attach by WebSocket: {}", ec.message());
  call->beside(from_client(t));
  call->beside(to_client(t));
  co_return Result<>{};
}

}  // namespace coracle::http
