#include "shim/api/api.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

#include "engine/engine.hpp"
#include "shim/wire/filters.hpp"
#include "shim/wire/system.hpp"

namespace coracle::api {

namespace {

// A number of 32 bits, as dockerd takes it; what no terminal can have is the most that one can.
Result<std::uint16_t> side_of(const std::string& text, const char* side) {
  const bool negative = text.starts_with('-');
  const char* end = text.data() + text.size();
  std::uint32_t n = 0;
  const auto [rest, ec] = std::from_chars(text.data() + (negative ? 1 : 0), end, n);
  if (rest != end || ec == std::errc::invalid_argument)
    return fail(Errc::invalid_argument, "invalid resize {} \"{}\": invalid syntax", side, text);
  if (negative || ec != std::errc{})
    return fail(Errc::invalid_argument, "invalid resize {} \"{}\": value out of range", side, text);
  return static_cast<std::uint16_t>(std::min(n, std::uint32_t{65535}));
}

}  // namespace

Result<Filters> filters_of(const http::Request& request,
                           std::span<const std::string_view> accepted) {
  return wire::parse_filters(request.query.text("filters"), accepted);
}

Result<Time> time_of(const http::Request& request, const char* name) {
  const auto text = request.query.text(name);
  if (text.empty()) return Time{};
  const auto t = parse_timestamp(text);
  if (!t) return std::unexpected(t.error().within("invalid value for \"{}\"", name));
  return *t;
}

Result<Size> size_of(const http::Request& request) {
  TRY(const auto height, side_of(request.query.text("h"), "height"));
  TRY(const auto width, side_of(request.query.text("w"), "width"));
  return Size{height, width};
}

void add_all_routes(http::Router& router, Api& api) {
  add_system_routes(router, api);
  add_container_routes(router, api);
  add_stream_routes(router, api);
  add_archive_routes(router, api);
  add_exec_routes(router, api.engine.execs());
  add_image_routes(router, api);
  add_volume_routes(router, api.engine.volumes());
  add_network_routes(router, api.engine.networks());
  add_event_routes(router, api.engine.system());
  add_usage_routes(router, api.engine.usage());
  add_prune_routes(router, api.engine.prune());
  add_refused_routes(router);
}

namespace {

// Progress on its way to the client: the engine puts in, the writer takes out. A newer bar of the
// same layer takes the place of one that has not been sent yet, so a slow client costs no memory.
struct Pending {
  explicit Pending(asio::io_context& io) : changed(io), written(io) {}
  std::vector<storage::Progress> items;
  bool finished = false;     // nothing more comes
  bool writer_gone = false;  // everything is out, or the client is gone
  Signal changed, written;
};

void put(Pending& pending, const storage::Progress& p) {
  if (p.current != 0 || p.total != 0) {
    for (auto& waiting : pending.items) {
      if (waiting.id == p.id && waiting.status == p.status) {
        waiting = p;
        return;
      }
    }
  }
  pending.items.push_back(p);
  pending.changed.notify_all();
}

Task<> write_lines(CallPtr call, std::string lines) {
  if (!call->begun()) {
    Reply head;
    head.type = "application/json";
    CO_CHECK(co_await call->begin(std::move(head)));
  }
  co_return co_await call->write(std::move(lines));
}

Coro<void> write_progress(CallPtr call, std::shared_ptr<Pending> pending) {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool well = true;
  while (well && (!pending->finished || !pending->items.empty())) {
    if (pending->items.empty()) {
      co_await pending->changed.wait();
      continue;
    }
    std::string lines;
    for (const auto& p : pending->items) lines += wire::progress_line(p);
    pending->items.clear();
    const auto sent = co_await write_lines(call, std::move(lines));
    well = sent.has_value();
  }
  pending->writer_gone = true;
  pending->written.notify_all();
}

}  // namespace

Task<Reply> stream_progress(CallPtr call, asio::io_context& io, Operation operation) {
  call->end_when_client_leaves();
  auto pending = std::make_shared<Pending>(io);
  call->beside(write_progress(call, pending));
  storage::ProgressSink sink = [pending](const storage::Progress& p) { put(*pending, p); };
  auto result = co_await operation(std::move(sink));
  pending->finished = true;
  pending->changed.notify_all();
  while (!pending->writer_gone) co_await pending->written.wait();

  if (!result && !call->begun()) co_return std::unexpected(result.error());
  std::string last = result ? *result : wire::error_line(result.error());
  if (!last.empty() || !call->begun()) CO_CHECK(co_await write_lines(call, std::move(last)));
  co_return http::sent_reply();
}

}  // namespace coracle::api
