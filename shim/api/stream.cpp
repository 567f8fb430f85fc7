// A container's streams: wait, attach, logs, the size of its terminal.
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/engine.hpp"
#include "engine/face/container_streams.hpp"
#include "engine/face/containers.hpp"
#include "shim/api/api.hpp"
#include "shim/http/websocket.hpp"

namespace coracle::api {
namespace {

constexpr std::size_t kBatch = std::size_t{64} << 10;

Result<WaitCondition> condition_of(const std::string& text) {
  if (text.empty() || text == "not-running") return WaitCondition::not_running;
  if (text == "next-exit") return WaitCondition::next_exit;
  if (text == "removed") return WaitCondition::removed;
  return fail(Errc::invalid_argument, "invalid condition: \"{}\"", text);
}

// The waiter is armed before the head goes out: clients send start only after they have seen it.
Task<Reply> wait(face::Containers& containers, CallPtr call) {
  CO_TRY(const auto condition, condition_of(call->request.query.text("condition")));
  CO_TRY(const auto waiter, containers.wait(call->request.params[0], condition));
  call->end_when_client_leaves();
  Reply head;
  head.type = "application/json";
  CO_CHECK(co_await call->begin(std::move(head)));
  CO_TRY(const auto result, co_await waiter->result());
  boost::json::object o;
  o["StatusCode"] = result.code;
  if (!result.error.empty()) o["Error"] = boost::json::object{{"Message", result.error}};
  CO_CHECK(co_await call->write(json::serialize(o) + "\n"));
  co_return http::sent_reply();
}

AttachOptions attach_options(const http::Query& query) {
  AttachOptions options;
  options.stream = query.flag("stream");
  options.in = query.flag("stdin");
  options.out = query.flag("stdout");
  options.err = query.flag("stderr");
  options.logs = query.flag("logs");
  options.detach_keys = query.text("detachKeys");
  return options;
}

Task<Reply> attach(face::Streams& streams, CallPtr call) {
  auto options = attach_options(call->request.query);
  CO_TRY(auto checked, streams.check_attach(call->request.params[0], options));
  CO_TRY(auto ours, co_await call->hijack(http::stream_type(checked.tty, call->request.version)));
  const auto done = co_await streams.attach(std::move(checked), std::move(options),
                                            std::move(ours.client), std::move(ours.leftover));
  if (!done)
    log::info("attach ended id={} reason={}", call->request.params[0], done.error().message);
  co_return http::sent_reply();
}

// The engine gets one end of a socket pair; the WebSocket is served on the other.
Task<Reply> attach_ws(Api& api, CallPtr call) {
  auto& streams = api.engine.streams();
  CO_CHECK(http::check_websocket(call->request));
  auto options = attach_options(call->request.query);
  options.raw = true;
  CO_TRY(auto checked, streams.check_attach(call->request.params[0], options));
  CO_TRY(auto pair, make_socket_pair(SOCK_STREAM));
  const bool binary = call->request.version >= http::ApiVersion{1, 28};
  CO_TRY(auto ours, co_await call->hijack(nullptr));
  auto done =
      co_await http::serve_websocket(api.io, call, std::move(ours), std::move(pair.a), binary);
  if (done)
    done = co_await streams.attach(std::move(checked), std::move(options), std::move(pair.b),
                                   std::string{});
  if (!done)
    log::info("attach ended id={} reason={}", call->request.params[0], done.error().message);
  co_return http::sent_reply();
}

// A number, or everything: "all" and what is no number.
std::optional<std::uint64_t> tail_of(const std::string& text) {
  std::uint64_t n = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, ec] = std::from_chars(begin, text.data() + text.size(), n);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

Result<LogOptions> log_options(const http::Request& request) {
  LogOptions o;
  o.out = request.query.flag("stdout");
  o.err = request.query.flag("stderr");
  o.follow = request.query.flag("follow");
  if (!o.out && !o.err)
    return fail(Errc::invalid_argument, "must specify at least one of 'stdout' or 'stderr'");
  TRY(o.since, time_of(request, "since"));
  // Of logs, unlike of events, 0 is no end.
  if (request.query.text("until") != "0") {
    TRY(o.until, time_of(request, "until"));
  }
  o.tail = tail_of(request.query.text("tail"));
  return o;
}

// As a query of an URL has it: Docker escapes keys and values so.
void append_escaped(std::string& out, std::string_view text) {
  constexpr const char* kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += {'%', kHex[byte >> 4U], kHex[byte & 0xFU]};
    }
  }
}

std::string details_of(const LogEntry& entry) {
  std::string out;
  for (const std::string_view attr : entry.attrs) {
    if (!out.empty()) out += ',';
    const auto equals = std::min(attr.find('='), attr.size());
    append_escaped(out, attr.substr(0, equals));
    out += '=';
    if (equals < attr.size()) append_escaped(out, attr.substr(equals + 1));
  }
  return out + " ";
}

struct LineStyle {
  bool tty = false, timestamps = false, details = false;
};

void append_line(std::string& out, const LogEntry& entry, LineStyle style) {
  std::string line;
  if (style.timestamps) line += to_rfc3339_fixed(entry.time) + " ";
  if (style.details) line += details_of(entry);
  line += entry.text;
  if (style.tty)
    out += line;
  else
    http::append_frame(out, entry.is_err ? 2 : 1, line);
}

Task<Reply> logs(face::Streams& streams, CallPtr call) {
  CO_TRY(auto options, log_options(call->request));
  CO_TRY(const auto stream, co_await streams.logs(call->request.params[0], std::move(options)));
  call->end_when_client_leaves();
  const auto& query = call->request.query;
  const LineStyle style{stream->tty, query.flag("timestamps"), query.flag("details")};
  Reply head;
  head.type = http::stream_type(stream->tty, call->request.version);
  CO_CHECK(co_await call->begin(std::move(head)));
  for (;;) {
    CO_TRY(const auto batch, co_await stream->next());
    if (batch.empty()) break;
    std::string out;
    for (const auto& entry : batch) {
      append_line(out, entry, style);
      if (out.size() < kBatch) continue;
      // A copy: moving it out within the loop makes g++ 12 warn of an overlap that is none (PR
      // 105651).
      CO_CHECK(co_await call->write(out));
      out.clear();
    }
    CO_CHECK(co_await call->write(std::move(out)));
  }
  co_return http::sent_reply();
}

Task<Reply> resize(face::Streams& streams, CallPtr call) {
  CO_TRY(const auto size, size_of(call->request));
  CO_CHECK(co_await streams.resize(call->request.params[0], size.height, size.width));
  co_return http::empty_reply(200);
}

}  // namespace

void add_stream_routes(http::Router& router, Api& api) {
  auto& streams = api.engine.streams();
  route(router, api.engine.containers(), "POST", "/containers/{*}/wait", wait);
  route(router, streams, "POST", "/containers/{*}/attach", attach);
  route(router, api, "GET", "/containers/{*}/attach/ws", attach_ws);
  route(router, streams, "GET", "/containers/{*}/logs", logs);
  route(router, streams, "POST", "/containers/{*}/resize", resize);
}

}  // namespace coracle::api
