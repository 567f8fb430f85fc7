#include "shim/wire/image.hpp"

#include "engine/base/json.hpp"

namespace coracle::wire {
namespace {

using boost::json::array;
using boost::json::object;

struct AuthBody {
  std::string username, password, auth, serveraddress, identitytoken, registrytoken;
};
void describe(auto& field, AuthBody& a) {
  field("username", a.username)("password", a.password)("auth", a.auth)(
      "serveraddress", a.serveraddress)("identitytoken", a.identitytoken)("registrytoken",
                                                                          a.registrytoken);
}

struct PlatformBody {
  std::string os, architecture, variant, os_version;
  std::vector<std::string> os_features;
};
void describe(auto& field, PlatformBody& p) {
  field("os", p.os)("architecture", p.architecture)("variant", p.variant)(
      "os.version", p.os_version)("os.features", p.os_features);
}

storage::RegistryAuth to_auth(AuthBody body) {
  // `auth` is base64 of "user:password", for clients that send only that.
  if (body.username.empty() && !body.auth.empty()) {
    if (const auto plain = base64_decode(body.auth)) {
      const auto colon = plain->find(':');
      if (colon != std::string::npos) {
        body.username = plain->substr(0, colon);
        body.password = plain->substr(colon + 1);
      }
    }
  }
  return {body.username, body.password, body.identitytoken, body.registrytoken, body.serveraddress};
}

json::Value list_or_null(const std::vector<std::string>& list) {
  return list.empty() ? json::Value(nullptr) : json::to_json(list);
}

template <class Map>
json::Value map_or_null(const Map& map) {
  return map.empty() ? json::Value(nullptr) : json::to_json(map);
}

// What a container's configuration has besides was empty always, and is told to older clients alone.
object config_json(const storage::ImageConfig& c, http::ApiVersion version) {
  const bool all = version < http::ApiVersion{1, 50};
  object o;
  if (all) o["Hostname"] = "";
  if (all) o["Domainname"] = "";
  o["User"] = c.user;
  for (const char* name : {"AttachStdin", "AttachStdout", "AttachStderr"}) {
    if (all) o[name] = false;
  }
  if (!c.exposed_ports.empty()) o["ExposedPorts"] = json::to_json(c.exposed_ports);
  for (const char* name : {"Tty", "OpenStdin", "StdinOnce"}) {
    if (all) o[name] = false;
  }
  o["Env"] = list_or_null(c.env);
  o["Cmd"] = list_or_null(c.cmd);
  if (c.healthcheck) o["Healthcheck"] = json::to_json(*c.healthcheck);
  if (all) o["Image"] = "";
  o["Volumes"] = map_or_null(c.volumes);
  o["WorkingDir"] = c.working_dir;
  o["Entrypoint"] = list_or_null(c.entrypoint);
  o["OnBuild"] = list_or_null(c.on_build);
  o["Labels"] = map_or_null(c.labels);
  if (!c.stop_signal.empty()) o["StopSignal"] = c.stop_signal;
  if (!c.shell.empty()) o["Shell"] = json::to_json(c.shell);
  return o;
}

// The names that overlay2 gives them. An image without layers has none, as at Docker.
json::Value graph_data(const storage::Image& image) {
  if (image.layer_dirs.empty()) return nullptr;
  std::string lower;
  for (auto dir = image.layer_dirs.rbegin() + 1; dir != image.layer_dirs.rend(); ++dir)
    lower += (lower.empty() ? "" : ":") + *dir;
  object data;
  if (!lower.empty()) data["LowerDir"] = lower;
  data["UpperDir"] = image.layer_dirs.back();
  return data;
}

}  // namespace

json::Value image_json(const storage::Image& image, const std::string& driver,
                       http::ApiVersion version) {
  object o;
  o["Id"] = image.id;
  o["RepoTags"] = json::to_json(image.repo_tags);
  o["RepoDigests"] = json::to_json(image.repo_digests);
  o["Parent"] = image.parent;
  o["Comment"] = image.comment;
  o["Created"] = to_rfc3339(image.created);
  o["DockerVersion"] = "";
  o["Author"] = image.author;
  o["Config"] = config_json(image.config, version);
  o["Architecture"] = image.architecture;
  if (!image.variant.empty()) o["Variant"] = image.variant;
  o["Os"] = image.os;
  o["Size"] = image.size;
  if (version < http::ApiVersion{1, 44}) o["VirtualSize"] = image.size;
  o["GraphDriver"] = object{{"Name", driver}, {"Data", graph_data(image)}};
  o["RootFS"] = object{{"Type", "layers"}, {"Layers", json::to_json(image.diff_ids)}};
  o["Metadata"] = object{{"LastTagTime", to_rfc3339(image.last_tag_time)}};
  if (version < http::ApiVersion{1, 45}) {
    o["Container"] = "";
    // docker-compose 1.x reads an image's volumes there.
    o["ContainerConfig"] = config_json(image.config, version);
  }
  return o;
}

json::Value image_summary(const storage::Image& image, std::size_t containers,
                          http::ApiVersion version) {
  object o;
  o["Id"] = image.id;
  o["ParentId"] = image.parent;
  o["RepoTags"] = json::to_json(image.repo_tags);
  o["RepoDigests"] = json::to_json(image.repo_digests);
  if (version < http::ApiVersion{1, 43}) {
    if (image.repo_tags.empty()) o["RepoTags"] = array{"<none>:<none>"};
    if (image.repo_digests.empty()) o["RepoDigests"] = array{"<none>@<none>"};
  }
  o["Created"] = image.created.ns / 1'000'000'000;
  o["Size"] = image.size;
  if (version < http::ApiVersion{1, 44}) o["VirtualSize"] = image.size;
  o["SharedSize"] = -1;
  o["Labels"] = map_or_null(image.config.labels);
  o["Containers"] = version >= http::ApiVersion{1, 51} ? static_cast<std::int64_t>(containers) : -1;
  return o;
}

json::Value history_json(const storage::Image& image) {
  array out;
  std::size_t layer = 0;
  for (const auto& entry : image.history) {
    std::int64_t size = 0;
    if (!entry.empty_layer && layer < image.layer_sizes.size()) size = image.layer_sizes[layer++];
    object o;
    o["Id"] = "<missing>";
    o["Created"] = entry.created.ns / 1'000'000'000;
    o["CreatedBy"] = entry.created_by;
    o["Tags"] = nullptr;
    o["Size"] = size;
    o["Comment"] = entry.comment;
    out.insert(out.begin(), std::move(o));
  }
  // An image without a history still has its layers to show.
  for (; image.history.empty() && layer < image.layer_sizes.size(); ++layer) {
    out.insert(out.begin(), object{{"Id", "<missing>"},
                                   {"Created", image.created.ns / 1'000'000'000},
                                   {"CreatedBy", ""},
                                   {"Tags", nullptr},
                                   {"Size", image.layer_sizes[layer]},
                                   {"Comment", ""}});
  }
  if (!out.empty()) {
    auto& newest = out.front().get_object();
    newest["Id"] = image.id;
    newest["Tags"] = list_or_null(image.repo_tags);
  }
  return out;
}

json::Value remote_image_json(const storage::RemoteImage& image) {
  boost::json::array platforms;
  for (const auto& platform : image.platforms) {
    boost::json::object o{{"architecture", platform.architecture}, {"os", platform.os}};
    if (!platform.variant.empty()) o["variant"] = platform.variant;
    platforms.emplace_back(std::move(o));
  }
  boost::json::object out;
  out["Descriptor"] = boost::json::object{{"mediaType", image.descriptor.media_type},
                                          {"digest", image.descriptor.digest},
                                          {"size", image.descriptor.size}};
  out["Platforms"] = std::move(platforms);
  return out;
}

json::Value removed_json(const storage::Removed& removed) {
  array out;
  for (const auto& name : removed.untagged) out.push_back(object{{"Untagged", name}});
  for (const auto& id : removed.deleted) out.push_back(object{{"Deleted", id}});
  return out;
}

storage::RegistryAuth parse_registry_auth(const std::string& header) {
  if (header.empty()) return {};
  const auto text = base64_decode(header);
  if (!text) return {};
  const auto value = json::parse(*text);
  if (!value) return {};
  auto body = json::from_json_of_client<AuthBody>(*value);
  if (!body) return {};
  return to_auth(*std::move(body));
}

Result<storage::Platform> decode_platform(const std::string& text) {
  const auto value = json::parse(text);
  auto p = value ? json::from_json_of_client<PlatformBody>(*value)
                 : Result<PlatformBody>(std::unexpected(value.error()));
  if (!p) return fail(Errc::invalid_argument, "failed to parse platform: {}", p.error().message);
  const bool optional = !p->variant.empty() || !p->os_version.empty() || !p->os_features.empty();
  if (p->os.empty() && p->architecture.empty() && optional)
    return fail(Errc::invalid_argument,
                "optional platform fields provided, but OS and Architecture are missing");
  if (p->os.empty() || p->architecture.empty())
    return fail(Errc::invalid_argument, "both OS and Architecture must be provided");
  return storage::Platform{p->os, p->architecture, p->variant};
}

Result<storage::RegistryAuth> parse_auth_body(const json::Value& body) {
  TRY(auto auth, json::from_json_of_client<AuthBody>(body));
  return to_auth(std::move(auth));
}

}  // namespace coracle::wire
