// A connection that becomes a WebSocket (RFC 6455): what comes in messages goes to a socket of the
// engine's as plain bytes, what comes from there goes out in messages. Ping, close and fragments
// are answered here.
#pragma once

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "shim/http/call.hpp"

namespace coracle::http {

// Does the request ask for it, as it should?
//   errors  invalid_argument
Result<> check_websocket(const Request& request);

// Answers "101 Switching Protocols" on the connection (taken over without a head), then serves both
// directions beside the handler. The end of `inner` closes the WebSocket, and the other way round.
//   binary  kind of the messages that go out; text before API 1.28
Task<> serve_websocket(asio::io_context& io, CallPtr call, Hijacked client, UniqueFd inner,
                       bool binary);

}  // namespace coracle::http
