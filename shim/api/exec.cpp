// Exec instances: create, start, resize, inspect.
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/face/execs.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/container.hpp"

namespace coracle::api {
namespace {

struct StartBody {
  bool detach = false, tty = false;
  std::vector<std::uint32_t> console_size;
};
void describe(auto& field, StartBody& s) {
  field("Detach", s.detach)("Tty", s.tty)("ConsoleSize", s.console_size);
}

Task<Reply> create_exec(face::Execs& execs, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_null_if_absent));
  CO_TRY(auto request, json::from_json_of_client<ExecRequest>(body));
  if (request.cmd.items.empty())
    co_return fail(Errc::invalid_argument, "No exec command specified");
  if (call->request.version < http::ApiVersion{1, 42}) request.console_size.clear();
  if (!request.console_size.empty() && request.console_size.size() != 2)
    co_return fail(Errc::invalid_argument, "ConsoleSize: expected [height, width]");
  CO_TRY(const auto id, co_await execs.create(call->request.params[0], std::move(request)));
  boost::json::object o;
  o["Id"] = id;
  co_return http::json_reply(json::serialize(o), 201);
}

Task<Reply> start_exec(face::Execs& execs, CallPtr call) {
  CO_TRY(const auto json, co_await json_body(call, EmptyBody::is_null_if_absent));
  CO_TRY(auto body, json::from_json_of_client<StartBody>(json));
  if (!body.console_size.empty() && body.console_size.size() != 2)
    co_return fail(Errc::invalid_argument, "ConsoleSize: expected [height, width]");
  const std::string id = call->request.params[0];
  CO_CHECK(execs.check_start(id));
  if (body.detach) {
    CO_CHECK(co_await execs.start_detached(id));
    co_return http::empty_reply(200);
  }
  ExecStart how;
  how.tty = body.tty;
  if (body.tty && call->request.version >= http::ApiVersion{1, 42})
    how.console_size = std::move(body.console_size);
  CO_TRY(auto ours, co_await call->hijack(http::stream_type(how.tty, call->request.version)));
  // How it went stands in the stream and in the exit code: HTTP is over.
  const auto done = co_await execs.start_attached(id, std::move(how), std::move(ours.client),
                                                  std::move(ours.leftover));
  if (!done) log::debug("exec did not start id={} reason={}", id, done.error().message);
  co_return http::sent_reply();
}

Task<Reply> resize_exec(face::Execs& execs, CallPtr call) {
  CO_TRY(const auto size, size_of(call->request));
  CO_CHECK(co_await execs.resize(call->request.params[0], size.height, size.width));
  co_return http::empty_reply(200);
}

Task<Reply> inspect_exec(face::Execs& execs, CallPtr call) {
  CO_TRY(const auto view, execs.inspect(call->request.params[0]));
  co_return http::json_reply(json::serialize(wire::exec_json(view)));
}

}  // namespace

void add_exec_routes(http::Router& router, face::Execs& execs) {
  route(router, execs, "POST", "/containers/{*}/exec", create_exec);
  route(router, execs, "POST", "/exec/{}/start", start_exec);
  route(router, execs, "POST", "/exec/{}/resize", resize_exec);
  route(router, execs, "GET", "/exec/{}/json", inspect_exec);
}

}  // namespace coracle::api
