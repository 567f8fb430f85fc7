#include "engine/request/validate.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include <string.h>

#include "engine/request/log_options.hpp"
#include "engine/request/ports.hpp"
#include "engine/spec/capabilities.hpp"
#include "engine/spec/cdi.hpp"
#include "engine/spec/keep_id.hpp"
#include "engine/spec/modes.hpp"
#include "engine/spec/security_options.hpp"

namespace coracle {
namespace {

template <class... Args>
std::unexpected<Error> bad(fmt::format_string<Args...> text, Args&&... args) {
  return fail(Errc::invalid_argument, text, std::forward<Args>(args)...);
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::ranges::any_of(words, [&](const char* w) { return text == w; });
}

Result<> check_restart(const HostConfig& h) {
  const auto& p = h.restart_policy;
  const auto kind = parse_restart_kind(p.name);
  if (!kind)
    return bad(
        "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', "
        "'on-failure', or 'unless-stopped'",
        p.name);
  if (p.maximum_retry_count < 0)
    return bad("invalid restart policy: maximum retry count cannot be negative");
  if (p.maximum_retry_count > 0 && kind != RestartKind::on_failure)
    return bad("invalid restart policy: maximum retry count can only be used with 'on-failure'");
  if (h.auto_remove && kind != RestartKind::no)
    return bad("can't create 'AutoRemove' container with restart policy");
  return {};
}

Result<> check_memory(const Resources& r) {
  if (r.memory != 0 && r.memory < std::int64_t{6} << 20)
    return bad("Minimum memory limit allowed is 6MB");
  if (r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory)
    return bad("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (r.memory == 0 && r.memory_swap > 0)
    return bad("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (r.memory_swappiness && (*r.memory_swappiness < -1 || *r.memory_swappiness > 100))
    return bad("Invalid value: {}, valid memory swappiness range is 0-100", *r.memory_swappiness);
  if (r.memory_reservation != 0 && r.memory_reservation < std::int64_t{6} << 20)
    return bad("Minimum memory reservation allowed is 6MB");
  if (r.memory > 0 && r.memory_reservation > r.memory)
    return bad("Minimum memory limit can not be less than memory reservation limit, see usage");
  return {};
}

Result<> check_cpu(const Resources& r, std::int32_t cpus) {
  if (r.cpu_shares < 0)
    return bad("invalid CPU shares ({}): value must be a positive integer", r.cpu_shares);
  if (r.nano_cpus > 0 && r.cpu_period > 0)
    return bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (r.nano_cpus > 0 && r.cpu_quota > 0)
    return bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (r.nano_cpus < 0 || r.nano_cpus > std::int64_t{cpus} * 1'000'000'000)
    return bad("range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available", cpus,
               cpus);
  if (r.cpu_period != 0 && (r.cpu_period < 1000 || r.cpu_period > 1'000'000))
    return bad(
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
        "1000000)");
  if (r.cpu_quota > 0 && r.cpu_quota < 1000)
    return bad("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (r.blkio_weight != 0 && (r.blkio_weight < 10 || r.blkio_weight > 1000))
    return bad("Range of blkio weight is from 10 to 1000");
  return {};
}

Result<> check_resources(const Resources& r, std::int32_t cpus) {
  CHECK(check_memory(r));
  CHECK(check_cpu(r, cpus));
  for (const auto& u : r.ulimits) {
    if (u.hard != -1 && (u.soft > u.hard || u.soft == -1))
      return bad("ulimit soft limit must be less than or equal to hard limit: {} > {}", u.soft,
                 u.hard);
  }
  for (const auto& d : r.devices) {
    if (!std::ranges::all_of(d.cgroup_permissions,
                             [](char c) { return c == 'r' || c == 'w' || c == 'm'; }))
      return bad("invalid device mode: {}", d.cgroup_permissions);
  }
  for (const auto& d : r.device_requests) {
    if (d.driver == "cdi") {
      if (d.device_ids.empty()) return bad("a CDI device request names no device");
      for (const auto& id : d.device_ids) {
        if (!cdi::is_qualified_name(id)) return bad("invalid CDI device name {}", id);
      }
      continue;
    }
    std::string wanted;
    for (const auto& set : d.capabilities) {
      for (const auto& one : set) wanted += (wanted.empty() ? "" : " ") + one;
    }
    return fail(Errc::unsupported,
                "could not select device driver \"{}\" with capabilities: [[{}]]", d.driver,
                wanted);
  }
  return {};
}

Result<> check_health(const std::optional<HealthConfig>& asked) {
  if (!asked) return {};
  const auto& h = *asked;
  constexpr std::int64_t kLeast_ns = 1'000'000;
  const auto short_time = [](std::int64_t ns) { return ns != 0 && ns < kLeast_ns; };
  if (short_time(h.interval_ns)) return bad("Interval in Healthcheck cannot be less than 1ms");
  if (short_time(h.timeout_ns)) return bad("Timeout in Healthcheck cannot be less than 1ms");
  if (h.retries < 0) return bad("Retries in Healthcheck cannot be negative");
  if (short_time(h.start_period_ns))
    return bad("StartPeriod in Healthcheck cannot be less than 1ms");
  if (short_time(h.start_interval_ns))
    return bad("StartInterval in Healthcheck cannot be less than 1ms");
  return {};
}

Result<> check_container_network(const ContainerConfig& c, const HostConfig& h) {
  if (network_mode(h).ref.empty())
    return bad("invalid network mode: a container must be named: \"{}\"", h.network_mode);
  if (!c.hostname.empty()) return bad("conflicting options: hostname and the network mode");
  if (!h.dns.empty()) return bad("conflicting options: dns and the network mode");
  if (!h.extra_hosts.empty())
    return bad("conflicting options: custom host-to-IP mapping and the network mode");
  if (!h.port_bindings.empty() || h.publish_all_ports)
    return bad("conflicting options: port publishing and the container type network mode");
  if (!c.exposed_ports.empty())
    return bad("conflicting options: port exposing and the container type network mode");
  return {};
}

Result<> check_network(const ContainerConfig& c, const HostConfig& h) {
  if (network_mode(h).is_container()) CHECK(check_container_network(c, h));
  for (const auto& [port, nothing] : c.exposed_ports) {
    if (auto key = parse_port_key(port); !key) return std::unexpected(key.error());
  }
  if (auto ports = port_requests(h, c); !ports) return std::unexpected(ports.error());
  for (const auto& extra : h.extra_hosts) {
    const auto at = extra.find_first_of(":=");
    if (at == std::string::npos || at == 0 || at + 1 == extra.size())
      return bad("bad format for add-host: \"{}\"", extra);
  }
  return {};
}

Result<> check_modes(const ContainerConfig& c, const HostConfig& h) {
  if (!is_one_of(h.isolation, {"", "default"}))
    return bad("invalid isolation '{}' on linux", h.isolation);
  CHECK(parse_userns_mode(h.userns_mode));
  if (!parse_pid_mode(h.pid_mode)) return bad("invalid PID mode: {}", h.pid_mode);
  if (!is_one_of(h.uts_mode, {"", "host"})) return bad("invalid UTS mode: {}", h.uts_mode);
  if (has_host_uts(h) && !c.hostname.empty())
    return bad("conflicting options: hostname and the UTS mode");
  if (!is_one_of(h.cgroupns_mode, {"", "host", "private"}))
    return bad("invalid cgroup namespace mode: {}", h.cgroupns_mode);
  if (!parse_ipc_mode(h.ipc_mode)) return bad("invalid IPC mode: {}", h.ipc_mode);
  if (!is_one_of(h.runtime, {"", "coracle", "runc", "crun", "io.containerd.runc.v2"}))
    return bad("unknown or invalid runtime name: {}", h.runtime);
  if (!h.storage_opt.empty())
    return fail(Errc::unsupported,
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, "
                "which needs root");
  return {};
}

}  // namespace

Result<> validate(const ContainerConfig& c, const HostConfig& h, std::int32_t cpus) {
  CHECK(check_restart(h));
  CHECK(check_health(c.healthcheck));
  CHECK(check_resources(h.resources, cpus));
  CHECK(check_log(h.log_config));
  CHECK(check_network(c, h));
  CHECK(check_modes(c, h));
  if (h.annotations.contains(""))
    return bad("invalid Annotations: the empty string is not permitted as an annotation key");
  if (h.shm_size < 0) return bad("SHM size can not be less than 0");
  if (h.oom_score_adj < -1000 || h.oom_score_adj > 1000)
    return bad("Invalid value {}, range for oom score adj is [-1000, 1000]", h.oom_score_adj);
  if (auto signal = parse_signal(c.stop_signal, SIGTERM); !signal)
    return std::unexpected(signal.error());
  if (!c.working_dir.empty() && !c.working_dir.starts_with('/'))
    return bad("the working directory '{}' is invalid, it needs to be an absolute path",
               c.working_dir);
  for (const auto& variable : c.env) {
    if (variable.empty() || variable[0] == '=')
      return bad("invalid environment variable: {}", variable);
  }
  if (auto security = parse_security_options(h.security_opt); !security)
    return std::unexpected(security.error());
  if (auto caps = container_capabilities(h); !caps) return std::unexpected(caps.error());
  return {};
}

std::vector<std::string> discard_limits(HostConfig& host) {
  auto& r = host.resources;
  std::vector<std::string> warnings;
  const auto drop = [&](auto& value, const char* what) {
    if (value == std::decay_t<decltype(value)>{}) return;
    value = {};
    warnings.push_back(
        fmt::format("This host gives coracle no cgroup of its own: {} discarded.", what));
  };
  drop(r.memory, "the memory limit is");
  r.memory_swap = 0;
  drop(r.memory_reservation, "the memory reservation is");
  if (r.memory_swappiness && *r.memory_swappiness < 0) r.memory_swappiness.reset();
  drop(r.memory_swappiness, "the memory swappiness is");
  drop(r.nano_cpus, "the CPU limit is");
  drop(r.cpu_shares, "the CPU shares are");
  drop(r.cpu_period, "the CPU CFS period is");
  drop(r.cpu_quota, "the CPU CFS quota is");
  drop(r.cpu_realtime_period, "the CPU real-time period is");
  drop(r.cpu_realtime_runtime, "the CPU real-time runtime is");
  drop(r.cpuset_cpus, "the cpuset is");
  drop(r.cpuset_mems, "the cpuset's memory nodes are");
  if (r.pids_limit && *r.pids_limit <= 0) r.pids_limit.reset();
  drop(r.pids_limit, "the PIDs limit is");
  drop(r.blkio_weight, "the block I/O weight is");
  const bool throttled = !r.blkio_weight_device.empty() || !r.read_bps.empty() ||
                         !r.write_bps.empty() || !r.read_iops.empty() || !r.write_iops.empty();
  if (throttled) {
    warnings.emplace_back(
        "This host gives coracle no cgroup of its own: the block I/O limits are discarded.");
    r.blkio_weight_device.clear();
    r.read_bps.clear();
    r.write_bps.clear();
    r.read_iops.clear();
    r.write_iops.clear();
  }
  if (r.oom_kill_disable.value_or(false)) drop(r.oom_kill_disable, "OomKillDisable is");
  if (!r.cgroup_parent.empty()) drop(r.cgroup_parent, "the cgroup parent is");
  return warnings;
}

std::vector<std::string> other_warnings(const ContainerConfig& /*config*/, const HostConfig& host) {
  std::vector<std::string> warnings;
  const bool published = !host.port_bindings.empty() || host.publish_all_ports;
  if (network_mode(host).is_host() && published)
    warnings.emplace_back("Published ports are discarded when using host network mode");
  if (!host.resources.device_cgroup_rules.empty())
    warnings.emplace_back("The device cgroup rules have no effect: they need root");
  const auto& devices = host.resources.devices;
  if (std::ranges::any_of(devices, [](const auto& d) {
        return !d.cgroup_permissions.empty() &&
               (d.cgroup_permissions.find('r') == std::string::npos ||
                d.cgroup_permissions.find('w') == std::string::npos);
      }))
    warnings.emplace_back(
        "The permissions of a device cannot be limited without root: what this user may do with "
        "it the container may do");
  return warnings;
}

Result<int> parse_signal(const std::string& text, int fallback) {
  if (text.empty()) return fallback;
  int number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec == std::errc{} && end == text.data() + text.size()) {
    if (number > 0 && number <= SIGRTMAX) return number;
    return bad("Invalid signal: {}", text);
  }
  std::string name;
  for (const char c : text) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.starts_with("SIG")) name = name.substr(3);
  for (int s = 1; s < SIGRTMIN; ++s) {
    const char* known = ::sigabbrev_np(s);
    if (known != nullptr && name == known) return s;
  }
  if (name == "RTMIN") return SIGRTMIN;
  if (name == "RTMAX") return SIGRTMAX;
  const bool up = name.starts_with("RTMIN+");
  if (up || name.starts_with("RTMAX-")) {
    const int offset = std::atoi(name.c_str() + 6);
    const int s = up ? SIGRTMIN + offset : SIGRTMAX - offset;
    if (offset >= 0 && s >= SIGRTMIN && s <= SIGRTMAX) return s;
  }
  return bad("Invalid signal: {}", text);
}

}  // namespace coracle
