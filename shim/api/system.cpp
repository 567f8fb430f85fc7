// ping, version, info, auth.
#include "shim/wire/system.hpp"

#include "shim/api/api.hpp"
#include "shim/wire/image.hpp"

namespace coracle::api {
namespace {

Task<Reply> ping(Api& /*api*/, CallPtr call) {
  Reply r;
  r.type = "text/plain; charset=utf-8";
  if (call->request.method == "GET") r.body = "OK";
  r.headers = {{"Builder-Version", "1"},
               {"Swarm", "inactive"},
               {"Cache-Control", "no-cache, no-store, must-revalidate"},
               {"Pragma", "no-cache"}};
  co_return r;
}

Task<Reply> version(Api& api, CallPtr /*call*/) {
  co_return http::json_reply(json::serialize(wire::version_json(api.engine.info())));
}

Task<Reply> info(Api& api, CallPtr /*call*/) {
  co_return http::json_reply(json::serialize(wire::info_json(api.engine.info(), now(), api.debug)));
}

Task<Reply> auth(Api& api, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, true));
  CO_TRY(auto credentials, wire::parse_auth_body(body));
  CO_CHECK(co_await api.engine.login(std::move(credentials)));
  boost::json::object o;
  o["Status"] = "Login Succeeded";
  o["IdentityToken"] = "";
  co_return http::json_reply(json::serialize(o));
}

}  // namespace

void add_system_routes(http::Router& router, Api& api) {
  route(router, api, "GET", "/_ping", ping);
  route(router, api, "HEAD", "/_ping", ping);
  route(router, api, "GET", "/version", version);
  route(router, api, "GET", "/info", info);
  route(router, api, "POST", "/auth", auth);
}

}  // namespace coracle::api
