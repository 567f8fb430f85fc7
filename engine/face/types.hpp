// Values that pass through the engine's face: ids, configurations, views, filters, events.
// Their describe() uses the field names of Docker and OCI, so that one field list serves our state
// files, the API's requests and its answers; what differs by API version is the shim's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/result.hpp"

namespace coracle {

struct Nothing {
  bool operator==(const Nothing&) const = default;
};
void describe(auto& /*field*/, Nothing& /*n*/) {}

// A list that clients may also send as one string: "sh" is {"sh"}. absent and null are different
// from {}.
struct StringList {
  std::vector<std::string> items;
  bool operator==(const StringList&) const = default;
};
json::Value leaf_to_json(const StringList& list);
Result<StringList> leaf_from_json(const json::Value& value, std::type_identity<StringList> /*tag*/);

// ---- configuration of a container

struct HealthConfig {
  std::vector<std::string> test;  // {} inherit, {"NONE"}, {"CMD", argv…}, {"CMD-SHELL", line}
  std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
  std::int32_t retries = 0;
};
void describe(auto& field, HealthConfig& h) {
  field("Test", h.test)("Interval", h.interval_ns)("Timeout", h.timeout_ns)(
      "StartPeriod", h.start_period_ns)("StartInterval", h.start_interval_ns)("Retries", h.retries);
}

struct ContainerConfig {
  std::string hostname, domainname, user;
  bool attach_stdin = false, attach_stdout = false, attach_stderr = false;
  std::map<std::string, Nothing> exposed_ports;  // "80/tcp"
  bool tty = false, open_stdin = false, stdin_once = false;
  std::vector<std::string> env;
  std::optional<StringList> cmd;
  std::optional<HealthConfig> healthcheck;
  bool args_escaped = false;
  std::string image;  // as the client named it
  std::map<std::string, Nothing> volumes;
  std::string working_dir;
  std::optional<StringList> entrypoint;
  bool network_disabled = false;
  std::string mac_address;
  std::vector<std::string> on_build;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<std::int32_t> stop_timeout;  // seconds
  std::optional<StringList> shell;
};
void describe(auto& field, ContainerConfig& c) {
  field("Hostname", c.hostname)("Domainname", c.domainname)("User", c.user)(
      "AttachStdin", c.attach_stdin)("AttachStdout", c.attach_stdout)(
      "AttachStderr", c.attach_stderr)("ExposedPorts", c.exposed_ports)("Tty", c.tty)(
      "OpenStdin", c.open_stdin)("StdinOnce", c.stdin_once)("Env", c.env)("Cmd", c.cmd)(
      "Healthcheck", c.healthcheck)("ArgsEscaped", c.args_escaped)("Image", c.image)(
      "Volumes", c.volumes)("WorkingDir", c.working_dir)("Entrypoint", c.entrypoint)(
      "NetworkDisabled", c.network_disabled)("MacAddress", c.mac_address)("OnBuild", c.on_build)(
      "Labels", c.labels)("StopSignal", c.stop_signal)("StopTimeout", c.stop_timeout)("Shell",
                                                                                      c.shell);
}

struct PortBinding {
  std::string host_ip, host_port;  // host_port: "", "8080", "8000-8010"
};
void describe(auto& field, PortBinding& p) { field("HostIp", p.host_ip)("HostPort", p.host_port); }
using PortMap = std::map<std::string, std::vector<PortBinding>>;  // by "80/tcp"

struct RestartPolicy {
  std::string name = "no";  // no, always, unless-stopped, on-failure
  std::int32_t maximum_retry_count = 0;
};
void describe(auto& field, RestartPolicy& r) {
  field("Name", r.name)("MaximumRetryCount", r.maximum_retry_count);
}

struct LogConfig {
  std::string type;  // "" = the daemon's default
  std::map<std::string, std::string> config;
};
void describe(auto& field, LogConfig& l) { field("Type", l.type)("Config", l.config); }

struct Ulimit {
  std::string name;
  std::int64_t soft = 0, hard = 0;  // -1: unlimited
};
void describe(auto& field, Ulimit& u) { field("Name", u.name)("Soft", u.soft)("Hard", u.hard); }

struct DeviceMapping {
  std::string path_on_host, path_in_container, cgroup_permissions;
};
void describe(auto& field, DeviceMapping& d) {
  field("PathOnHost", d.path_on_host)("PathInContainer", d.path_in_container)("CgroupPermissions",
                                                                              d.cgroup_permissions);
}

struct BindOptions {
  std::string propagation;
  bool non_recursive = false, create_mountpoint = false;
  bool read_only_non_recursive = false, read_only_force_recursive = false;
};
void describe(auto& field, BindOptions& b) {
  field("Propagation", b.propagation)("NonRecursive", b.non_recursive)(
      "CreateMountpoint", b.create_mountpoint)("ReadOnlyNonRecursive", b.read_only_non_recursive)(
      "ReadOnlyForceRecursive", b.read_only_force_recursive);
}
struct DriverConfig {
  std::string name;
  std::map<std::string, std::string> options;
};
void describe(auto& field, DriverConfig& d) { field("Name", d.name)("Options", d.options); }
struct VolumeOptions {
  bool no_copy = false;
  std::map<std::string, std::string> labels;
  std::string subpath;
  std::optional<DriverConfig> driver_config;
};
void describe(auto& field, VolumeOptions& v) {
  field("NoCopy", v.no_copy)("Labels", v.labels)("Subpath", v.subpath)("DriverConfig",
                                                                       v.driver_config);
}
struct TmpfsOptions {
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;
  std::vector<std::vector<std::string>> options;
};
void describe(auto& field, TmpfsOptions& t) {
  field("SizeBytes", t.size_bytes)("Mode", t.mode)("Options", t.options);
}
struct ImageOptions {
  std::string subpath;
};
void describe(auto& field, ImageOptions& i) { field("Subpath", i.subpath); }

struct MountRequest {  // HostConfig.Mounts
  std::string type, source, target;
  bool read_only = false;
  std::string consistency;
  std::optional<BindOptions> bind;
  std::optional<VolumeOptions> volume;
  std::optional<TmpfsOptions> tmpfs;
  std::optional<ImageOptions> image;
};
void describe(auto& field, MountRequest& m) {
  field("Type", m.type)("Source", m.source)("Target", m.target)("ReadOnly", m.read_only)(
      "Consistency", m.consistency)("BindOptions", m.bind)("VolumeOptions", m.volume)(
      "TmpfsOptions", m.tmpfs)("ImageOptions", m.image);
}

struct WeightDevice {
  std::string path;
  std::uint16_t weight = 0;
};
void describe(auto& field, WeightDevice& w) { field("Path", w.path)("Weight", w.weight); }
struct ThrottleDevice {
  std::string path;
  std::uint64_t rate = 0;
};
void describe(auto& field, ThrottleDevice& t) { field("Path", t.path)("Rate", t.rate); }
struct DeviceRequest {
  std::string driver;
  std::int32_t count = 0;
  std::vector<std::string> device_ids;
  std::vector<std::vector<std::string>> capabilities;
  std::map<std::string, std::string> options;
};
void describe(auto& field, DeviceRequest& d) {
  field("Driver", d.driver)("Count", d.count)("DeviceIDs", d.device_ids)(
      "Capabilities", d.capabilities)("Options", d.options);
}

struct Resources {
  std::int64_t cpu_shares = 0, memory = 0, nano_cpus = 0;
  std::string cgroup_parent;
  std::uint16_t blkio_weight = 0;
  std::vector<WeightDevice> blkio_weight_device;
  std::vector<ThrottleDevice> read_bps, write_bps, read_iops, write_iops;
  std::int64_t cpu_period = 0, cpu_quota = 0, cpu_realtime_period = 0, cpu_realtime_runtime = 0;
  std::string cpuset_cpus, cpuset_mems;
  std::vector<DeviceMapping> devices;
  std::vector<std::string> device_cgroup_rules;
  std::vector<DeviceRequest> device_requests;
  std::int64_t memory_reservation = 0, memory_swap = 0;
  std::optional<std::int64_t> memory_swappiness;
  std::optional<bool> oom_kill_disable;
  std::optional<std::int64_t> pids_limit;
  std::vector<Ulimit> ulimits;
};
void describe(auto& field, Resources& r) {
  field("CpuShares", r.cpu_shares)("Memory", r.memory)("NanoCpus", r.nano_cpus)(
      "CgroupParent", r.cgroup_parent)("BlkioWeight", r.blkio_weight)(
      "BlkioWeightDevice", r.blkio_weight_device)("BlkioDeviceReadBps", r.read_bps)(
      "BlkioDeviceWriteBps", r.write_bps)("BlkioDeviceReadIOps", r.read_iops)(
      "BlkioDeviceWriteIOps", r.write_iops)("CpuPeriod", r.cpu_period)("CpuQuota", r.cpu_quota)(
      "CpuRealtimePeriod", r.cpu_realtime_period)("CpuRealtimeRuntime", r.cpu_realtime_runtime)(
      "CpusetCpus", r.cpuset_cpus)("CpusetMems", r.cpuset_mems)("Devices", r.devices)(
      "DeviceCgroupRules", r.device_cgroup_rules)("DeviceRequests", r.device_requests)(
      "MemoryReservation", r.memory_reservation)("MemorySwap", r.memory_swap)(
      "MemorySwappiness", r.memory_swappiness)("OomKillDisable", r.oom_kill_disable)(
      "PidsLimit", r.pids_limit)("Ulimits", r.ulimits);
}

struct HostConfig {
  std::vector<std::string> binds;  // "src:dst[:opts]"
  LogConfig log_config;
  std::string network_mode;  // "", default, bridge, host, none, container:<id>, a network
  PortMap port_bindings;
  RestartPolicy restart_policy;
  bool auto_remove = false;
  std::string volume_driver;
  std::vector<std::string> volumes_from;
  std::vector<std::uint32_t> console_size;  // [h, w]
  std::map<std::string, std::string> annotations;
  std::vector<std::string> cap_add, cap_drop;
  std::string cgroupns_mode;
  std::vector<std::string> dns, dns_options, dns_search, extra_hosts, group_add;
  std::string ipc_mode, cgroup;
  std::vector<std::string> links;
  std::int32_t oom_score_adj = 0;
  std::string pid_mode;
  bool privileged = false, publish_all_ports = false, readonly_rootfs = false;
  std::vector<std::string> security_opt;
  std::map<std::string, std::string> storage_opt, tmpfs;
  std::string uts_mode, userns_mode;
  std::int64_t shm_size = 0;
  std::map<std::string, std::string> sysctls;
  std::string runtime, isolation;
  std::vector<MountRequest> mounts;
  std::optional<std::vector<std::string>> masked_paths,
      readonly_paths;  // null = defaults, [] = none
  std::optional<bool> init;
  Resources resources;
};
void describe(auto& field, HostConfig& h) {
  field("Binds", h.binds)("LogConfig", h.log_config)("NetworkMode", h.network_mode)(
      "PortBindings", h.port_bindings)("RestartPolicy", h.restart_policy)(
      "AutoRemove", h.auto_remove)("VolumeDriver", h.volume_driver)("VolumesFrom", h.volumes_from)(
      "ConsoleSize", h.console_size)("Annotations", h.annotations)("CapAdd", h.cap_add)(
      "CapDrop", h.cap_drop)("CgroupnsMode", h.cgroupns_mode)("Dns", h.dns)(
      "DnsOptions", h.dns_options)("DnsSearch", h.dns_search)("ExtraHosts", h.extra_hosts)(
      "GroupAdd", h.group_add)("IpcMode", h.ipc_mode)("Cgroup", h.cgroup)("Links", h.links)(
      "OomScoreAdj", h.oom_score_adj)("PidMode", h.pid_mode)("Privileged", h.privileged)(
      "PublishAllPorts", h.publish_all_ports)("ReadonlyRootfs", h.readonly_rootfs)(
      "SecurityOpt", h.security_opt)("StorageOpt", h.storage_opt)("Tmpfs", h.tmpfs)(
      "UTSMode", h.uts_mode)("UsernsMode", h.userns_mode)("ShmSize", h.shm_size)(
      "Sysctls", h.sysctls)("Runtime", h.runtime)("Isolation", h.isolation)("Mounts", h.mounts)(
      "MaskedPaths", h.masked_paths)("ReadonlyPaths", h.readonly_paths)("Init", h.init);
  describe(field, h.resources);  // stands flat in HostConfig
}

struct EndpointIpam {
  std::string ipv4_address, ipv6_address;
  std::vector<std::string> link_local_ips;
};
void describe(auto& field, EndpointIpam& e) {
  field("IPv4Address", e.ipv4_address)("IPv6Address", e.ipv6_address)("LinkLocalIPs",
                                                                      e.link_local_ips);
}

// One network of a container: the part that is asked for, and the part that stands while it runs.
struct EndpointSettings {
  std::optional<EndpointIpam> ipam;
  std::vector<std::string> links, aliases;
  std::map<std::string, std::string> driver_opts;
  std::int32_t gw_priority = 0;
  std::string mac_address;
  std::string network_id, endpoint_id, gateway, ip_address;
  std::int32_t ip_prefix_len = 0;
  std::string ipv6_gateway, global_ipv6_address;
  std::int32_t global_ipv6_prefix_len = 0;
  std::vector<std::string> dns_names;
};
void describe(auto& field, EndpointSettings& e) {
  field("IPAMConfig", e.ipam)("Links", e.links)("Aliases", e.aliases)("DriverOpts", e.driver_opts)(
      "GwPriority", e.gw_priority)("MacAddress", e.mac_address)("NetworkID", e.network_id)(
      "EndpointID", e.endpoint_id)("Gateway", e.gateway)("IPAddress", e.ip_address)(
      "IPPrefixLen", e.ip_prefix_len)("IPv6Gateway", e.ipv6_gateway)(
      "GlobalIPv6Address", e.global_ipv6_address)("GlobalIPv6PrefixLen", e.global_ipv6_prefix_len)(
      "DNSNames", e.dns_names);
}
using Endpoints = std::map<std::string, EndpointSettings>;  // by network name

struct CreateRequest {
  std::string name;      // "": a random one
  std::string platform;  // os[/arch[/variant]]
  ContainerConfig config;
  HostConfig host;
  Endpoints endpoints;
};
struct Created {
  std::string id;
  std::vector<std::string> warnings;
};

// ---- views

enum class Status : std::uint8_t { created, running, paused, restarting, removing, exited, dead };
const char* name_of(Status status);
std::optional<Status> status_from_name(const std::string& name);
json::Value leaf_to_json(const Status& status);
Result<Status> leaf_from_json(const json::Value& value, std::type_identity<Status> /*tag*/);

struct MountPoint {  // as inspect and list show it
  std::string type, name, source, destination, driver, mode;
  bool rw = true;
  std::string propagation;
};
void describe(auto& field, MountPoint& m) {
  field("Type", m.type)("Name", m.name)("Source", m.source)("Destination", m.destination)(
      "Driver", m.driver)("Mode", m.mode)("RW", m.rw)("Propagation", m.propagation);
}

struct HealthProbe {
  Time start, end;
  std::int32_t exit_code = 0;  // -1: it could not run, or took too long
  std::string output;
};
void describe(auto& field, HealthProbe& h) {
  field("Start", h.start)("End", h.end)("ExitCode", h.exit_code)("Output", h.output);
}
struct HealthState {
  std::string status;  // none, starting, healthy, unhealthy
  std::int32_t failing_streak = 0;
  std::vector<HealthProbe> log;  // the last ones, oldest first
};
void describe(auto& field, HealthState& h) {
  field("Status", h.status)("FailingStreak", h.failing_streak)("Log", h.log);
}

struct ContainerView {
  std::string id, name;  // name without slash
  Time created;
  std::string path;  // of the process
  std::vector<std::string> args;
  Status status = Status::created;
  std::int32_t pid = 0, exit_code = 0;
  bool oom_killed = false;
  std::string error;
  Time started_at, finished_at;
  std::string image_id;
  std::string resolv_conf_path, hostname_path, hosts_path, log_path;
  std::int32_t restart_count = 0;
  std::string driver;  // of storage
  std::vector<std::string> exec_ids;
  std::vector<std::string> link_names;            // "web/db": what others that link to it call it
  ContainerConfig config;                         // merged with the image's
  HostConfig host;                                // defaults filled in
  std::map<std::string, std::string> graph_data;  // LowerDir, UpperDir, … for GraphDriver
  std::vector<MountPoint> mounts;
  std::string sandbox_id, sandbox_key;
  PortMap ports;  // while it runs: published; exposed-only ones have an empty list
  Endpoints endpoints;
  std::optional<HealthState> health;
  bool damaged = false;  // its files could not be read: `error` says which and why
};

// Filters as the API has them: key -> values. `label!` negates.
using Filters = std::map<std::string, std::vector<std::string>>;

struct ListOptions {
  bool all = false;
  std::int64_t limit = 0;
  Filters filters;
};

enum class WaitCondition : std::uint8_t { not_running, next_exit, removed };
struct WaitResult {
  std::int32_t code = 0;
  std::string error;
};

struct StopOptions {
  std::optional<std::int64_t> timeout_s;  // absent: the container's own, or 10; negative: for ever
  std::string signal;                     // "": the container's stop signal
};

struct AttachOptions {
  bool stream = false, in = false, out = false, err = false, logs = false;
  bool raw = false;         // no frame headers, also without a tty (attach/ws)
  std::string detach_keys;  // "": ctrl-p,ctrl-q
};

struct LogOptions {
  bool out = false, err = false, follow = false;
  Time since, until;                  // 0: unbounded
  std::optional<std::uint64_t> tail;  // lines from the end
};
struct LogEntry {
  bool is_err = false;
  Time time;
  std::string text;                // with its newline, if it had one
  std::vector<std::string> attrs;  // "k=v", for `details`
};

struct ExecRequest {
  bool attach_stdin = false, attach_stdout = false, attach_stderr = false, tty = false,
       privileged = false;
  std::string detach_keys, user, working_dir;
  std::vector<std::string> env;
  StringList cmd;
  std::vector<std::uint32_t> console_size;
};
void describe(auto& field, ExecRequest& e) {
  field("AttachStdin", e.attach_stdin)("AttachStdout", e.attach_stdout)(
      "AttachStderr", e.attach_stderr)("Tty", e.tty)("Privileged", e.privileged)(
      "DetachKeys", e.detach_keys)("User", e.user)("WorkingDir", e.working_dir)("Env", e.env)(
      "Cmd", e.cmd)("ConsoleSize", e.console_size);
}
struct ExecView {
  std::string id, container_id;
  bool running = false;
  std::optional<std::int32_t> exit_code;
  std::int32_t pid = 0;
  ExecRequest request;
};

struct Event {
  std::string type, action, actor_id;
  std::map<std::string, std::string> attributes;
  Time time;
};
void describe(auto& field, Event& e) {
  field("type", e.type)("action", e.action)("actor_id", e.actor_id)("attributes", e.attributes)(
      "time", e.time);
}

// A network as `network inspect` shows it. Only the predefined ones exist so far.
struct NetworkView {
  std::string id, name, driver, subnet, gateway;
  Time created;
  bool internal = false;
  std::map<std::string, std::string> options, labels;
  struct Member {
    std::string name, endpoint_id, mac, address;  // address with "/len"
  };
  std::map<std::string, Member> members;  // running containers
};

struct SystemInfo {
  std::string id, name, operating_system, os_version, kernel_version,
      architecture;  // architecture as uname
  std::int32_t cpus = 0;
  std::int64_t memory = 0;
  std::size_t containers = 0, running = 0, paused = 0, stopped = 0, images = 0;
  std::string driver, log_driver;
  std::vector<std::string> log_drivers;
  std::vector<std::pair<std::string, std::string>> driver_status;
  std::string cgroup_driver = "none", cgroup_version;
  bool memory_limit = false, swap_limit = false, cpu_cfs = false, cpu_shares = false,
       cpuset = false, pids_limit = false;
  std::vector<std::string> security_options, warnings;
  std::string data_root;
  std::vector<std::string> mirrors, insecure_registries;
  std::vector<std::string> cdi_spec_dirs;
  std::size_t event_listeners = 0;
};

}  // namespace coracle
