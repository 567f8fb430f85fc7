// create: what was asked for, merged with the image and decided to the last default, becomes a
// record; then volumes, the writable layer and the record's file are made, and undone together when
// one fails.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/later.hpp"
#include "engine/base/path.hpp"
#include "engine/bundle/mount_sources.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/network/links.hpp"
#include "engine/request/log_options.hpp"
#include "engine/request/merge.hpp"
#include "engine/request/mounts.hpp"
#include "engine/request/validate.hpp"
#include "engine/spec/security_options.hpp"

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
Result<Endpoints> plan_endpoints(const std::map<std::string, std::string>& network_ids,
                                 const CreateRequest& request, const std::string& mode) {
  Endpoints out;
  if (mode.starts_with("container:")) return out;
  EndpointSettings own;
  for (const auto& [key, settings] : request.endpoints) {
    const auto id = network_ids.find(mode);
    const bool is_mode = key == mode || (mode == "bridge" && key == "default") ||
                         (id != network_ids.end() && id->second == key);
    if (!is_mode) {
      if (network_ids.contains(key))
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
  if (const auto id = network_ids.find(mode); id != network_ids.end()) own.network_id = id->second;
  out[mode] = std::move(own);
  return out;
}

// Mounts of other containers, whatever their state.
Result<std::vector<MountRecord>> volumes_from(const ContainerTable& table,
                                              const std::vector<std::string>& specs) {
  std::vector<MountRecord> out;
  for (const auto& spec : specs) {
    TRY(const auto from, parse_volumes_from(spec));
    TRY(const auto other, table.find(from.container));
    for (auto& m : inherited_mounts(other->record, from.rw)) out.push_back(std::move(m));
  }
  return out;
}

// Images that are mounted get a layer each, as a root file system does; nothing is written to it.
Result<> plan_image_mounts(const storage::Storage& storage, ContainerRecord& r) {
  for (std::size_t i = 0; i < r.mounts.size(); ++i) {
    auto& m = r.mounts[i];
    if (m.type != "image") continue;
    TRY(const auto image, storage.find(m.image_id.empty() ? m.source : m.image_id));
    m.image_id = image.id;
    m.layer = fmt::format("{}.image-{}", r.id, i);
  }
  return {};
}

void warn_of_propagation(const std::vector<MountRecord>& mounts,
                         std::vector<std::string>& warnings) {
  for (const auto& m : mounts) {
    if (m.propagation == "shared" || m.propagation == "rshared")
      warnings.push_back(fmt::format(
          "Mounts made below {} are not seen on the host: without root a mount is shared among the "
          "namespaces inside the container only",
          m.destination));
  }
}

// What inspect shows of a container in another's namespaces was not asked for: it does not conflict
// when it comes back (inspect, then create, as updaters do).
ContainerConfig without_echoes(const HostFacts& host_facts, const ContainerTable& containers,
                               const CreateRequest& request, const storage::Image& image) {
  ContainerConfig config = request.config;
  const auto& host = request.host;
  if (host.uts_mode == "host" && config.hostname == host_facts.name) config.hostname.clear();
  if (!host.network_mode.starts_with("container:")) return config;
  if (const auto other = containers.find(host.network_mode.substr(10));
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
  const auto config = without_echoes(context_.host, context_.table, request, image);
  auto host = request.host;
  host.log_config = with_default_log(std::move(host.log_config), context_.config.log);
  CHECK(validate(config, host, context_.host.cpus));
  ContainerRecord r;
  r.id = random_id();
  r.created = now();
  r.image_id = image.id;
  TRY(r.config, merge_with_image(config, image.config));
  r.host = with_defaults(std::move(host));
  TRY(const auto security, parse_security_options(r.host.security_opt));
  if (!security.userns.empty()) r.host.userns_mode = security.userns;
  auto& mode = r.host.network_mode;
  for (const auto& [name, id] : networks_.ids()) {
    if (mode == id) mode = name;
  }
  if (mode.starts_with("container:")) {
    TRY(const auto other, context_.table.find(mode.substr(10)));
    mode = "container:" + other->id();
    r.config.hostname = other->record.config.hostname;
  } else if (r.config.hostname.empty()) {
    const bool hosts_own = mode == "host" || r.host.uts_mode == "host";
    r.config.hostname = hosts_own ? context_.host.name : short_id(r.id);
  }
  if (r.config.network_disabled && mode == "bridge") mode = "none";
  TRY(r.host.links, plan_links(context_.table, r.host));
  for (const auto* other : {&r.host.ipc_mode, &r.host.pid_mode}) {
    if (!other->starts_with("container:")) continue;
    // Not 404: clients would take it for the image's, and pull.
    if (auto found = context_.table.find(other->substr(10)); !found)
      return std::unexpected(found.error().as(Errc::invalid_argument));
  }
  TRY(r.endpoints, plan_endpoints(networks_.ids(), request, mode));
  TRY(auto inherited, volumes_from(context_.table, r.host.volumes_from));
  TRY(r.mounts, plan_mounts(r.host, r.config, std::move(inherited)));
  CHECK(plan_image_mounts(*context_.storage, r));
  warn_of_propagation(r.mounts, warnings);
  CHECK(check_bind_sources(context_.config, r.mounts));
  for (auto& w : discard_limits(r.host)) warnings.push_back(std::move(w));
  for (auto& w : other_warnings(r.config, r.host)) warnings.push_back(std::move(w));
  const bool selinux = ::access("/sys/fs/selinux/enforce", F_OK) == 0;
  for (auto& w : label_warnings(r.host, r.mounts, selinux)) warnings.push_back(std::move(w));
  // What the specification cannot say is refused now, not at the start.
  GenerateInput trial;
  trial.id = r.id;
  trial.config = r.config;
  trial.host = r.host;
  trial.network_host = mode == "host";
  trial.target = context_.host.seccomp;
  trial.hard_limits = context_.host.hard_limits;
  TRY(auto generated, generate(trial));
  for (auto& w : generated.warnings) warnings.push_back(std::move(w));
  return r;
}

Task<> Lifecycle::make_volumes(ContainerPtr c, storage::Image image,
                               std::vector<std::string>& made) {
  for (auto& m : c->record.mounts) {
    if (m.type != "volume" || (!m.name.empty() && m.anonymous)) continue;
    std::string driver = c->record.host.volume_driver;
    std::map<std::string, std::string> labels, options;
    if (const auto* request = request_of(c->record, m); request != nullptr && request->volume) {
      labels = request->volume->labels;
      if (const auto& asked = request->volume->driver_config) {
        driver = asked->name;
        options = asked->options;
      }
    }
    auto volume = co_await volumes_.make(m.name, driver, options, labels);
    // A 404 is the image's, for the client: it would pull it.
    if (!volume && volume.error().code == Errc::not_found)
      co_return std::unexpected(volume.error().as(Errc::invalid_argument));
    CO_CHECK(volume);
    m.name = volume->volume.name;
    m.source = volume->volume.mountpoint;
    if (volume->is_new) made.push_back(m.name);
    if (m.no_copy) continue;
    storage::VolumeFill fill;
    fill.name = m.name;
    fill.subpath = m.subpath;
    fill.image_id = image.id;
    fill.path = m.destination;
    fill.in_use = volumes_.is_mounted(m.name);
    auto filled = co_await context_.storage->fill_volume(std::move(fill));
    if (!filled && filled.error().code == Errc::not_found)
      co_return std::unexpected(filled.error().as(Errc::invalid_argument));
    CO_CHECK(filled);
  }
  co_return Result<>{};
}

Task<> Lifecycle::make(ContainerPtr c, storage::Image image,
                       std::vector<std::string>& made_volumes) {
  Later<> layer(context_.io, context_.scope, "create layer",
                context_.storage->create_layer(c->id(), image.id));
  auto volumes = co_await make_volumes(c, image, made_volumes);
  for (std::size_t i = 0; volumes && i < c->record.mounts.size(); ++i) {
    const MountRecord m = c->record.mounts[i];
    if (!m.layer.empty()) volumes = co_await context_.storage->create_layer(m.layer, m.image_id);
  }
  Result<> written;
  if (volumes) {
    auto job = [store = context_.store, id = c->id(), text = json::to_text(c->record)] {
      return store.stage_record(id, text);
    };
    written = co_await context_.workers.run(std::move(job));
  }
  auto layered = co_await layer.get();
  CO_CHECK(volumes);
  CO_CHECK(layered);
  CO_CHECK(written);
  // Last: whoever is killed before leaves a half-made one, which the next start takes away. Then
  // both names are synced, which a journal takes in one step.
  auto job = [store = context_.store, storage = context_.storage.get(),
              id = c->id()]() -> Result<> {
    CHECK(store.publish_record(id));
    return storage->sync_layers();
  };
  CO_CHECK(co_await context_.workers.run(std::move(job)));
  co_return fail_point("container.create.written");
}

Task<Created> Lifecycle::create(CreateRequest request) {
  if (request.name.starts_with('/')) request.name.erase(0, 1);
  if (!request.name.empty()) CO_CHECK(check_container_name(request.name));
  if (request.config.image.empty())
    co_return fail(Errc::invalid_argument, "no image specified: the field Image is empty");
  CO_TRY(auto image, context_.storage->find(request.config.image));
  CO_CHECK(check_platform(request.platform, image, request.config.image));
  Created answer;
  auto c = std::make_shared<Container>(context_.io);
  CO_TRY(c->record, plan(request, image, answer.warnings));
  answer.id = c->id();
  if (request.name.empty()) {
    c->record.name = context_.table.take_random_name(c->id());
  } else {
    CO_CHECK(context_.table.take_name(request.name, c->id()));
    c->record.name = request.name;
  }
  Volumes::Claims claims(volumes_, c->id());
  for (const auto& m : c->record.mounts) {
    if (m.type == "volume" && !m.name.empty()) claims.add(m.name);
  }
  std::vector<std::string> made_volumes;
  auto made = co_await make(c, std::move(image), made_volumes);
  if (!made) {
    context_.table.free_name(c->name(), c->id());
    (void)context_.store.discard(c->id());
    (void)co_await context_.storage->remove_layer(c->id());
    for (std::size_t i = 0; i < c->record.mounts.size(); ++i)
      (void)co_await context_.storage->remove_layer(c->record.mounts[i].layer);
    for (const auto& name : made_volumes) (void)co_await volumes_.discard(name, c->id());
    context_.scope.start("empty trash", empty_trash());
    co_return std::unexpected(made.error().within("create {}", c->name()));
  }
  context_.table.add(c);
  announce(*context_.events, *c, "create");
  co_return answer;
}

}  // namespace coracle
