#include "shim/wire/container.hpp"

#include "engine/base/json.hpp"
#include "shim/wire/list_text.hpp"

namespace coracle::wire {
namespace {

using boost::json::array;
using boost::json::object;

// Docker shows null where nothing was asked for; clients and diffs of inspect expect it.
void null_if_empty(object& o, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    json::Value& v = o[name];
    if ((v.is_array() && v.get_array().empty()) || (v.is_object() && v.get_object().empty()))
      v = nullptr;
  }
}

void drop_if_empty(object& o, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const json::Value* v = o.if_contains(name);
    if (v == nullptr) continue;
    if ((v->is_array() && v->get_array().empty()) || (v->is_object() && v->get_object().empty()) ||
        (v->is_string() && v->get_string().empty()) || (v->is_bool() && !v->get_bool()))
      o.erase(name);
  }
}

object config_json(const ContainerConfig& config) {
  object o = json::to_json(config).get_object();
  drop_if_empty(
      o, {"ExposedPorts", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "Shell"});
  for (const char* name : {"Cmd", "Entrypoint"}) {
    if (!o.contains(name)) o[name] = nullptr;
  }
  null_if_empty(o, {"Volumes", "OnBuild", "Entrypoint"});
  return o;
}

object host_json(const HostConfig& host) {
  object o = json::to_json(host).get_object();
  null_if_empty(o,
                {"Binds", "VolumesFrom", "CapAdd", "CapDrop", "ExtraHosts", "GroupAdd", "Links",
                 "SecurityOpt", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
                 "BlkioDeviceWriteIOps", "DeviceCgroupRules", "DeviceRequests", "Ulimits"});
  drop_if_empty(o, {"Annotations", "StorageOpt", "Tmpfs", "Sysctls", "Mounts"});
  o["ContainerIDFile"] = "";
  for (const char* name : {"MemorySwappiness", "OomKillDisable", "PidsLimit"}) {
    if (!o.contains(name)) o[name] = nullptr;
  }
  if (host.console_size.size() != 2) o["ConsoleSize"] = array{0, 0};
  o["CpuCount"] = 0;
  o["CpuPercent"] = 0;
  o["IOMaximumIOps"] = 0;
  o["IOMaximumBandwidth"] = 0;
  if (host.privileged) null_if_empty(o, {"MaskedPaths", "ReadonlyPaths"});
  if (auto* requests = o["DeviceRequests"].if_array()) {
    for (auto& r : *requests)
      null_if_empty(r.as_object(), {"DeviceIDs", "Capabilities", "Options"});
  }
  // Sections of a mount that were not given are left out by the writer already; these are not.
  if (auto* mounts = o.if_contains("Mounts")) {
    for (auto& m : mounts->as_array())
      drop_if_empty(m.as_object(), {"ReadOnly", "Consistency", "Source"});
  }
  return o;
}

object endpoint_json(EndpointSettings endpoint, const ContainerView& view,
                     http::ApiVersion version) {
  if (has_id_alias(view, version)) endpoint.aliases.push_back(short_id(view.id));
  object o = json::to_json(endpoint).get_object();
  if (!o.contains("IPAMConfig")) o["IPAMConfig"] = nullptr;
  if (auto* ipam = o.if_contains("IPAMConfig"); ipam != nullptr && ipam->is_object())
    drop_if_empty(ipam->get_object(), {"IPv4Address", "IPv6Address", "LinkLocalIPs"});
  null_if_empty(o, {"Links", "Aliases", "DriverOpts", "DNSNames"});
  if (version < http::ApiVersion{1, 44}) o.erase("DNSNames");
  if (version < http::ApiVersion{1, 48}) o.erase("GwPriority");
  return o;
}

object endpoints_json(const ContainerView& view, http::ApiVersion version) {
  object o;
  for (const auto& [name, endpoint] : view.endpoints)
    o[name] = endpoint_json(endpoint, view, version);
  return o;
}

object ports_json(const PortMap& ports) {
  object o;
  for (const auto& [port, bindings] : ports) {
    o[port] = bindings.empty() ? json::Value(nullptr) : json::to_json(bindings);
  }
  return o;
}

// With the top-level copies of the network `bridge` that versions below 1.52 have.
object network_settings_json(const ContainerView& view, http::ApiVersion version) {
  object o;
  o["Bridge"] = "";
  o["SandboxID"] = view.sandbox_id;
  o["SandboxKey"] = view.sandbox_key;
  o["Ports"] = ports_json(view.ports);
  o["HairpinMode"] = false;
  o["LinkLocalIPv6Address"] = "";
  o["LinkLocalIPv6PrefixLen"] = 0;
  o["SecondaryIPAddresses"] = nullptr;
  o["SecondaryIPv6Addresses"] = nullptr;
  const auto found = view.endpoints.find("bridge");
  const EndpointSettings bridge =
      found == view.endpoints.end() ? EndpointSettings{} : found->second;
  o["EndpointID"] = bridge.endpoint_id;
  o["Gateway"] = bridge.gateway;
  o["GlobalIPv6Address"] = bridge.global_ipv6_address;
  o["GlobalIPv6PrefixLen"] = bridge.global_ipv6_prefix_len;
  o["IPAddress"] = bridge.ip_address;
  o["IPPrefixLen"] = bridge.ip_prefix_len;
  o["IPv6Gateway"] = bridge.ipv6_gateway;
  o["MacAddress"] = bridge.mac_address;
  o["Networks"] = endpoints_json(view, version);
  return o;
}

array mounts_json(const std::vector<MountPoint>& mounts) {
  array out;
  for (const auto& m : mounts) {
    object o = json::to_json(m).get_object();
    drop_if_empty(o, {"Name", "Driver"});
    out.push_back(std::move(o));
  }
  return out;
}

array health_log(const std::vector<HealthProbe>& log) {
  array out;
  for (const auto& probe : log)
    out.push_back(object{{"Start", to_rfc3339(probe.start)},
                         {"End", to_rfc3339(probe.end)},
                         {"ExitCode", probe.exit_code},
                         {"Output", probe.output}});
  return out;
}

object state_json(const ContainerView& view) {
  const Status s = view.status;
  object o;
  o["Status"] = name_of(s);
  o["Running"] = s == Status::running || s == Status::paused || s == Status::restarting;
  o["Paused"] = s == Status::paused;
  o["Restarting"] = s == Status::restarting;
  o["OOMKilled"] = view.oom_killed;
  o["Dead"] = s == Status::dead;
  o["Pid"] = view.pid;
  o["ExitCode"] = view.exit_code;
  o["Error"] = view.error;
  o["StartedAt"] = to_rfc3339(view.started_at);
  o["FinishedAt"] = to_rfc3339(view.finished_at);
  if (view.health) {
    o["Health"] = object{{"Status", view.health->status},
                         {"FailingStreak", view.health->failing_streak},
                         {"Log", health_log(view.health->log)}};
  }
  return o;
}

object graph_driver_json(const ContainerView& view) {
  object data;
  for (const auto& [k, v] : view.graph_data) data[k] = v;
  return {{"Name", view.driver}, {"Data", data.empty() ? json::Value(nullptr) : json::Value(data)}};
}

void put_size(object& o, const std::optional<ContainerSize>& size) {
  if (!size) return;
  o["SizeRw"] = size->rw;
  o["SizeRootFs"] = size->root_fs;
}

}  // namespace

json::Value container_json(const ContainerView& view, http::ApiVersion version,
                           const std::optional<ContainerSize>& size) {
  object o;
  o["Id"] = view.id;
  o["Created"] = to_rfc3339(view.created);
  o["Path"] = view.path;
  o["Args"] = json::to_json(view.args);
  o["State"] = state_json(view);
  o["Image"] = view.image_id;
  o["ResolvConfPath"] = view.resolv_conf_path;
  o["HostnamePath"] = view.hostname_path;
  o["HostsPath"] = view.hosts_path;
  o["LogPath"] = view.log_path;
  o["Name"] = "/" + view.name;
  o["RestartCount"] = view.restart_count;
  o["Driver"] = view.driver;
  o["Platform"] = "linux";
  o["MountLabel"] = "";
  o["ProcessLabel"] = "";
  o["AppArmorProfile"] = "";
  o["ExecIDs"] = view.exec_ids.empty() ? json::Value(nullptr) : json::to_json(view.exec_ids);
  o["HostConfig"] = host_json(view.host);
  o["GraphDriver"] = graph_driver_json(view);
  put_size(o, size);
  o["Mounts"] = mounts_json(view.mounts);
  o["Config"] = config_json(view.config);
  o["NetworkSettings"] = network_settings_json(view, version);
  return o;
}

json::Value exec_json(const ExecView& view) {
  const ExecRequest& r = view.request;
  const std::vector<std::string> arguments(
      r.cmd.items.empty() ? r.cmd.items.end() : r.cmd.items.begin() + 1, r.cmd.items.end());
  object process;
  process["tty"] = r.tty;
  process["entrypoint"] = r.cmd.items.empty() ? "" : r.cmd.items.front();
  process["arguments"] = json::to_json(arguments);
  process["privileged"] = r.privileged;
  process["user"] = r.user;
  object o;
  o["ID"] = view.id;
  o["Running"] = view.running;
  o["ExitCode"] = view.exit_code ? json::Value(*view.exit_code) : json::Value(nullptr);
  o["ProcessConfig"] = std::move(process);
  o["OpenStdin"] = r.attach_stdin;
  o["OpenStderr"] = r.attach_stderr;
  o["OpenStdout"] = r.attach_stdout;
  o["CanRemove"] = !view.running && view.exit_code.has_value();
  o["ContainerID"] = view.container_id;
  o["DetachKeys"] = r.detach_keys;
  o["Pid"] = view.pid;
  return o;
}

}  // namespace coracle::wire
