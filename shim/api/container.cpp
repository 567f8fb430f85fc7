// Containers: create, list, inspect, and the steps of their life. What streams is in api/stream.
#include "shim/wire/container.hpp"

#include <map>

#include "engine/base/json.hpp"
#include "engine/engine.hpp"
#include "engine/face/containers.hpp"
#include "engine/face/images.hpp"
#include "engine/face/usage.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/image.hpp"
#include "shim/wire/list_text.hpp"
#include "storage/images/platform.hpp"

namespace coracle::api {
namespace {

Task<Reply> create_container(face::Containers& containers, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_refused));
  CO_TRY(auto request, wire::parse_create(body, call->request.version));
  request.name = call->request.query.text("name");
  request.platform = call->request.query.text("platform");
  CO_CHECK(storage::parse_platform(request.platform));
  CO_TRY(const auto created, co_await containers.create(std::move(request)));
  boost::json::object o;
  o["Id"] = created.id;
  o["Warnings"] = json::to_json(created.warnings);
  co_return http::json_reply(json::serialize(o), 201);
}

// What the Image column shows: the name as given, unless it means another image by now.
class ImageNames {
 public:
  explicit ImageNames(const face::Images& images) : images_(images) {}
  std::string shown(const ContainerView& view) {
    const auto& name = view.config.image;
    if (name.empty()) return view.image_id;
    auto [at, is_new] = known_.try_emplace(name);
    if (is_new) {
      if (const auto image = images_.find(name)) at->second = image->id;
    }
    return at->second == view.image_id ? name : view.image_id;
  }

 private:
  const face::Images& images_;
  std::map<std::string, std::string> known_;  // name -> id, "" = gone
};

using Sizes = std::map<std::string, ContainerSize>;
std::optional<ContainerSize> size_in(const Sizes& sizes, const std::string& id) {
  const auto found = sizes.find(id);
  if (found == sizes.end()) return std::nullopt;
  return found->second;
}

Result<std::string> list_text(Api& api, const ListOptions& options, const Sizes& sizes,
                              http::ApiVersion version) {
  const Time at = now();
  ImageNames images(api.engine.images());
  std::string out;
  out.reserve(api.last_list);
  out += '[';
  CHECK(api.engine.containers().list(options, [&](const ContainerView& view) {
    if (out.size() > 1) out += ',';
    wire::append_summary(out, view, images.shown(view), version, at, size_in(sizes, view.id));
  }));
  out += ']';
  api.last_list = out.size() + 64;
  return out;
}

Task<Reply> list_containers(Api& api, CallPtr call) {
  const auto& query = call->request.query;
  ListOptions options;
  options.all = query.flag("all");
  CO_TRY(const auto limit, query.number("limit"));
  options.limit = limit.value_or(0);
  CO_TRY(options.filters, filters_of(call->request, kContainerFilterKeys));
  Sizes sizes;
  if (query.flag("size")) {
    call->end_when_client_leaves();
    std::vector<std::string> ids;
    CO_CHECK(api.engine.containers().list(options,
                                          [&](const ContainerView& v) { ids.push_back(v.id); }));
    CO_TRY(sizes, co_await api.engine.usage().container_sizes(std::move(ids)));
  }
  CO_TRY(auto text, list_text(api, options, sizes, call->request.version));
  co_return http::json_reply(std::move(text));
}

Task<Reply> inspect_container(Api& api, CallPtr call) {
  CO_TRY(const auto view, api.engine.containers().inspect(call->request.params[0]));
  Sizes sizes;
  if (call->request.query.flag("size")) {
    call->end_when_client_leaves();
    std::vector<std::string> ids{view.id};
    CO_TRY(sizes, co_await api.engine.usage().container_sizes(std::move(ids)));
  }
  co_return http::json_reply(
      json::serialize(wire::container_json(view, call->request.version, size_in(sizes, view.id))));
}

Task<Reply> start_container(face::Containers& containers, CallPtr call) {
  if (call->request.query.has("checkpoint") && !call->request.query.text("checkpoint").empty())
    co_return fail(Errc::invalid_argument, "checkpoint is only supported in experimental mode");
  CO_TRY(const auto body, co_await call->read_body(kBodyLimit));
  if (body.size() > 7)
    co_return fail(Errc::invalid_argument,
                   "starting container with non-empty request body was deprecated since API v1.22 "
                   "and removed in v1.24");
  CO_CHECK(co_await containers.start(call->request.params[0]));
  co_return http::empty_reply(204);
}

Result<StopOptions> stop_options(const http::Request& request) {
  StopOptions options;
  TRY(options.timeout_s, request.query.number("t"));
  if (request.version >= http::ApiVersion{1, 42}) options.signal = request.query.text("signal");
  return options;
}

Task<Reply> stop_container(face::Containers& containers, CallPtr call) {
  CO_TRY(auto options, stop_options(call->request));
  CO_CHECK(co_await containers.stop(call->request.params[0], std::move(options)));
  co_return http::empty_reply(204);
}

Task<Reply> restart_container(face::Containers& containers, CallPtr call) {
  CO_TRY(auto options, stop_options(call->request));
  CO_CHECK(co_await containers.restart(call->request.params[0], std::move(options)));
  co_return http::empty_reply(204);
}

Task<Reply> kill_container(face::Containers& containers, CallPtr call) {
  CO_CHECK(co_await containers.kill(call->request.params[0], call->request.query.text("signal")));
  co_return http::empty_reply(204);
}

Task<Reply> pause_container(face::Containers& containers, CallPtr call) {
  CO_CHECK(co_await containers.pause(call->request.params[0]));
  co_return http::empty_reply(204);
}

Task<Reply> unpause_container(face::Containers& containers, CallPtr call) {
  CO_CHECK(co_await containers.unpause(call->request.params[0]));
  co_return http::empty_reply(204);
}

Task<Reply> update_container(face::Containers& containers, CallPtr call) {
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_null_if_absent));
  CO_TRY(auto asked, wire::parse_update(body));
  CO_TRY(const auto warnings,
         co_await containers.update(call->request.params[0], std::move(asked)));
  boost::json::object o;
  o["Warnings"] = json::to_json(warnings);
  co_return http::json_reply(json::serialize(o));
}

Task<Reply> rename_container(face::Containers& containers, CallPtr call) {
  CO_CHECK(co_await containers.rename(call->request.params[0], call->request.query.text("name")));
  co_return http::empty_reply(204);
}

Task<Reply> remove_container(face::Containers& containers, CallPtr call) {
  const auto& query = call->request.query;
  if (query.flag("link")) {
    CO_CHECK(co_await containers.remove_link(call->request.params[0]));
    co_return http::empty_reply(204);
  }
  CO_CHECK(
      co_await containers.remove(call->request.params[0], query.flag("force"), query.flag("v")));
  co_return http::empty_reply(204);
}

}  // namespace

void add_container_routes(http::Router& router, Api& api) {
  auto& containers = api.engine.containers();
  route(router, containers, "POST", "/containers/create", create_container);
  route(router, api, "GET", "/containers/json", list_containers);
  route(router, api, "GET", "/containers/{*}/json", inspect_container);
  route(router, containers, "POST", "/containers/{*}/start", start_container);
  route(router, containers, "POST", "/containers/{*}/stop", stop_container);
  route(router, containers, "POST", "/containers/{*}/restart", restart_container);
  route(router, containers, "POST", "/containers/{*}/kill", kill_container);
  route(router, containers, "POST", "/containers/{*}/pause", pause_container);
  route(router, containers, "POST", "/containers/{*}/unpause", unpause_container);
  route(router, containers, "POST", "/containers/{*}/update", update_container);
  route(router, containers, "POST", "/containers/{*}/rename", rename_container);
  route(router, containers, "DELETE", "/containers/{*}", remove_container);
}

}  // namespace coracle::api
