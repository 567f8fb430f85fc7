// Images: list, inspect, history, pull, import, load, save, tag, delete.
#include "shim/wire/image.hpp"

#include "engine/base/json.hpp"
#include "engine/engine.hpp"
#include "engine/face/images.hpp"
#include "engine/face/system.hpp"
#include "engine/face/usage.hpp"
#include "shim/api/archive_reply.hpp"
#include "shim/wire/system.hpp"
#include "storage/images/platform.hpp"

namespace coracle::api {
namespace {

// By id: bytes of layers that other images have too.
Task<std::map<std::string, std::int64_t>> shared_sizes(face::Usage& usage) {
  const DiskUsageParts images_alone{true, false, false};
  CO_TRY(const auto used, co_await usage.disk_usage(images_alone));
  std::map<std::string, std::int64_t> out;
  if (!used.images) co_return out;
  for (const auto& use : *used.images) out[use.image.id] = use.shared;
  co_return out;
}

Task<Reply> list_images(Api& api, CallPtr call) {
  auto& images = api.engine.images();
  CO_TRY(auto filters, filters_of(call->request, kImageFilterKeys));
  // The parameter of before filters.
  if (const auto name = call->request.query.text("filter"); !name.empty())
    filters["reference"].push_back(name);
  CO_TRY(const auto found, images.list(filters, call->request.query.flag("all")));
  const bool with_shared =
      call->request.version >= http::ApiVersion{1, 42} && call->request.query.flag("shared-size");
  std::map<std::string, std::int64_t> shared;
  if (with_shared) {
    CO_TRY(shared, co_await shared_sizes(api.engine.usage()));
  }
  boost::json::array out;
  for (const auto& image : found) {
    auto one = wire::image_summary(image, images.containers_of(image.id), call->request.version);
    if (with_shared) one.get_object()["SharedSize"] = shared[image.id];
    out.push_back(std::move(one));
  }
  co_return http::json_reply(json::serialize(out));
}

// The parameter `platform`, JSON, of versions that know it.
Result<std::optional<storage::Platform>> platform_asked(const http::Request& request,
                                                        http::ApiVersion since) {
  std::optional<storage::Platform> out;
  if (request.version < since) return out;
  const auto values = request.query.list("platform");
  if (values.size() > 1)
    return fail(Errc::invalid_argument, "multiple platform parameters not supported");
  if (values.empty() || values[0].empty()) return out;
  TRY(out, wire::decode_platform(values[0]));
  return out;
}

// An image is of one platform here: whoever asks for another means none that is there.
Result<storage::Image> find_for(const face::Images& images, const std::string& name,
                                const std::optional<storage::Platform>& wanted) {
  TRY(auto image, images.find(name));
  if (wanted) CHECK(storage::check_platform(image, name, *wanted));
  return image;
}

Task<Reply> inspect_image(Api& api, CallPtr call) {
  const auto& request = call->request;
  CO_TRY(const auto wanted, platform_asked(request, {1, 49}));
  if (wanted && request.query.flag("manifests"))
    co_return fail(Errc::invalid_argument,
                   "conflicting options: manifests and platform options cannot both be set");
  CO_TRY(const auto image, find_for(api.engine.images(), request.params[0], wanted));
  co_return http::json_reply(
      json::serialize(wire::image_json(image, api.engine.system().info().driver, request.version)));
}

Task<Reply> image_history(face::Images& images, CallPtr call) {
  CO_TRY(const auto wanted, platform_asked(call->request, {1, 48}));
  CO_TRY(const auto image, find_for(images, call->request.params[0], wanted));
  co_return http::json_reply(json::serialize(wire::history_json(image)));
}

// `tag` of a pull is a tag or a digest, and goes before what the name itself says; without any, all
// tags are meant.
Result<storage::Reference> pull_reference(const http::Request& request) {
  const auto name = request.query.text("fromImage");
  const auto tag = request.query.text("tag");
  if (tag.empty()) return storage::parse_reference(name, false);
  TRY(auto ref, storage::parse_reference(name, false));
  const bool digest = tag.find(':') != std::string::npos;
  ref.tag.clear();
  ref.digest.clear();
  return storage::parse_reference(ref.familiar_name() + (digest ? "@" : ":") + tag, false);
}

Task<std::string> run_pull(face::Images& images, storage::Reference ref, storage::RegistryAuth auth,
                           storage::Platform platform, storage::ProgressSink sink) {
  CO_CHECK(
      co_await images.pull(std::move(ref), std::move(auth), std::move(platform), std::move(sink)));
  co_return std::string();
}

Task<Reply> pull_image(Api& api, CallPtr call) {
  CO_TRY(auto ref, pull_reference(call->request));
  CO_CHECK(storage::check_ambiguous(ref));
  CO_TRY(auto platform, storage::parse_platform(call->request.query.text("platform")));
  auto auth = wire::parse_registry_auth(call->request.header("x-registry-auth"));
  Operation operation = [&images = api.engine.images(), ref, auth,
                         platform](storage::ProgressSink sink) {
    return run_pull(images, ref, auth, platform, std::move(sink));
  };
  co_return co_await stream_progress(call, api.io, std::move(operation));
}

std::string imported_line(const storage::Image& image) {
  boost::json::object o;
  o["status"] = image.id;
  return json::serialize(o) + "\r\n";
}

Task<std::string> run_push(face::Images& images, storage::Reference name,
                           storage::RegistryAuth auth, std::optional<storage::Platform> platform,
                           storage::ProgressSink sink) {
  CO_CHECK(
      co_await images.push(std::move(name), std::move(auth), std::move(platform), std::move(sink)));
  co_return std::string();
}

// Without a tag in the name and in the query all tags are meant.
Task<Reply> push_image(Api& api, CallPtr call) {
  const auto& request = call->request;
  CO_TRY(auto name, storage::parse_reference(request.params[0], false));
  if (const auto tag = request.query.text("tag"); !tag.empty()) {
    CO_TRY(name, storage::parse_tag(name.familiar_name(), tag));
  }
  if (!name.digest.empty())
    co_return fail(Errc::invalid_argument, "cannot push a digest reference");
  CO_TRY(const auto wanted, platform_asked(request, {1, 46}));
  auto auth = wire::parse_registry_auth(request.header("x-registry-auth"));
  Operation operation = [&images = api.engine.images(), name, auth,
                         wanted](storage::ProgressSink sink) {
    return run_push(images, name, auth, wanted, std::move(sink));
  };
  co_return co_await stream_progress(call, api.io, std::move(operation));
}

Task<Reply> look_up_image(face::Images& images, CallPtr call) {
  CO_TRY(auto name, storage::parse_reference(call->request.params[0], true));
  auto auth = wire::parse_registry_auth(call->request.header("x-registry-auth"));
  CO_TRY(const auto found, co_await images.look_up(std::move(name), std::move(auth)));
  co_return http::json_reply(json::serialize(wire::remote_image_json(found)));
}

constexpr int kSearchLimit = 25;
constexpr int kMostFound = 100;

Task<Reply> search_images(face::Images& images, CallPtr call) {
  const auto& request = call->request;
  CO_TRY(auto filters, filters_of(request, kSearchFilterKeys));
  CO_TRY(const auto asked, request.query.number("limit"));
  const auto limit = asked.value_or(kSearchLimit);
  if (limit < 1 || limit > kMostFound)
    co_return fail(Errc::invalid_argument, "limit {} is outside the range of [1, {}]", limit,
                   kMostFound);
  auto auth = wire::parse_registry_auth(request.header("x-registry-auth"));
  CO_TRY(const auto found,
         co_await images.search(request.query.text("term"), static_cast<int>(limit),
                                std::move(filters), std::move(auth)));
  co_return http::json_reply(json::to_text(found));
}

Task<std::string> run_import(face::Images& images, std::shared_ptr<UniqueFd> from,
                             storage::ImportOptions options) {
  CO_TRY(const auto image, co_await images.import(std::move(*from), std::move(options)));
  co_return imported_line(image);
}

Task<std::string> run_remote_import(face::Images& images, storage::ImportOptions options,
                                    storage::ProgressSink sink) {
  CO_TRY(const auto image, co_await images.import_remote(std::move(options), std::move(sink)));
  co_return imported_line(image);
}

Task<Reply> import_image(Api& api, CallPtr call) {
  const auto& query = call->request.query;
  storage::ImportOptions options;
  options.source = query.text("fromSrc");
  options.message = query.text("message");
  options.changes = query.list("changes");
  CO_TRY(options.platform, storage::parse_platform(query.text("platform")));
  if (const auto repo = query.text("repo"); !repo.empty()) {
    CO_TRY(options.tag, storage::parse_tag(repo, query.text("tag")));
  }
  if (options.source != "-") {
    Operation remote = [&images = api.engine.images(), options](storage::ProgressSink sink) {
      return run_remote_import(images, options, std::move(sink));
    };
    co_return co_await stream_progress(call, api.io, std::move(remote));
  }
  CO_TRY(auto body, call->body_as_pipe());
  auto from = std::make_shared<UniqueFd>(std::move(body));
  Operation operation = [&images = api.engine.images(), from, options](storage::ProgressSink) {
    return run_import(images, from, options);
  };
  co_return co_await stream_progress(call, api.io, std::move(operation));
}

Task<Reply> create_image(Api& api, CallPtr call) {
  if (!call->request.query.text("fromImage").empty()) return pull_image(api, std::move(call));
  return import_image(api, std::move(call));
}

// As at Docker, what comes of the archive is always told in the stream, whose status is 200.
Task<std::string> run_load(face::Images& images, std::shared_ptr<UniqueFd> from,
                           std::optional<storage::Platform> wanted, storage::ProgressSink sink) {
  const auto loaded = co_await images.load(std::move(*from), std::move(wanted), std::move(sink));
  co_return loaded ? std::string() : wire::error_line(loaded.error());
}

Task<Reply> load_images(Api& api, CallPtr call) {
  CO_TRY(auto wanted, platform_asked(call->request, {1, 48}));
  CO_TRY(auto body, call->body_as_pipe());
  auto from = std::make_shared<UniqueFd>(std::move(body));
  Operation operation = [&images = api.engine.images(), from, wanted](storage::ProgressSink sink) {
    return run_load(images, from, wanted, std::move(sink));
  };
  co_return co_await stream_progress(call, api.io, std::move(operation));
}

Result<> may_be_saved(const face::Images& images, const std::vector<std::string>& names,
                      const std::optional<storage::Platform>& wanted) {
  if (!wanted) return {};
  for (const auto& name : names) {
    TRY(const auto image, images.find(name));
    if (!storage::is_same(storage::platform_of(image), *wanted))
      return fail(Errc::not_found, "no suitable export target found for platform {}",
                  storage::platform_text(*wanted));
  }
  return {};
}

Task<Reply> save_names(Api& api, CallPtr call, std::vector<std::string> names) {
  CO_TRY(const auto wanted, platform_asked(call->request, {1, 48}));
  CO_TRY(auto found, api.engine.images().names_to_save(names));
  CO_CHECK(may_be_saved(api.engine.images(), found, wanted));
  ArchiveOperation operation = [&images = api.engine.images(), found](UniqueFd to,
                                                                      const HeadSink&) {
    return images.save(found, std::move(to));
  };
  co_return co_await send_archive(call, api.io, std::move(operation));
}

Task<Reply> save_one(Api& api, CallPtr call) {
  return save_names(api, call, {call->request.params[0]});
}

Task<Reply> save_images(Api& api, CallPtr call) {
  std::vector<std::string> names = call->request.query.list("names");
  if (names.empty()) co_return fail(Errc::invalid_argument, "no image is named");
  co_return co_await save_names(api, call, std::move(names));
}

Task<Reply> tag_image(face::Images& images, CallPtr call) {
  const auto& query = call->request.query;
  CO_CHECK(co_await images.tag(call->request.params[0], query.text("repo"), query.text("tag")));
  co_return http::empty_reply(201);
}

Task<Reply> remove_image(face::Images& images, CallPtr call) {
  const auto& name = call->request.params[0];
  const auto platforms = call->request.version < http::ApiVersion{1, 50}
                             ? std::vector<std::string>()
                             : call->request.query.list("platforms");
  if (platforms.size() > 1)
    co_return fail(Errc::invalid_argument, "multiple platforms are not supported");
  if (!platforms.empty()) {
    CO_TRY(const auto wanted, wire::decode_platform(platforms[0]));
    CO_CHECK(find_for(images, name, wanted));
  }
  CO_TRY(const auto removed, co_await images.remove(name, call->request.query.flag("force")));
  co_return http::json_reply(json::serialize(wire::removed_json(removed)));
}

}  // namespace

void add_image_routes(http::Router& router, Api& api) {
  auto& images = api.engine.images();
  route(router, api, "GET", "/images/json", list_images);
  route(router, api, "GET", "/images/get", save_images);
  route(router, api, "GET", "/images/{*}/get", save_one);
  route(router, api, "GET", "/images/{*}/json", inspect_image);
  route(router, images, "GET", "/images/{*}/history", image_history);
  route(router, api, "POST", "/images/create", create_image);
  route(router, api, "POST", "/images/load", load_images);
  route(router, images, "POST", "/images/{*}/tag", tag_image);
  route(router, api, "POST", "/images/{*}/push", push_image);
  route(router, images, "GET", "/images/search", search_images);
  route(router, images, "GET", "/distribution/{*}/json", look_up_image);
  route(router, images, "DELETE", "/images/{*}", remove_image);
}

}  // namespace coracle::api
