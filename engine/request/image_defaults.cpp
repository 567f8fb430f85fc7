#include "engine/request/image_defaults.hpp"

#include <algorithm>
#include <string_view>

#include "engine/base/path.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

std::string_view key_of(const std::string& variable) {
  return std::string_view(variable).substr(0, variable.find('='));
}

HealthConfig merge_health(const std::optional<HealthConfig>& own,
                          const storage::Healthcheck& image) {
  HealthConfig h = own.value_or(HealthConfig{});
  if (h.test.empty()) h.test = image.test;
  if (h.interval_ns == 0) h.interval_ns = image.interval_ns;
  if (h.timeout_ns == 0) h.timeout_ns = image.timeout_ns;
  if (h.start_period_ns == 0) h.start_period_ns = image.start_period_ns;
  if (h.start_interval_ns == 0) h.start_interval_ns = image.start_interval_ns;
  if (h.retries == 0) h.retries = image.retries;
  return h;
}

bool none(const std::optional<StringList>& list) { return !list || list->items.empty(); }

void merge_command(ContainerConfig& c, const storage::ImageConfig& image) {
  if (none(c.entrypoint)) {
    if (none(c.cmd) && !image.cmd.empty()) c.cmd = StringList{image.cmd};
    if (!c.entrypoint && !image.entrypoint.empty()) c.entrypoint = StringList{image.entrypoint};
  }
  // [""] resets the image's.
  if (c.entrypoint && c.entrypoint->items.size() == 1 && c.entrypoint->items[0].empty())
    c.entrypoint.reset();
}

}  // namespace

Result<ContainerConfig> with_image_defaults(ContainerConfig c, const storage::ImageConfig& image) {
  if (c.user.empty()) c.user = image.user;
  // The image's stays as it is written there, as at dockerd.
  c.working_dir = c.working_dir.empty() ? image.working_dir : clean_path(c.working_dir);
  if (c.stop_signal.empty()) c.stop_signal = image.stop_signal;
  if (none(c.shell) && !image.shell.empty()) c.shell = StringList{image.shell};
  for (const auto& [port, nothing] : image.exposed_ports) c.exposed_ports[port];
  for (const auto& [path, nothing] : image.volumes) c.volumes[path];
  for (const auto& [key, value] : image.labels) c.labels.emplace(key, value);
  std::vector<std::string> inherited;
  for (const auto& variable : image.env) {
    const bool own = std::ranges::any_of(
        c.env, [&](const std::string& mine) { return key_of(mine) == key_of(variable); });
    if (!own) inherited.push_back(variable);
  }
  c.env.insert(c.env.end(), inherited.begin(), inherited.end());
  if (image.healthcheck) c.healthcheck = merge_health(c.healthcheck, *image.healthcheck);
  merge_command(c, image);
  if (none(c.entrypoint) && none(c.cmd))
    return fail(Errc::invalid_argument, "no command specified");
  return c;
}

HostConfig with_defaults(HostConfig host, const ContainerDefaults& defaults) {
  const bool names_none = host.network_mode.empty() || host.network_mode == "default";
  if (network_mode(host).is_bridge())
    host.network_mode = names_none && !defaults.has_bridge ? kNoneNetwork : kBridgeNetwork;
  if (host.shm_size == 0) host.shm_size = defaults.shm_size;
  if (host.restart_policy.name.empty()) host.restart_policy.name = "no";
  if (host.log_config.type.empty()) host.log_config.type = "json-file";
  if (host.ipc_mode.empty()) host.ipc_mode = defaults.ipc_mode;
  if (host.cgroupns_mode.empty()) host.cgroupns_mode = defaults.cgroupns_mode;
  if (host.runtime.empty()) host.runtime = "coracle";
  if (!host.init && defaults.init) host.init = true;
  const auto says = [](const std::string& option) {
    return option.starts_with("no-new-privileges");
  };
  if (defaults.no_new_privileges && std::ranges::none_of(host.security_opt, says))
    host.security_opt.emplace_back("no-new-privileges");
  auto& own = host.resources.ulimits;
  for (const auto& limit : defaults.ulimits) {
    if (std::ranges::find(own, limit.name, &Ulimit::name) == own.end()) own.push_back(limit);
  }
  if (host.resources.memory > 0 && host.resources.memory_swap == 0)
    host.resources.memory_swap = 2 * host.resources.memory;
  return host;
}

}  // namespace coracle
