// create: what was asked for, merged with the image and decided to the last default, becomes a
// record; then volumes, the writable layer and the record's file are made, and undone together when
// one fails.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/path.hpp"
#include "engine/container/lifecycle.hpp"
#include "engine/container/merge.hpp"
#include "engine/container/mounts.hpp"
#include "engine/container/validate.hpp"
#include "engine/later.hpp"

namespace coracle {
namespace {

Result<> check_platform(const std::string& wanted, const storage::Image& image,
                        const std::string& ref) {
  if (wanted.empty()) return {};
  const std::string found = image.os + "/" + image.architecture;
  const std::string with_variant = image.variant.empty() ? found : found + "/" + image.variant;
  // "linux", "linux/arm64", "linux/arm64/v8": as much as is said must be so.
  if (wanted == found || (with_variant + "/").starts_with(wanted + "/")) return {};
  return fail(
      Errc::not_found,
      "image with reference {} was found but its platform ({}) does not match the specified "
      "platform ({})",
      ref, with_variant, wanted);
}

// The endpoint of the container's one network; keys may be the network's name or id.
Result<Endpoints> plan_endpoints(const Parts& p, const CreateRequest& request,
                                 const std::string& mode) {
  Endpoints out;
  if (mode.starts_with("container:")) return out;
  EndpointSettings own;
  for (const auto& [key, settings] : request.endpoints) {
    const auto id = p.network_ids.find(mode);
    const bool is_mode = key == mode || (mode == "bridge" && key == "default") ||
                         (id != p.network_ids.end() && id->second == key);
    if (!is_mode) {
      if (p.network_ids.contains(key))
        return fail(Errc::invalid_argument,
                    "conflicting options: cannot attach both user-defined and non-user-defined "
                    "network-modes");
      return fail(Errc::unsupported,
                  "network {}: coracle has the networks bridge, host and none "
                  "so far",
                  key);
    }
    own = settings;
  }
  if (own.ipam && !(own.ipam->ipv4_address.empty() && own.ipam->ipv6_address.empty()))
    return fail(Errc::invalid_argument,
                "invalid config for network {}: invalid endpoint settings: user specified IP "
                "address is supported on user defined networks only",
                mode);
  if (own.mac_address.empty()) own.mac_address = request.config.mac_address;
  if (const auto id = p.network_ids.find(mode); id != p.network_ids.end())
    own.network_id = id->second;
  out[mode] = std::move(own);
  return out;
}

// Mounts of other containers: "name[:ro|rw]".
Result<> add_volumes_from(const ContainerTable& table, const std::vector<std::string>& from,
                          std::vector<MountRecord>& mounts) {
  for (const auto& spec : from) {
    const auto colon = spec.find(':');
    const std::string mode = colon == std::string::npos ? "" : spec.substr(colon + 1);
    if (mode != "" && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z")
      return fail(Errc::invalid_argument, "invalid mode for volumes-from: {}", mode);
    TRY(const auto other, table.find(spec.substr(0, colon)));
    for (MountRecord m : other->record.mounts) {
      if (m.type == "tmpfs") continue;
      m.anonymous = false;  // it goes with the other container
      m.no_copy = true;
      if (mode == "ro") m.rw = false;
      if (!mode.empty()) m.mode = mode;
      const bool taken = std::ranges::any_of(
          mounts, [&](const auto& have) { return have.destination == m.destination; });
      if (!taken) mounts.push_back(std::move(m));
    }
  }
  return {};
}

bool is_engine_socket(const std::string& source) {
  return source == "/var/run/docker.sock" || source == "/run/docker.sock";
}

Result<> check_sources(const std::vector<MountRecord>& mounts) {
  for (const auto& m : mounts) {
    if (m.type != "bind" || m.create_source || is_engine_socket(m.source)) continue;
    struct stat st {};
    if (::stat(m.source.c_str(), &st) == 0) continue;
    return fail(Errc::invalid_argument,
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                m.source);
  }
  return {};
}

// What inspect shows of a container in another's namespaces was not asked for: it does not conflict
// when it comes back (inspect, then create, as updaters do).
ContainerConfig without_echoes(const Parts& p, const CreateRequest& request,
                               const storage::Image& image) {
  ContainerConfig config = request.config;
  const auto& host = request.host;
  if (host.uts_mode == "host" && config.hostname == p.host.name) config.hostname.clear();
  if (!host.network_mode.starts_with("container:")) return config;
  if (const auto other = p.table.find(host.network_mode.substr(10));
      other && (*other)->record.config.hostname == config.hostname)
    config.hostname.clear();
  for (const auto& [port, nothing] : image.config.exposed_ports) config.exposed_ports.erase(port);
  return config;
}

const MountRequest* request_of(const ContainerRecord& record, const MountRecord& mount) {
  for (const auto& m : record.host.mounts) {
    if (m.type == "volume" && clean_path(m.target) == mount.destination) return &m;
  }
  return nullptr;
}

}  // namespace

Result<ContainerRecord> Lifecycle::plan(const CreateRequest& request, const storage::Image& image,
                                        std::vector<std::string>& warnings) {
  const auto config = without_echoes(p_, request, image);
  CHECK(validate(config, request.host, p_.host.cpus));
  ContainerRecord r;
  r.id = random_id();
  r.created = now();
  r.image_id = image.id;
  TRY(r.config, merge_with_image(config, image.config));
  r.host = with_defaults(request.host);
  auto& mode = r.host.network_mode;
  for (const auto& [name, id] : p_.network_ids) {
    if (mode == id) mode = name;
  }
  if (mode.starts_with("container:")) {
    TRY(const auto other, p_.table.find(mode.substr(10)));
    mode = "container:" + other->id();
    r.config.hostname = other->record.config.hostname;
  } else if (r.config.hostname.empty()) {
    const bool hosts_own = mode == "host" || r.host.uts_mode == "host";
    r.config.hostname = hosts_own ? p_.host.name : short_id(r.id);
  }
  if (r.config.network_disabled && mode == "bridge") mode = "none";
  TRY(r.endpoints, plan_endpoints(p_, request, mode));
  TRY(r.mounts, plan_mounts(r.host, r.config));
  CHECK(add_volumes_from(p_.table, r.host.volumes_from, r.mounts));
  CHECK(check_sources(r.mounts));
  for (auto& w : discard_limits(r.host)) warnings.push_back(std::move(w));
  for (auto& w : other_warnings(r.config, r.host)) warnings.push_back(std::move(w));
  // What the specification cannot say is refused now, not at the start.
  GenerateInput trial;
  trial.id = r.id;
  trial.config = r.config;
  trial.host = r.host;
  trial.network_host = mode == "host";
  trial.target = p_.host.seccomp;
  trial.hard_limits = p_.host.hard_limits;
  TRY(auto generated, generate(trial));
  for (auto& w : generated.warnings) warnings.push_back(std::move(w));
  return r;
}

Task<> Lifecycle::make_volumes(ContainerPtr c, storage::Image image,
                               std::vector<std::string>& made) {
  for (auto& m : c->record.mounts) {
    if (m.type != "volume" || (!m.name.empty() && m.anonymous)) continue;
    std::map<std::string, std::string> labels, options;
    if (m.anonymous) labels["com.docker.volume.anonymous"] = "";
    if (const auto* request = request_of(c->record, m); request != nullptr && request->volume) {
      labels.insert(request->volume->labels.begin(), request->volume->labels.end());
      if (request->volume->driver_config) options = request->volume->driver_config->options;
    }
    const bool is_new = m.name.empty() || !p_.storage->find_volume(m.name);
    CO_TRY(auto volume, co_await p_.storage->create_volume(m.name, labels, options));
    m.name = volume.name;
    m.source = volume.mountpoint;
    if (is_new) {
      made.push_back(m.name);
      announce(p_, "volume", "create", m.name, {{"driver", "local"}});
    }
    if (m.no_copy) continue;
    CO_CHECK(co_await p_.storage->fill_volume(m.name, image.id, m.destination));
  }
  co_return Result<>{};
}

Task<> Lifecycle::make(ContainerPtr c, storage::Image image,
                       std::vector<std::string>& made_volumes) {
  Later<> layer(p_.io, p_.scope, "create layer", p_.storage->create_layer(c->id(), image.id));
  auto volumes = co_await make_volumes(c, image, made_volumes);
  Result<> written;
  if (volumes) {
    auto job = [store = p_.store, id = c->id(), text = json::to_text(c->record)] {
      return store.write_record(id, text);
    };
    written = co_await p_.workers.run(std::move(job));
  }
  auto layered = co_await layer.get();
  CO_CHECK(volumes);
  CO_CHECK(layered);
  CO_CHECK(written);
  co_return fail_point("container.create.written");
}

Task<Created> Lifecycle::create(CreateRequest request) {
  if (request.name.starts_with('/')) request.name.erase(0, 1);
  if (!request.name.empty()) CO_CHECK(check_container_name(request.name));
  if (request.config.image.empty())
    co_return fail(Errc::invalid_argument, "no image specified: the field Image is empty");
  CO_TRY(auto image, p_.storage->find(request.config.image));
  CO_CHECK(check_platform(request.platform, image, request.config.image));
  Created answer;
  auto c = std::make_shared<Container>(p_.io);
  CO_TRY(c->record, plan(request, image, answer.warnings));
  answer.id = c->id();
  if (request.name.empty()) {
    c->record.name = p_.table.take_random_name(c->id());
  } else {
    CO_CHECK(p_.table.take_name(request.name, c->id()));
    c->record.name = request.name;
  }
  std::vector<std::string> made_volumes;
  auto made = co_await make(c, std::move(image), made_volumes);
  if (!made) {
    p_.table.free_name(c->name(), c->id());
    (void)p_.store.discard(c->id());
    (void)co_await p_.storage->remove_layer(c->id());
    for (const auto& name : made_volumes) (void)co_await p_.storage->remove_volume(name);
    p_.scope.start("empty trash", empty_trash());
    co_return std::unexpected(made.error().within("create {}", c->name()));
  }
  p_.table.add(c);
  announce(p_, *c, "create");
  co_return answer;
}

}  // namespace coracle
