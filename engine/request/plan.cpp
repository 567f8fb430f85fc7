#include "engine/request/plan.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/request/image_defaults.hpp"
#include "engine/request/log_options.hpp"
#include "engine/request/mounts.hpp"
#include "engine/request/validate.hpp"
#include "engine/spec/generate.hpp"
#include "engine/spec/modes.hpp"
#include "engine/spec/security_options.hpp"

namespace coracle {
namespace {

// The endpoint of the container's one network; keys may be the network's name or id.
Result<Endpoints> plan_endpoints(const std::map<std::string, std::string>& network_ids,
                                 const CreateRequest& request, const HostConfig& host) {
  const auto& mode = host.network_mode;
  Endpoints out;
  if (network_mode(host).is_container()) return out;
  EndpointSettings own;
  for (const auto& [key, settings] : request.endpoints) {
    const auto id = network_ids.find(mode);
    const bool is_mode = key == mode || (mode == kBridgeNetwork && key == "default") ||
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
  // Not taken in silence: who names an interface or sets its sysctls relies on it.
  if (!own.driver_opts.empty())
    return fail(Errc::unsupported, "network {}: the endpoint's option {} is not supported yet",
                mode, own.driver_opts.begin()->first);
  if (own.mac_address.empty()) own.mac_address = request.config.mac_address;
  if (const auto id = network_ids.find(mode); id != network_ids.end()) own.network_id = id->second;
  out[mode] = std::move(own);
  return out;
}

// Mounts of other containers, whatever their state.
Result<std::vector<MountRecord>> volumes_from(const FindRecord& find,
                                              const std::vector<std::string>& specs) {
  std::vector<MountRecord> out;
  for (const auto& spec : specs) {
    TRY(const auto from, parse_volumes_from(spec));
    TRY(const auto* other, find(from.container));
    for (auto& m : inherited_mounts(*other, from.rw)) out.push_back(std::move(m));
  }
  return out;
}

// Images that are mounted get a layer each, as a root file system does; nothing is written to it.
Result<> plan_image_mounts(const PlanWorld& world, ContainerRecord& r) {
  for (std::size_t i = 0; i < r.mounts.size(); ++i) {
    auto& m = r.mounts[i];
    if (m.type != MountType::image) continue;
    TRY(const auto image, world.image_named(m.image_id.empty() ? m.source : m.image_id));
    m.image_id = image.id;
    m.layer = fmt::format("{}.image-{}", r.id, i);
  }
  return {};
}

bool is_within(const std::string& path, const std::string& parent) {
  return path == parent || parent == "/" || path.starts_with(parent + "/");
}

// A bind that shows the data root follows what is unmounted there: a container that held a mount of
// another's files would keep those from being removed.
Result<> let_mounts_go(const std::string& data_root, std::vector<MountRecord>& mounts) {
  for (auto& m : mounts) {
    const bool shows = is_within(m.source, data_root) || is_within(data_root, m.source);
    if (m.type != MountType::bind || data_root.empty() || !shows) continue;
    if (m.propagation.empty()) m.propagation = "rslave";
    if (m.propagation != "rslave" && m.propagation != "rshared")
      return fail(Errc::invalid_argument,
                  "invalid mount config: must use either propagation mode \"rslave\" or "
                  "\"rshared\" when mount source is within the daemon root, daemon root: "
                  "\"{}\", bind mount source: \"{}\", propagation: \"{}\"",
                  data_root, m.source, m.propagation);
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
ContainerConfig without_echoes(const PlanWorld& world, const CreateRequest& request) {
  ContainerConfig config = request.config;
  const auto& host = request.host;
  if (has_host_uts(host) && config.hostname == world.host_name) config.hostname.clear();
  const auto mode = network_mode(host);
  if (!mode.is_container()) return config;
  if (const auto other = world.container(mode.ref);
      other && (*other)->config.hostname == config.hostname)
    config.hostname.clear();
  for (const auto& [port, nothing] : world.image->config.exposed_ports)
    config.exposed_ports.erase(port);
  return config;
}

// The network's mode as it is kept (a name, never an id), and the host name that goes with it.
Result<> decide_network(const PlanWorld& world, ContainerRecord& r) {
  auto& text = r.host.network_mode;
  for (const auto& [name, id] : *world.network_ids) {
    if (text == id) text = name;
  }
  const auto mode = network_mode(r.host);
  if (mode.is_container()) {
    // One that is not there is missed by the start.
    const auto other = world.container(mode.ref);
    if (other) text = text_of_joined((*other)->id);
    r.config.hostname = other ? (*other)->config.hostname : short_id(r.id);
  } else if (r.config.hostname.empty()) {
    const bool hosts_own = mode.is_host() || has_host_uts(r.host);
    r.config.hostname = hosts_own ? world.host_name : short_id(r.id);
  }
  if (r.config.network_disabled && mode.is_bridge()) text = kNoneNetwork;
  return {};
}

// Containers whose other namespaces are joined must exist.
Result<> check_joined(const PlanWorld& world, const HostConfig& host) {
  std::vector<std::string> refs;
  if (auto ipc = ipc_mode(host); ipc.kind == IpcMode::Kind::container) refs.push_back(ipc.ref);
  if (auto pid = pid_mode(host); pid.kind == PidMode::Kind::container) refs.push_back(pid.ref);
  for (const auto& ref : refs) CHECK(world.container(ref));
  return {};
}

Result<std::vector<std::string>> try_to_generate(const PlanWorld& world, const ContainerRecord& r) {
  GenerateInput trial;
  trial.id = r.id;
  trial.config = r.config;
  trial.host = r.host;
  trial.network_host = network_mode(r.host).is_host();
  trial.target = world.seccomp;
  trial.hard_limits = world.hard_limits;
  TRY(auto generated, generate(trial));
  return std::move(generated.warnings);
}

void append(std::vector<std::string>& all, std::vector<std::string> more) {
  std::ranges::move(more, std::back_inserter(all));
}

Result<Planned> plan(const CreateRequest& request, const PlanWorld& world) {
  const auto config = without_echoes(world, request);
  auto host = request.host;
  host.log_config = with_default_log(std::move(host.log_config), *world.log);
  CHECK(validate(config, host, world.cpus));
  Planned out;
  auto& r = out.record;
  r.id = world.id;
  r.created = world.now;
  r.image_id = world.image->id;
  TRY(r.config, with_image_defaults(config, world.image->config));
  r.host = with_defaults(std::move(host), world.defaults);
  TRY(const auto security, parse_security_options(r.host.security_opt));
  if (!security.userns.empty()) r.host.userns_mode = security.userns;
  CHECK(decide_network(world, r));
  TRY(r.host.links, plan_links(world.container, r.host));
  CHECK(check_joined(world, r.host));
  TRY(r.endpoints, plan_endpoints(*world.network_ids, request, r.host));
  TRY(auto inherited, volumes_from(world.container, r.host.volumes_from));
  TRY(r.mounts, plan_mounts(r.host, r.config, std::move(inherited)));
  for (auto& m : r.mounts) {
    if (request.shallow_read_only && m.type == MountType::bind && !m.rw)
      m.recursive_read_only = false;
  }
  CHECK(plan_image_mounts(world, r));
  CHECK(let_mounts_go(world.data_root, r.mounts));
  warn_of_propagation(r.mounts, out.warnings);
  append(out.warnings, discard_limits(r.host));
  append(out.warnings, other_warnings(r.config, r.host));
  append(out.warnings, label_warnings(r.host, r.mounts, world.selinux));
  TRY(auto warnings, try_to_generate(world, r));
  append(out.warnings, std::move(warnings));
  return out;
}

}  // namespace

Result<Planned> plan_container(const CreateRequest& request, const PlanWorld& world) {
  auto planned = plan(request, world);
  // A 404 is the container's image's, for the clients: they would pull it.
  if (!planned && planned.error().code == Errc::not_found)
    return std::unexpected(planned.error().as(Errc::invalid_argument));
  return planned;
}

}  // namespace coracle
