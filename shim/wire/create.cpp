// The bodies of POST /containers/create and /containers/{}/update.
#include <algorithm>

#include "engine/base/json.hpp"
#include "engine/base/text.hpp"
#include "engine/face/update.hpp"
#include "shim/wire/container.hpp"

namespace coracle::wire {
namespace {

struct NetworkingConfig {
  Endpoints endpoints;
};
void describe(auto& field, NetworkingConfig& n) { field("EndpointsConfig", n.endpoints); }

struct Nested {
  HostConfig host;
  NetworkingConfig networking;
};
void describe(auto& field, Nested& n) {
  field("HostConfig", n.host)("NetworkingConfig", n.networking);
}

// HostConfig and NetworkingConfig stand among the fields of the Config and do not make one.
bool has_config(const json::Value& body) {
  return body.is_object() && std::ranges::any_of(body.get_object(), [](const auto& pair) {
           return json::field_names<ContainerConfig>().find(pair.key()).has_value();
         });
}

Result<> check_port_key(const std::string& place, const std::string& key) {
  const auto slash = key.find('/');
  const std::string number = key.substr(0, slash);
  const std::string protocol = slash == std::string::npos ? "tcp" : key.substr(slash + 1);
  const bool digits = !number.empty() && std::ranges::all_of(number, [](char c) {
    return (c >= '0' && c <= '9') || c == '-';
  });
  if (!digits)
    return fail(Errc::invalid_argument, "{}: invalid port specification: \"{}\"", place, key);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
    return fail(Errc::invalid_argument, "{}: invalid proto: {}", place, protocol);
  return {};
}

void join(Nothing& /*into*/, Nothing /*more*/) {}
void join(std::vector<PortBinding>& into, std::vector<PortBinding> more) {
  into.insert(into.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

// "80/TCP" and "80/" are "80/tcp"; "80" stays, and is shown, as it is.
template <class Ports>
Result<> tidy_ports(const char* place, Ports& ports) {
  Ports tidy;
  for (auto& [key, value] : ports) {
    auto plain = lower(key);
    if (plain.ends_with('/')) plain += "tcp";
    CHECK(check_port_key(place, plain));
    join(tidy[plain], std::move(value));
  }
  ports = std::move(tidy);
  return {};
}

// Sections that belong to another type of mount are refused from 1.42 on, dropped before.
Result<> check_mount(MountRequest& m, http::ApiVersion version) {
  const auto foreign = [&](bool there, const char* option, const char* type) -> Result<> {
    if (!there || m.type == type || version < http::ApiVersion{1, 42}) return {};
    return fail(Errc::invalid_argument,
                "invalid mount config for type \"{}\": field {} must not be specified", m.type,
                option);
  };
  CHECK(foreign(m.bind.has_value(), "BindOptions", "bind"));
  CHECK(foreign(m.volume.has_value(), "VolumeOptions", "volume"));
  CHECK(foreign(m.tmpfs.has_value(), "TmpfsOptions", "tmpfs"));
  CHECK(foreign(m.image.has_value(), "ImageOptions", "image"));
  if (m.type != "bind") m.bind.reset();
  if (m.type != "volume") m.volume.reset();
  if (m.type != "tmpfs") m.tmpfs.reset();
  if (m.type != "image") m.image.reset();
  return {};
}

Result<> check_host(HostConfig& h, http::ApiVersion version) {
  CHECK(tidy_ports("HostConfig.PortBindings", h.port_bindings));
  if (!h.console_size.empty() && h.console_size.size() != 2)
    return fail(Errc::invalid_argument, "HostConfig.ConsoleSize: expected [height, width]");
  for (auto& m : h.mounts) CHECK(check_mount(m, version));
  if (version < http::ApiVersion{1, 42}) h.console_size.clear();
  if (version < http::ApiVersion{1, 43}) h.annotations.clear();
  // "Not asked for", as the CLI says it.
  auto& r = h.resources;
  if (r.memory_swappiness == -1) r.memory_swappiness.reset();
  if (r.pids_limit && *r.pids_limit <= 0) r.pids_limit.reset();
  // Before private cgroup and ipc namespaces were the default they were not known at all.
  if (version < http::ApiVersion{1, 41} && h.cgroupns_mode.empty()) h.cgroupns_mode = "host";
  if (version < http::ApiVersion{1, 40} && h.ipc_mode.empty()) h.ipc_mode = "shareable";
  return {};
}

Result<> check_mount_version(MountRequest& m, http::ApiVersion version) {
  if (m.bind) {
    if (version < http::ApiVersion{1, 40}) m.bind->non_recursive = false;
    if (version < http::ApiVersion{1, 42}) m.bind->create_mountpoint = false;
    // Not dropped: who asks for it relies on it.
    if (version < http::ApiVersion{1, 44} && m.bind->read_only_force_recursive)
      return fail(Errc::invalid_argument,
                  "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
  }
  if (version < http::ApiVersion{1, 45} && m.volume && !m.volume->subpath.empty())
    return fail(Errc::invalid_argument, "VolumeOptions.Subpath needs API v1.45 or newer");
  if (version < http::ApiVersion{1, 48} && m.type == "image")
    return fail(Errc::invalid_argument, "Mount type \"Image\" needs API v1.48 or newer");
  return {};
}

// What a version did not know yet means in it what it meant before.
Result<> apply_version(CreateRequest& request, http::ApiVersion version) {
  for (auto& m : request.host.mounts) CHECK(check_mount_version(m, version));
  request.shallow_read_only = version < http::ApiVersion{1, 44};
  if (version < http::ApiVersion{1, 25}) request.host.auto_remove = false;
  if (version < http::ApiVersion{1, 44} && request.config.healthcheck)
    request.config.healthcheck->start_interval_ns = 0;
  for (auto& [name, endpoint] : request.endpoints) {
    if (version < http::ApiVersion{1, 48}) endpoint.gw_priority = 0;
  }
  return {};
}

struct UpdateBody {
  Resources resources;
  std::optional<RestartPolicy> restart_policy;
};
void describe(auto& field, UpdateBody& u) {
  describe(field, u.resources);  // stands flat
  field("RestartPolicy", u.restart_policy);
}

}  // namespace

Result<ContainerUpdate> parse_update(const json::Value& body) {
  TRY(auto asked, json::from_json_of_client<UpdateBody>(body));
  auto& r = asked.resources;
  if (r.memory_swappiness == -1) r.memory_swappiness.reset();
  if (r.pids_limit && *r.pids_limit <= 0) r.pids_limit.reset();
  ContainerUpdate out;
  out.resources = std::move(r);
  out.restart_policy = std::move(asked.restart_policy);
  return out;
}

Result<std::optional<ContainerConfig>> parse_commit(const json::Value& body) {
  TRY(auto config, json::from_json_of_client<ContainerConfig>(body));
  if (!has_config(body)) return std::nullopt;
  return config;
}

Result<CreateRequest> parse_create(const json::Value& body, http::ApiVersion version) {
  CreateRequest out;
  TRY(out.config, json::from_json_of_client<ContainerConfig>(body));
  TRY(auto nested, json::from_json_of_client<Nested>(body));
  if (!has_config(body))
    return fail(Errc::invalid_argument, "config cannot be empty in order to create a container");
  CHECK(check_host(nested.host, version));
  CHECK(tidy_ports("ExposedPorts", out.config.exposed_ports));
  if (version < http::ApiVersion{1, 44} && nested.networking.endpoints.size() > 1) {
    std::string names;
    for (const auto& [name, settings] : nested.networking.endpoints)
      names += (names.empty() ? "" : ", ") + name;
    return fail(Errc::invalid_argument,
                "Container cannot be created with multiple network endpoints: {}", names);
  }
  // A container-wide address belongs to the endpoint of the main network.
  if (!out.config.mac_address.empty() && nested.networking.endpoints.size() == 1) {
    auto& endpoint = nested.networking.endpoints.begin()->second;
    if (endpoint.mac_address.empty()) endpoint.mac_address = out.config.mac_address;
  }
  out.host = std::move(nested.host);
  out.endpoints = std::move(nested.networking.endpoints);
  CHECK(apply_version(out, version));
  return out;
}

}  // namespace coracle::wire
