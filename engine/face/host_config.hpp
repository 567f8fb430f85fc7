// What a container is asked to have of the host.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/face/container_config.hpp"

namespace coracle {

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
  StringList cap_add, cap_drop;
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

}  // namespace coracle
