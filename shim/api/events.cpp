// GET /events
#include "engine/base/json.hpp"
#include "engine/face/system.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/system.hpp"

namespace coracle::api {
namespace {

// How the stream is written. From 1.52 on a client may ask for one of three kinds.
struct Framing {
  const char* type = "application/json";
  const char* before = "";  // each object
};
Framing framing_of(const http::Request& request) {
  if (request.version < http::ApiVersion{1, 52}) return {};
  const auto accept = request.header("accept");
  if (accept.find("application/json-seq") != std::string::npos)
    return {"application/json-seq", "\x1e"};
  if (accept.find("application/x-ndjson") != std::string::npos) return {"application/x-ndjson", ""};
  return {"application/jsonl", ""};
}

Task<Reply> events(face::System& system, CallPtr call) {
  CO_TRY(const auto since, time_of(call->request, "since"));
  CO_TRY(const auto until, time_of(call->request, "until"));
  CO_TRY(auto filters, filters_of(call->request, kEventFilterKeys));
  if (since.ns != 0 && until.ns != 0 && until < since)
    co_return fail(Errc::invalid_argument, "`since` time ({}) cannot be after `until` time ({})",
                   call->request.query.text("since"), call->request.query.text("until"));
  CO_TRY(const auto stream, system.events(since, until, std::move(filters)));
  call->end_when_client_leaves();
  Reply head;
  const auto framing = framing_of(call->request);
  head.type = framing.type;
  CO_CHECK(co_await call->begin(std::move(head)));
  for (;;) {
    CO_TRY(const auto event, co_await stream->next());
    if (!event) break;
    auto line =
        framing.before + json::serialize(wire::event_json(*event, call->request.version)) + "\n";
    CO_CHECK(co_await call->write(std::move(line)));
  }
  co_return http::sent_reply();
}

}  // namespace

void add_event_routes(http::Router& router, face::System& system) {
  route(router, system, "GET", "/events", events);
}

}  // namespace coracle::api
