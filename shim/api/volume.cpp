// Volumes: list, inspect, create, delete.
#include "shim/wire/volume.hpp"

#include "engine/base/json.hpp"
#include "engine/face/volumes.hpp"
#include "shim/api/api.hpp"
#include "shim/api/refused.hpp"

namespace coracle::api {
namespace {

Task<Reply> list_volumes(face::Volumes& volumes, CallPtr call) {
  CO_TRY(const auto filters, filters_of(call->request, kVolumeFilterKeys));
  CO_TRY(const auto found, volumes.list(filters));
  boost::json::array all;
  for (const auto& v : found) all.push_back(wire::volume_json(v));
  boost::json::object o;
  o["Volumes"] = std::move(all);
  o["Warnings"] = nullptr;
  co_return http::json_reply(json::serialize(o));
}

Task<Reply> inspect_volume(face::Volumes& volumes, CallPtr call) {
  CO_TRY(const auto volume, volumes.find(call->request.params[0]));
  co_return http::json_reply(json::serialize(wire::volume_json(volume)));
}

Task<Reply> create_volume(face::Volumes& volumes, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_null_if_absent));
  CO_TRY(auto request, json::from_json_of_client<wire::VolumeRequest>(body));
  if (request.cluster) co_return fail(Errc::unavailable, "{}", kNoManager);
  CO_TRY(const auto volume,
         co_await volumes.create(std::move(request.name), std::move(request.driver),
                                 std::move(request.options), std::move(request.labels)));
  co_return http::json_reply(json::serialize(wire::volume_json(volume)), 201);
}

Task<Reply> remove_volume(face::Volumes& volumes, CallPtr call) {
  CO_CHECK(co_await volumes.remove(call->request.params[0], call->request.query.flag("force")));
  co_return http::empty_reply(204);
}

}  // namespace

void add_volume_routes(http::Router& router, face::Volumes& volumes) {
  route(router, volumes, "GET", "/volumes", list_volumes);
  route(router, volumes, "POST", "/volumes/create", create_volume);
  route(router, volumes, "GET", "/volumes/{}", inspect_volume);
  route(router, volumes, "DELETE", "/volumes/{}", remove_volume);
}

}  // namespace coracle::api
