// What containers, images and volumes use, and giving it back: stats, top, system df, prune.
#include "engine/face/usage.hpp"

#include "engine/base/json.hpp"
#include "engine/face/prune.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/usage.hpp"

namespace coracle::api {
namespace {

constexpr std::string_view kPruneFilters[] = {"label", "label!", "until"};
constexpr std::string_view kImagePruneFilters[] = {"dangling", "label", "label!", "until"};
constexpr std::string_view kVolumePruneFilters[] = {"all", "label", "label!"};
constexpr std::string_view kBuildPruneFilters[] = {"description", "id",     "inuse", "parent",
                                                   "private",     "shared", "type",  "until"};

Task<Reply> stats(face::Usage& usage, CallPtr call) {
  StatsOptions options;
  options.stream = call->request.query.flag("stream", true);
  options.one_shot = call->request.query.flag("one-shot");
  if (options.stream && options.one_shot)
    co_return fail(Errc::invalid_argument, "cannot have stream=true and one-shot=true");
  CO_TRY(const auto stream, usage.stats(call->request.params[0], options));
  call->end_when_client_leaves();
  const auto version = call->request.version;
  if (!options.stream) {
    CO_TRY(const auto view, co_await stream->next());
    if (!view) co_return fail(Errc::not_found, "No such container: {}", call->request.params[0]);
    co_return http::json_reply(json::serialize(wire::stats_json(*view, version)));
  }
  Reply head;
  head.type = "application/json";
  CO_CHECK(co_await call->begin(std::move(head)));
  for (;;) {
    CO_TRY(const auto view, co_await stream->next());
    if (!view) break;
    CO_CHECK(co_await call->write(json::serialize(wire::stats_json(*view, version)) + "\n"));
  }
  co_return http::sent_reply();
}

Task<Reply> top(face::Usage& usage, CallPtr call) {
  call->end_when_client_leaves();
  CO_TRY(const auto list,
         co_await usage.top(call->request.params[0], call->request.query.text("ps_args")));
  co_return http::json_reply(json::serialize(wire::top_json(list)));
}

Task<Reply> disk_usage(face::Usage& usage, CallPtr call) {
  const auto& query = call->request.query;
  DiskUsageParts parts;
  bool build_cache = true;
  const auto types = query.list("type");
  if (!types.empty() && call->request.version >= http::ApiVersion{1, 42}) {
    parts = {false, false, false};
    build_cache = false;
    for (const auto& type : types) {
      if (type == "image") {
        parts.images = true;
      } else if (type == "container") {
        parts.containers = true;
      } else if (type == "volume") {
        parts.volumes = true;
      } else if (type == "build-cache") {
        build_cache = true;
      } else {
        co_return fail(Errc::invalid_argument, "unknown object type: {}", type);
      }
    }
  }
  call->end_when_client_leaves();
  CO_TRY(const auto used, co_await usage.disk_usage(parts));
  co_return http::json_reply(json::serialize(wire::disk_usage_json(
      used, build_cache, query.flag("verbose"), call->request.version, now())));
}

Task<Reply> prune_containers(face::Prune& prune, CallPtr call) {
  CO_TRY(auto filters, filters_of(call->request, kPruneFilters));
  CO_TRY(const auto pruned, co_await prune.containers(std::move(filters)));
  co_return http::json_reply(json::serialize(wire::pruned_json(pruned)));
}

Task<Reply> prune_images(face::Prune& prune, CallPtr call) {
  CO_TRY(auto filters, filters_of(call->request, kImagePruneFilters));
  CO_TRY(const auto pruned, co_await prune.images(std::move(filters)));
  co_return http::json_reply(json::serialize(wire::pruned_images_json(pruned)));
}

Task<Reply> prune_volumes(face::Prune& prune, CallPtr call) {
  CO_TRY(auto filters, filters_of(call->request, kVolumePruneFilters));
  // Until 1.41 every volume was taken.
  if (call->request.version < http::ApiVersion{1, 42}) filters["all"] = {"true"};
  CO_TRY(const auto pruned, co_await prune.volumes(std::move(filters)));
  co_return http::json_reply(json::serialize(wire::pruned_volumes_json(pruned)));
}

// There are the predefined networks only, which stay.
Task<Reply> prune_networks(CallPtr call) {
  CO_CHECK(filters_of(call->request, kPruneFilters));
  co_return http::json_reply(R"({"NetworksDeleted":null})");
}

// Nothing is built here yet, so there is no cache.
Task<Reply> prune_builds(CallPtr call) {
  CO_CHECK(filters_of(call->request, kBuildPruneFilters));
  co_return http::json_reply(R"({"CachesDeleted":null,"SpaceReclaimed":0})");
}

}  // namespace

void add_usage_routes(http::Router& router, face::Usage& usage) {
  route(router, usage, "GET", "/containers/{*}/stats", stats);
  route(router, usage, "GET", "/containers/{*}/top", top);
  route(router, usage, "GET", "/system/df", disk_usage);
}

void add_prune_routes(http::Router& router, face::Prune& prune) {
  route(router, prune, "POST", "/containers/prune", prune_containers);
  route(router, prune, "POST", "/images/prune", prune_images);
  route(router, prune, "POST", "/volumes/prune", prune_volumes);
  router.add("POST", "/networks/prune", prune_networks);
  router.add("POST", "/build/prune", prune_builds);
}

}  // namespace coracle::api
