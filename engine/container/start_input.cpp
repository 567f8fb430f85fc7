#include "engine/container/start_input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "engine/container/host_devices.hpp"
#include "engine/container/mount_sources.hpp"
#include "engine/spec/security_options.hpp"

namespace coracle {
namespace {

// It is opened by the monitor, when it is mounted; here only for the error.
Result<> check_subpath(const std::string& mountpoint, const std::string& path) {
  TRY(const auto root, open_dir(mountpoint));
  const auto inside = open_in_root(root, path, O_PATH);
  if (!inside && inside.error().code == Errc::not_found)
    return fail(Errc::not_found, "cannot access path {}/{}: no such file or directory", mountpoint,
                path);
  if (!inside)
    return std::unexpected(inside.error().within("cannot access path {}/{}", mountpoint, path));
  return {};
}

Result<> resolve_volume(const Parts& p, const MountRecord& m, ResolvedMount& out) {
  TRY(const auto volume, p.storage->find_volume(m.name));
  out.source = volume.mountpoint;
  for (auto& word : volume.attributes()) {
    if (word == "ro") {
      out.rw = false;
    } else {
      out.options.push_back(std::move(word));
    }
  }
  if (!m.subpath.empty()) CHECK(check_subpath(volume.mountpoint, m.subpath));
  return {};
}

// The layer's own directory is empty and stays on top: an overlay needs two.
Result<> resolve_image(const Parts& p, const MountRecord& m, ResolvedMount& out) {
  TRY(auto plan, p.storage->mount_plan(m.layer));
  out.type = plan.type;
  if (plan.type == "bind") {
    out.source = plan.lower.front();
    return {};
  }
  out.source = plan.type == "fuse-overlayfs" ? plan.program : plan.type;
  out.lower = std::move(plan.lower);
  if (!plan.upper.empty()) out.lower.insert(out.lower.begin(), plan.upper);
  return {};
}

Result<ResolvedMount> resolve(const Parts& p, const MountRecord& m) {
  ResolvedMount out;
  out.type = m.type;
  out.destination = m.destination;
  out.rw = m.rw;
  out.recursive = m.recursive;
  out.recursive_read_only = m.recursive_read_only;
  out.propagation = m.propagation;
  out.subpath = m.subpath;
  out.options = m.options;
  if (m.type == "bind")
    out.source = names_our_socket(p.config, m.source) ? socket_for_guests(p.config) : m.source;
  if (m.type == "volume") CHECK(resolve_volume(p, m, out));
  if (m.type == "image") CHECK(resolve_image(p, m, out));
  return out;
}

Result<std::vector<ResolvedDevice>> resolve_devices(const HostConfig& host) {
  std::vector<ResolvedDevice> out;
  if (host.privileged) {
    for (const auto& path : host_devices()) out.push_back({path, path, "rwm"});
  }
  for (const auto& d : host.resources.devices) {
    struct stat st {};
    if (::stat(d.path_on_host.c_str(), &st) != 0)
      return sys_error("error gathering device information while adding custom device \"{}\"",
                       d.path_on_host);
    const auto inside = d.path_in_container.empty() ? d.path_on_host : d.path_in_container;
    out.push_back({d.path_on_host, clean_path(inside),
                   d.cgroup_permissions.empty() ? "rwm" : d.cgroup_permissions});
  }
  return out;
}

// /proc/PID of another running container's first process; checked to be that process still.
Result<std::string> proc_of(const Parts& p, const std::string& ref, const char* what) {
  TRY(const auto other, p.table.find(ref));
  const auto* running = other->running();
  if (running == nullptr || !Pidfd::open(running->identity.init))
    return fail(Errc::conflict, "cannot join {} of a non running container: {}", what, other->id());
  return "/proc/" + std::to_string(running->identity.init.pid);
}

Result<> join_others(const Parts& p, const HostConfig& host, GenerateInput& in) {
  if (host.pid_mode.starts_with("container:")) {
    TRY(const auto proc, proc_of(p, host.pid_mode.substr(10), "PID"));
    in.pid_path = proc + "/ns/pid";
  }
  if (host.ipc_mode.starts_with("container:")) {
    TRY(const auto other, p.table.find(host.ipc_mode.substr(10)));
    if (other->record.host.ipc_mode != "shareable")
      return fail(Errc::conflict,
                  "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable "
                  "for the donor container)",
                  other->id());
    TRY(const auto proc, proc_of(p, other->id(), "IPC"));
    in.ipc_path = proc + "/ns/ipc";
    in.shm_path = proc + "/root/dev/shm";
  }
  return {};
}

Result<std::int64_t> parse_size(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  std::int64_t factor = 0;
  if (unit.empty() || unit == "b" || unit == "B") factor = 1;
  if (unit == "k" || unit == "K" || unit == "kb" || unit == "KB") factor = 1024;
  if (unit == "m" || unit == "M" || unit == "mb" || unit == "MB") factor = 1024 * 1024;
  if (unit == "g" || unit == "G" || unit == "gb" || unit == "GB") factor = 1024 * 1024 * 1024;
  if (ec != std::errc{} || factor == 0 || value < 0)
    return fail(Errc::invalid_argument, "invalid size: '{}'", text);
  return value * factor;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + ",") {
    if (c != ',') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  return words;
}

}  // namespace

Result<GenerateInput> generate_input(const Parts& p, const Container& c) {
  GenerateInput in;
  in.id = c.id();
  in.config = c.record.config;
  in.host = c.record.host;
  TRY(in.mounts, resolve_mounts(p, c));
  TRY(in.devices, resolve_devices(c.record.host));
  in.hosts_path = p.store.file(c.id(), "hosts");
  in.hostname_path = p.store.file(c.id(), "hostname");
  in.resolv_conf_path = p.store.file(c.id(), "resolv.conf");
  const auto& mode = c.record.host.network_mode;
  if (mode.starts_with("container:")) {
    const std::string other = mode.substr(10);
    in.hosts_path = p.store.file(other, "hosts");
    in.hostname_path = p.store.file(other, "hostname");
    in.resolv_conf_path = p.store.file(other, "resolv.conf");
  }
  in.network_host = mode == "host";
  in.network_joined = !in.network_host;
  CHECK(join_others(p, c.record.host, in));
  if (c.record.host.init.value_or(false)) {
    if (p.init_program.empty())
      return fail(Errc::unsupported, "--init: coracle-init is not installed beside coracled");
    in.init_program = p.init_program;
  }
  TRY(const auto security, parse_security_options(c.record.host.security_opt));
  const auto profile = security.seccomp.value_or("builtin");
  if (profile == "builtin") {
    in.seccomp_profile = c.record.host.privileged ? "" : std::string(default_seccomp_profile());
  } else if (profile != "unconfined") {
    in.seccomp_profile = profile;
  }
  in.target = p.host.seccomp;
  in.hard_limits = p.host.hard_limits;
  return in;
}

Result<std::vector<ResolvedMount>> resolve_mounts(const Parts& p, const Container& c) {
  std::vector<ResolvedMount> out;
  for (const auto& m : c.record.mounts) {
    TRY(auto resolved, resolve(p, m));
    out.push_back(std::move(resolved));
  }
  return out;
}

Result<UniqueFd> open_netns_of(const Parts& p, const std::string& id) {
  TRY(const auto proc, proc_of(p, id, "network namespace"));
  const std::string path = proc + "/ns/net";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  // Asked again after the opening: now the descriptor is surely that process's.
  TRY(const auto again, proc_of(p, id, "network namespace"));
  return fd;
}

Result<monitor::LogOptions> log_options(const ContainerRecord& record, const std::string& path) {
  monitor::LogOptions log;
  const auto& wanted = record.host.log_config;
  log.driver = wanted.type;
  if (log.driver == "json-file") log.path = path;
  for (const auto& [key, value] : wanted.config) {
    if (key == "max-size") {
      TRY(log.max_size, parse_size(value));
    } else if (key == "max-file") {
      log.max_file = std::atoi(value.c_str());
      if (log.max_file < 1) return fail(Errc::invalid_argument, "max-file cannot be less than 1");
    } else if (key == "labels") {
      for (const auto& label : words_of(value)) {
        const auto found = record.config.labels.find(label);
        if (found != record.config.labels.end()) log.attrs.push_back(label + "=" + found->second);
      }
    } else if (key == "env") {
      for (const auto& name : words_of(value)) {
        for (const auto& variable : record.config.env) {
          if (variable.starts_with(name + "=")) log.attrs.push_back(variable);
        }
      }
    }
  }
  return log;
}

Result<std::vector<std::uint8_t>> parse_detach_keys(const std::string& text) {
  std::vector<std::uint8_t> keys;
  for (const auto& word : words_of(text.empty() ? "ctrl-p,ctrl-q" : text)) {
    if (word.size() == 1) {
      keys.push_back(static_cast<std::uint8_t>(word[0]));
      continue;
    }
    const char c = word.size() == 6 && word.starts_with("ctrl-") ? word[5] : '\0';
    if (c >= 'a' && c <= 'z') {
      keys.push_back(static_cast<std::uint8_t>(c - 'a' + 1));
    } else if (c == '@' || (c >= '[' && c <= '_')) {
      keys.push_back(static_cast<std::uint8_t>(c == '@' ? 0 : c - '[' + 27));
    } else {
      return fail(Errc::invalid_argument, "Invalid detach keys ({}) provided", text);
    }
  }
  return keys;
}

}  // namespace coracle
