#include "shim/wire/system.hpp"

#include <unistd.h>

#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"

namespace coracle::wire {
namespace {

using boost::json::array;
using boost::json::object;

// The default registry's index, the key under which clients keep its credentials.
constexpr const char* kIndexServer = "https://index.docker.io/v1/";

// As Go names architectures; uname says x86_64.
std::string go_architecture(const std::string& uname) {
  if (uname == "x86_64") return "amd64";
  if (uname == "aarch64") return "arm64";
  if (uname == "armv7l" || uname == "armv6l") return "arm";
  if (uname == "i686" || uname == "i386") return "386";
  return uname;
}

std::string environment(const char* upper, const char* lower) {
  // Not while other threads change it: nobody does.
  const char* value = std::getenv(upper);
  if (value == nullptr) value = std::getenv(lower);
  return value == nullptr ? "" : value;
}

// As dockerd shows a proxy: who we are to it is nobody's business.
std::string without_credentials(std::string url) {
  const auto scheme = url.find("://");
  const auto start = scheme == std::string::npos ? 0 : scheme + 3;
  const auto at = url.substr(0, url.find_first_of("/?#", start)).rfind('@');
  if (at == std::string::npos || at < start) return url;
  return url.replace(start, at - start, "xxxxx:xxxxx");
}

// dockerd shows them with a slash at their end, however they were given.
array mirrors_json(const SystemInfo& info) {
  array out;
  for (const auto& mirror : info.mirrors)
    out.push_back(json::Value(mirror.ends_with('/') ? mirror : mirror + "/"));
  return out;
}

// Loopback is always among the insecure registries.
object registry_json(const SystemInfo& info) {
  object hub{
      {"Name", "docker.io"}, {"Mirrors", mirrors_json(info)}, {"Secure", true}, {"Official", true}};
  object indexes;
  indexes["docker.io"] = std::move(hub);
  array cidrs{"::1/128", "127.0.0.0/8"};
  for (const auto& registry : info.insecure_registries) {
    if (registry.find('/') != std::string::npos) {
      cidrs.push_back(json::Value(registry));
      continue;
    }
    indexes[registry] =
        object{{"Name", registry}, {"Mirrors", array{}}, {"Secure", false}, {"Official", false}};
  }
  return {{"InsecureRegistryCIDRs", std::move(cidrs)},
          {"IndexConfigs", std::move(indexes)},
          {"Mirrors", mirrors_json(info)}};
}

// What versions showed that are no longer the newest, and what they did not show yet.
void follow_version(object& o, http::ApiVersion version) {
  if (version < http::ApiVersion{1, 47}) {
    auto& registries = o["RegistryConfig"].as_object();
    registries["AllowNondistributableArtifactsCIDRs"] = nullptr;
    registries["AllowNondistributableArtifactsHostnames"] = nullptr;
  }
  if (version < http::ApiVersion{1, 49}) {
    o.erase("FirewallBackend");
    for (const char* name : {"ContainerdCommit", "RuncCommit", "InitCommit"}) {
      auto& commit = o[name].as_object();
      commit["Expected"] = commit["ID"];
    }
  }
  if (version < http::ApiVersion{1, 50}) {
    o["BridgeNfIptables"] = false;
    o["BridgeNfIp6tables"] = false;
    o.erase("DiscoveredDevices");
  }
}

void put_limits(object& o, const SystemInfo& info) {
  o["MemoryLimit"] = info.memory_limit;
  o["SwapLimit"] = info.swap_limit;
  o["CpuCfsPeriod"] = info.cpu_cfs;
  o["CpuCfsQuota"] = info.cpu_cfs;
  o["CPUShares"] = info.cpu_shares;
  o["CPUSet"] = info.cpuset;
  o["PidsLimit"] = info.pids_limit;
  o["OomKillDisable"] = false;
  o["IPv4Forwarding"] = true;
  o["CgroupDriver"] = info.cgroup_driver;
  o["CgroupVersion"] = info.cgroup_version;
}

void put_counts(object& o, const SystemInfo& info) {
  o["Containers"] = info.containers;
  o["ContainersRunning"] = info.running;
  o["ContainersPaused"] = info.paused;
  o["ContainersStopped"] = info.stopped;
  o["Images"] = info.images;
}

std::int64_t open_descriptors() {
  const auto names = list_dir("/proc/self/fd");
  return names ? static_cast<std::int64_t>(names->size()) : -1;
}

}  // namespace

std::string server_version() {
  return fmt::format("{}+coracle-{}", http::kDockerRelease, CORACLE_VERSION);
}

json::Value version_json(const SystemInfo& info) {
  const std::string api = http::to_string(http::kMaxVersion);
  const std::string min = http::to_string(http::kMinVersion);
  object details;
  details["ApiVersion"] = api;
  details["MinAPIVersion"] = min;
  details["Arch"] = go_architecture(info.architecture);
  details["BuildTime"] = "";
  details["Experimental"] = "false";
  details["GitCommit"] = "";
  details["GoVersion"] = "";
  details["KernelVersion"] = info.kernel_version;
  details["Os"] = "linux";
  object engine{{"Name", "Engine"}, {"Version", server_version()}, {"Details", details}};
  object own{{"Name", "coracle"}, {"Version", CORACLE_VERSION}, {"Details", object{}}};
  object o;
  o["Platform"] = object{{"Name", fmt::format("coracle {}", CORACLE_VERSION)}};
  o["Components"] = array{std::move(engine), std::move(own)};
  o["Version"] = server_version();
  o["ApiVersion"] = api;
  o["MinAPIVersion"] = min;
  o["GitCommit"] = "";
  o["GoVersion"] = "";
  o["Os"] = "linux";
  o["Arch"] = go_architecture(info.architecture);
  o["KernelVersion"] = info.kernel_version;
  o["BuildTime"] = "";
  return o;
}

json::Value info_json(const SystemInfo& info, Time at, bool debug, http::ApiVersion version) {
  object o;
  o["ID"] = info.id;
  put_counts(o, info);
  o["Driver"] = info.driver;
  array status;
  for (const auto& [k, v] : info.driver_status)
    status.push_back(array{json::Value(k), json::Value(v)});
  o["DriverStatus"] = std::move(status);
  o["SystemStatus"] = nullptr;
  o["Plugins"] =
      object{{"Volume", array{"local"}},
             {"Network", array{"bridge", "host", "null"}},
             {"Authorization", nullptr},
             {"Log", json::Value(array(info.log_drivers.begin(), info.log_drivers.end()))}};
  put_limits(o, info);
  o["Debug"] = debug;
  o["NFd"] = open_descriptors();
  o["NGoroutines"] = 0;
  o["SystemTime"] = to_rfc3339(at);
  o["LoggingDriver"] = info.log_driver;
  o["NEventsListener"] = info.event_listeners;
  o["KernelVersion"] = info.kernel_version;
  o["OperatingSystem"] = info.operating_system;
  o["OSVersion"] = info.os_version;
  o["OSType"] = "linux";
  o["Architecture"] = info.architecture;
  o["IndexServerAddress"] = kIndexServer;
  o["RegistryConfig"] = registry_json(info);
  o["NCPU"] = info.cpus;
  o["MemTotal"] = info.memory;
  o["GenericResources"] = nullptr;
  o["DockerRootDir"] = info.data_root;
  o["HttpProxy"] = without_credentials(environment("HTTP_PROXY", "http_proxy"));
  o["HttpsProxy"] = without_credentials(environment("HTTPS_PROXY", "https_proxy"));
  o["NoProxy"] = environment("NO_PROXY", "no_proxy");
  o["Name"] = info.name;
  o["Labels"] = json::to_json(info.labels);
  o["ExperimentalBuild"] = false;
  o["ServerVersion"] = server_version();
  o["Runtimes"] = object{{"coracle-monitor", object{{"path", "coracle-monitor"}}}};
  o["DefaultRuntime"] = "coracle-monitor";
  o["Swarm"] = object{{"NodeID", ""},
                      {"NodeAddr", ""},
                      {"LocalNodeState", "inactive"},
                      {"ControlAvailable", false},
                      {"Error", ""},
                      {"RemoteManagers", nullptr}};
  o["LiveRestoreEnabled"] = true;  // containers go on while the daemon is away
  o["Isolation"] = "";
  o["InitBinary"] = "coracle-init";
  o["ContainerdCommit"] = object{{"ID", ""}};
  o["RuncCommit"] = object{{"ID", ""}};
  o["InitCommit"] = object{{"ID", CORACLE_VERSION}};
  o["SecurityOptions"] = json::to_json(info.security_options);
  o["ProductLicense"] = "";
  o["DefaultAddressPools"] = array{};
  o["CDISpecDirs"] = json::to_json(info.cdi_spec_dirs);
  array devices;
  for (const auto& device : info.cdi_devices)
    devices.emplace_back(object{{"Source", "cdi"}, {"ID", device}});
  if (!devices.empty()) o["DiscoveredDevices"] = std::move(devices);
  o["FirewallBackend"] = object{{"Driver", "nftables"}};
  o["Warnings"] = json::to_json(info.warnings);
  follow_version(o, version);
  return o;
}

json::Value event_json(const Event& event, http::ApiVersion version) {
  object o;
  // The fields of old, which CLIs before 25 cannot do without.
  const bool had_them = event.type == "container" || event.type == "image";
  if (had_them && version < http::ApiVersion{1, 52}) {
    o["status"] = event.action;
    o["id"] = event.actor_id;
    const auto image = event.attributes.find("image");
    if (event.type == "container" && image != event.attributes.end()) o["from"] = image->second;
  }
  o["Type"] = event.type;
  o["Action"] = event.action;
  o["Actor"] = object{{"ID", event.actor_id}, {"Attributes", json::to_json(event.attributes)}};
  o["scope"] = "local";
  o["time"] = event.time.ns / 1'000'000'000;
  o["timeNano"] = event.time.ns;
  return o;
}

std::string progress_line(const storage::Progress& progress) {
  object o;
  if (progress.pushed) {
    o["progressDetail"] = object{};
    o["aux"] = object{{"Tag", progress.pushed->tag},
                      {"Digest", progress.pushed->digest},
                      {"Size", progress.pushed->size}};
  } else if (!progress.stream.empty()) {
    o["stream"] = progress.stream;
  } else {
    o["status"] = progress.status;
    if (progress.current != 0 || progress.total != 0)
      o["progressDetail"] = object{{"current", progress.current}, {"total", progress.total}};
    else if (!progress.id.empty())
      o["progressDetail"] = object{};
    if (!progress.id.empty()) o["id"] = progress.id;
  }
  return json::serialize(o) + "\r\n";
}

std::string error_line(const Error& error) {
  const object o{{"errorDetail", object{{"message", error.message}}}, {"error", error.message}};
  return json::serialize(o) + "\r\n";
}

}  // namespace coracle::wire
