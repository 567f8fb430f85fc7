// Networks: list and inspect.
#include "shim/wire/network.hpp"

#include "engine/base/json.hpp"
#include "engine/face/networks.hpp"
#include "shim/api/api.hpp"

namespace coracle::api {
namespace {

Task<Reply> list_networks(face::Networks& networks, CallPtr call) {
  CO_TRY(const auto filters, filters_of(call->request, kNetworkFilterKeys));
  CO_TRY(const auto found, networks.list(filters));
  boost::json::array out;
  for (const auto& n : found) out.push_back(wire::network_json(n, false, call->request.version));
  co_return http::json_reply(json::serialize(out));
}

Task<Reply> inspect_network(face::Networks& networks, CallPtr call) {
  CO_TRY(const auto network, networks.find(call->request.params[0]));
  const auto scope = call->request.query.text("scope");
  if (!scope.empty() && scope != "local")
    co_return fail(Errc::not_found, "network {} not found", call->request.params[0]);
  co_return http::json_reply(
      json::serialize(wire::network_json(network, true, call->request.version)));
}

}  // namespace

void add_network_routes(http::Router& router, face::Networks& networks) {
  route(router, networks, "GET", "/networks", list_networks);
  route(router, networks, "GET", "/networks/", list_networks);
  route(router, networks, "GET", "/networks/{}", inspect_network);
}

}  // namespace coracle::api
