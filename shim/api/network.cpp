// Networks: list and inspect.
#include "shim/wire/network.hpp"

#include "shim/api/api.hpp"

namespace coracle::api {
namespace {

constexpr std::string_view kNetworkFilters[] = {"dangling", "driver", "id",  "label",
                                                "name",     "scope",  "type"};

Task<Reply> list_networks(Api& api, CallPtr call) {
  CO_TRY(const auto filters, filters_of(call->request, kNetworkFilters));
  CO_TRY(const auto networks, api.engine.networks(filters));
  boost::json::array out;
  for (const auto& n : networks) out.push_back(wire::network_json(n, false, call->request.version));
  co_return http::json_reply(json::serialize(out));
}

Task<Reply> inspect_network(Api& api, CallPtr call) {
  CO_TRY(const auto network, api.engine.network(call->request.params[0]));
  const auto scope = call->request.query.text("scope");
  if (!scope.empty() && scope != "local")
    co_return fail(Errc::not_found, "network {} not found", call->request.params[0]);
  co_return http::json_reply(
      json::serialize(wire::network_json(network, true, call->request.version)));
}

}  // namespace

void add_network_routes(http::Router& router, Api& api) {
  route(router, api, "GET", "/networks", list_networks);
  route(router, api, "GET", "/networks/", list_networks);
  route(router, api, "GET", "/networks/{}", inspect_network);
}

}  // namespace coracle::api
