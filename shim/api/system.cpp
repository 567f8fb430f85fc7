// ping, version, info, auth.
#include "engine/face/system.hpp"

#include "engine/base/json.hpp"
#include "engine/engine.hpp"
#include "engine/face/images.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/image.hpp"
#include "shim/wire/system.hpp"

namespace coracle::api {
namespace {

Task<Reply> ping(CallPtr call) {
  Reply r;
  r.type = "text/plain; charset=utf-8";
  if (call->request.method == "GET") r.body = "OK";
  r.headers = {{"Builder-Version", "1"},
               {"Swarm", "inactive"},
               {"Cache-Control", "no-cache, no-store, must-revalidate"},
               {"Pragma", "no-cache"}};
  co_return r;
}

Task<Reply> version(face::System& system, CallPtr /*call*/) {
  co_return http::json_reply(json::serialize(wire::version_json(system.info())));
}

Task<Reply> info(Api& api, CallPtr call) {
  auto& system = api.engine.system();
  CO_TRY(auto devices, co_await system.cdi_devices());
  SystemInfo told = system.info();
  told.cdi_devices = std::move(devices);
  co_return http::json_reply(
      json::serialize(wire::info_json(told, now(), api.debug, call->request.version)));
}

Task<Reply> auth(face::Images& images, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_null_if_absent));
  CO_TRY(auto credentials, wire::parse_auth_body(body));
  CO_TRY(const auto token, co_await images.login(std::move(credentials)));
  boost::json::object o;
  o["Status"] = "Login Succeeded";
  o["IdentityToken"] = token;
  co_return http::json_reply(json::serialize(o));
}

}  // namespace

void add_system_routes(http::Router& router, Api& api) {
  router.add("GET", "/_ping", ping);
  router.add("HEAD", "/_ping", ping);
  route(router, api.engine.system(), "GET", "/version", version);
  route(router, api, "GET", "/info", info);
  route(router, api.engine.images(), "POST", "/auth", auth);
}

}  // namespace coracle::api
