#include "engine/spec/generate.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "engine/base/path.hpp"
#include "engine/spec/modes.hpp"
#include "engine/spec/security_options.hpp"
#include "engine/spec/throttle.hpp"

namespace coracle {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kKeepGroups = "keep-groups";
constexpr const char* kInitInside = "/sbin/docker-init";
constexpr const char* kRootfs = "rootfs";  // below the bundle
constexpr std::int64_t kDefaultShmSize = std::int64_t{64} << 20;

const std::vector<std::string> kMaskedPaths = {"/proc/acpi",
                                               "/proc/asound",
                                               "/proc/interrupts",
                                               "/proc/kcore",
                                               "/proc/keys",
                                               "/proc/latency_stats",
                                               "/proc/sched_debug",
                                               "/proc/scsi",
                                               "/proc/timer_list",
                                               "/proc/timer_stats",
                                               "/sys/devices/virtual/powercap",
                                               "/sys/firmware"};
constexpr const char* kCpus = "/sys/devices/system/cpu";
const std::vector<std::string> kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"};

// ---- the process

std::string key_of(const std::string& variable) { return variable.substr(0, variable.find('=')); }

// Replaces variables by name and appends new ones; a name without "=" takes the variable away.
void merge_env(std::vector<std::string>& env, const std::vector<std::string>& over) {
  for (const auto& variable : over) {
    const auto key = key_of(variable);
    const auto found = std::ranges::find_if(env, [&](const auto& e) { return key_of(e) == key; });
    if (variable.find('=') == std::string::npos) {
      if (found != env.end()) env.erase(found);
    } else if (found != env.end()) {
      *found = variable;
    } else {
      env.push_back(variable);
    }
  }
}

std::vector<std::string> process_env(const GenerateInput& in) {
  std::vector<std::string> env = {std::string("PATH=") + kDefaultPath,
                                  "HOSTNAME=" + in.config.hostname};
  if (in.config.tty) env.emplace_back("TERM=xterm");
  merge_env(env, in.config.env);
  return env;
}

std::vector<std::string> process_args(const GenerateInput& in) {
  std::vector<std::string> args;
  if (!in.init_program.empty()) args = {kInitInside, "--"};
  for (const auto& list : {in.config.entrypoint, in.config.cmd}) {
    if (list) args.insert(args.end(), list->items.begin(), list->items.end());
  }
  return args;
}

std::optional<oci::Box> console_size(const std::vector<std::uint32_t>& size) {
  if (size.size() != 2 || (size[0] == 0 && size[1] == 0)) return std::nullopt;
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint16_t>::max();
  return oci::Box{static_cast<std::uint16_t>(std::min(size[0], kMost)),
                  static_cast<std::uint16_t>(std::min(size[1], kMost))};
}

Result<std::vector<oci::Rlimit>> rlimits(const GenerateInput& in,
                                         std::vector<std::string>& warnings) {
  std::vector<oci::Rlimit> out;
  for (const auto& u : in.host.resources.ulimits) {
    std::string type = "RLIMIT_";
    for (const char c : u.name)
      type += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    oci::Rlimit limit{type, static_cast<std::uint64_t>(u.hard), static_cast<std::uint64_t>(u.soft)};
    const auto ours = in.hard_limits.find(type);
    if (ours == in.hard_limits.end())
      return fail(Errc::invalid_argument, "invalid ulimit type: {}", u.name);
    if (limit.hard > ours->second) {
      warnings.push_back(fmt::format(
          "The hard limit {} of ulimit {} is above this user's own ({}): {} is used; an "
          "administrator can raise it in /etc/security/limits.conf",
          limit.hard == std::numeric_limits<std::uint64_t>::max() ? "unlimited"
                                                                  : std::to_string(limit.hard),
          u.name, ours->second, ours->second));
      limit.hard = ours->second;
    }
    limit.soft = std::min(limit.soft, limit.hard);
    out.push_back(std::move(limit));
  }
  return out;
}

Result<oci::User> process_user(const ContainerConfig& config, const HostConfig& host) {
  oci::User user;
  user.username = config.user.empty() ? "0" : config.user;
  for (const auto& group : host.group_add) {
    if (group == kKeepGroups) {
      user.keep_groups = true;
    } else {
      user.additional_groups.push_back(group);
    }
  }
  if (user.keep_groups && !user.additional_groups.empty())
    return fail(Errc::invalid_argument,
                "conflicting options: group-add {} cannot be combined with other groups: without "
                "root the groups of this user can be kept or replaced, not added to",
                kKeepGroups);
  return user;
}

Result<> fill_process(const GenerateInput& in, const SecurityOptions& security, oci::Spec& spec,
                      std::vector<std::string>& warnings) {
  auto& p = spec.process;
  p.terminal = in.config.tty;
  if (in.config.tty) p.console_size = console_size(in.host.console_size);
  TRY(p.user, process_user(in.config, in.host));
  p.user.additional_gids = in.more_gids;
  p.args = process_args(in);
  if (p.args.empty()) return fail(Errc::invalid_argument, "no command specified");
  p.env = process_env(in);
  p.cwd = in.config.working_dir.empty() ? "/" : clean_path(in.config.working_dir);
  TRY(const auto capabilities, container_capabilities(in.host));
  // As execve(2) leaves them: a process that is not root loses the effective ones by itself.
  p.capabilities = oci::Capabilities{capabilities, capabilities, {}, capabilities, {}};
  TRY(p.rlimits, rlimits(in, warnings));
  p.no_new_privileges = security.no_new_privileges;
  if (in.host.oom_score_adj < 0) {
    warnings.emplace_back(
        "Lowering the OOM score needs root on this host: the oom-score-adj is left at 0");
  } else if (in.host.oom_score_adj > 0) {
    p.oom_score_adj = in.host.oom_score_adj;
  }
  if (!in.host.privileged && security.apparmor != "unconfined")
    p.apparmor_profile = security.apparmor;
  return {};
}

// ---- namespaces

Result<> fill_namespaces(const GenerateInput& in, oci::Linux& linux) {
  linux.namespaces.push_back({"mount", ""});
  if (!in.uid_map.empty()) {
    linux.namespaces.push_back({"user", ""});
    linux.uid_mappings = in.uid_map;
    linux.gid_mappings = in.gid_map;
  }
  if (!in.network_host) linux.namespaces.push_back({"network", in.network_path});
  if (!has_host_uts(in.host)) linux.namespaces.push_back({"uts", in.uts_path});
  if (ipc_mode(in.host).kind != IpcMode::Kind::host)
    linux.namespaces.push_back({"ipc", in.ipc_path});
  if (pid_mode(in.host).kind != PidMode::Kind::host)
    linux.namespaces.push_back({"pid", in.pid_path});
  if (in.host.cgroupns_mode != "host") linux.namespaces.push_back({"cgroup", ""});
  return {};
}

Result<> fill_sysctls(const GenerateInput& in, oci::Linux& linux) {
  const bool own_network = !in.network_host && in.network_path.empty();
  // An ordinary user of the image may listen on port 80, as at Docker since 20.10.
  if (own_network) linux.sysctl["net.ipv4.ip_unprivileged_port_start"] = "0";
  // And send pings: of raw sockets it has no right, and in a user namespace below the network's root
  // has none either.
  if (own_network) {
    std::uint32_t ids = in.gids;
    for (const auto& m : in.gid_map) ids = std::max(ids, m.host_id + m.size);
    linux.sysctl["net.ipv4.ping_group_range"] = fmt::format("0 {}", ids - 1);
  }
  static const std::array kIpc = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                  "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                  "kernel.shmmni", "kernel.shm_rmid_forced"};
  for (const auto& [name, value] : in.host.sysctls) {
    if (name.starts_with("net.")) {
      if (in.network_host) {
        return fail(Errc::invalid_argument, "sysctl '{}' not allowed in host network namespace",
                    name);
      }
    } else if (std::ranges::find(kIpc, name) != kIpc.end() || name.starts_with("fs.mqueue.")) {
      if (ipc_mode(in.host).kind == IpcMode::Kind::host) {
        return fail(Errc::invalid_argument, "sysctl '{}' not allowed in host ipc namespace", name);
      }
    } else {
      return fail(Errc::invalid_argument, "sysctl '{}' is not in a separate kernel namespace",
                  name);
    }
    linux.sysctl[name] = value;
  }
  return {};
}

// ---- mounts

std::vector<oci::Mount> standard_mounts(const GenerateInput& in) {
  const bool privileged = in.host.privileged;
  std::vector<oci::Mount> out;
  if (pid_mode(in.host).kind == PidMode::Kind::host) {
    // A procfs of our own would need the pid namespace to be ours.
    out.push_back({"/proc", "bind", "/proc", {"rbind", "nosuid", "noexec", "nodev"}});
  } else {
    out.push_back({"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}});
  }
  out.push_back({"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}});
  out.push_back({"/dev/pts",
                 "devpts",
                 "devpts",
                 {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}});
  std::vector<std::string> sys = {"nosuid", "noexec", "nodev"};
  // A bind brings what the host has mounted below (cgroups, debugfs, fuse's control files).
  if (!privileged) sys.emplace_back(in.network_host ? "rro" : "ro");
  if (in.network_host) {
    sys.insert(sys.begin(), "rbind");
    out.push_back({"/sys", "bind", "/sys", std::move(sys)});
  } else {
    out.push_back({"/sys", "sysfs", "sysfs", std::move(sys)});
  }
  // Always read-only: it shows the engine's own cgroup, as long as a container has none.
  out.push_back(
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}});
  if (ipc_mode(in.host).kind == IpcMode::Kind::host) {
    // The runtime binds the host's, if there is one.
    out.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
    out.push_back({"/dev/shm", "bind", "/dev/shm", {"rbind", "nosuid", "noexec", "nodev"}});
  } else {
    out.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
    if (!in.shm_path.empty()) {
      out.push_back({"/dev/shm", "bind", in.shm_path, {"rbind", "nosuid", "noexec", "nodev"}});
    } else if (ipc_mode(in.host).kind != IpcMode::Kind::none) {
      const auto size = in.host.shm_size > 0 ? in.host.shm_size : kDefaultShmSize;
      out.push_back({"/dev/shm",
                     "tmpfs",
                     "shm",
                     {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", size)}});
    }
  }
  return out;
}

// Future options win over earlier ones of the same meaning: "exec" over "noexec", "size=" over
// "size=".
std::vector<std::string> merge_tmpfs_options(std::vector<std::string> options,
                                             const std::vector<std::string>& over) {
  static const std::vector<std::pair<std::string, std::string>> kOpposites = {
      {"exec", "noexec"}, {"suid", "nosuid"}, {"dev", "nodev"},
      {"rw", "ro"},       {"sync", "async"},  {"atime", "noatime"}};
  for (const auto& option : over) {
    std::string other;
    for (const auto& [a, b] : kOpposites) {
      if (option == a) other = b;
      if (option == b) other = a;
    }
    std::erase_if(options, [&](const auto& o) {
      const bool same_key = option.find('=') != std::string::npos && key_of(o) == key_of(option);
      return o == option || o == other || same_key;
    });
    options.push_back(option);
  }
  return options;
}

void raise_root_propagation(const std::string& propagation, oci::Linux& linux) {
  const bool is_shared = propagation == "shared" || propagation == "rshared";
  const bool is_slave = propagation == "slave" || propagation == "rslave";
  if (is_shared) linux.rootfs_propagation = "shared";
  if (is_slave && linux.rootfs_propagation != "shared") linux.rootfs_propagation = "rslave";
}

oci::Mount requested_mount(const ResolvedMount& m, oci::Linux& linux) {
  oci::Mount out{m.destination, m.type, m.source, {}};
  if (m.type == "tmpfs") {
    out.source = "tmpfs";
    out.options = merge_tmpfs_options({"noexec", "nosuid", "nodev"}, m.options);
    if (!m.rw) out.options = merge_tmpfs_options(std::move(out.options), {"ro"});
    return out;
  }
  if (!m.lower.empty()) {
    out.options = {"ro", "nodev"};
    for (const auto& layer : m.lower) out.options.push_back("lowerdir+=" + layer);
    if (!m.subpath.empty()) out.options.push_back("coracle.subpath=" + m.subpath);
    return out;
  }
  out.type = "bind";
  out.options.emplace_back(m.recursive ? "rbind" : "bind");
  if (m.rw) {
    out.options.emplace_back("rw");
  } else {
    out.options.emplace_back(m.recursive && m.recursive_read_only ? "rro" : "ro");
  }
  out.options.push_back(m.propagation.empty() ? "rprivate" : m.propagation);
  out.options.insert(out.options.end(), m.options.begin(), m.options.end());
  if (!m.subpath.empty()) out.options.push_back("coracle.subpath=" + m.subpath);
  raise_root_propagation(m.propagation, linux);
  return out;
}

std::size_t depth(const std::string& path) {
  return static_cast<std::size_t>(std::ranges::count(path, '/'));
}

void fill_mounts(const GenerateInput& in, oci::Spec& spec) {
  const auto wanted = [&](const std::string& destination) {
    return std::ranges::any_of(in.mounts,
                               [&](const auto& m) { return m.destination == destination; });
  };
  // What the request mounts takes the place of a standard mount; a /dev of its own, of all in it.
  const bool own_dev = wanted("/dev");
  std::vector<oci::Mount> mounts;
  for (auto& m : standard_mounts(in)) {
    if (wanted(m.destination) || (own_dev && m.destination.starts_with("/dev/"))) continue;
    mounts.push_back(std::move(m));
  }
  std::vector<oci::Mount> requested;
  const char* mode = in.host.readonly_rootfs ? "ro" : "rw";
  for (const auto& [path, source] :
       {std::pair{"/etc/resolv.conf", &in.resolv_conf_path},
        std::pair{"/etc/hostname", &in.hostname_path}, std::pair{"/etc/hosts", &in.hosts_path}}) {
    if (!source->empty() && !wanted(path))
      requested.push_back({path, "bind", *source, {"bind", mode, "rprivate"}});
  }
  for (const auto& m : in.mounts) requested.push_back(requested_mount(m, spec.linux));
  // Shallow ones first, so that none hides another; in the order of the request otherwise.
  std::ranges::stable_sort(requested, [](const auto& a, const auto& b) {
    return depth(a.destination) < depth(b.destination);
  });
  std::ranges::move(requested, std::back_inserter(mounts));
  mounts.insert(mounts.end(), in.more_mounts.begin(), in.more_mounts.end());
  for (const auto& d : in.devices) {
    const bool writable = d.permissions.empty() || d.permissions.find('w') != std::string::npos;
    mounts.push_back({d.container_path,
                      "bind",
                      d.host_path,
                      {"bind", "nosuid", "noexec", writable ? "rw" : "ro", "rprivate"}});
  }
  spec.mounts = std::move(mounts);
}

// ---- what is masked, what is filtered

void fill_paths(const GenerateInput& in, oci::Linux& linux) {
  auto hidden = hidden_paths(in.host);
  linux.masked_paths = std::move(hidden.masked);
  linux.readonly_paths = std::move(hidden.read_only);
}

Result<> fill_seccomp(const GenerateInput& in, oci::Spec& spec) {
  if (in.seccomp_profile.empty()) return {};
  auto target = in.target;
  const auto& bounding = spec.process.capabilities->bounding;
  target.capabilities = {bounding.begin(), bounding.end()};
  TRY(spec.linux.seccomp, resolve_seccomp_profile(in.seccomp_profile, target));
  return {};
}

}  // namespace

HiddenPaths hidden_paths(const HostConfig& host) {
  // What this host has does not change while we live.
  static const auto kMasked = [] {
    auto all = kMaskedPaths;
    std::ranges::move(throttle_counters(kCpus), std::back_inserter(all));
    return all;
  }();
  HiddenPaths out;
  const auto security = parse_security_options(host.security_opt);
  if (host.privileged || (security && security->system_paths_unconfined)) return out;
  out.masked = host.masked_paths.value_or(kMasked);
  out.read_only = host.readonly_paths.value_or(kReadonlyPaths);
  return out;
}

Result<Generated> generate(const GenerateInput& in) {
  Generated out;
  auto& spec = out.spec;
  TRY(const auto security, parse_security_options(in.host.security_opt));
  if (security.writable_cgroups)
    return fail(Errc::unsupported,
                "--security-opt writable-cgroups: containers have no cgroup of their own so far, "
                "and the one they would write to is the engine's");
  CHECK(fill_process(in, security, spec, out.warnings));
  spec.root = {kRootfs, in.host.readonly_rootfs};
  if (!has_host_uts(in.host) && in.uts_path.empty()) {
    spec.hostname = in.config.hostname;
    spec.domainname = in.config.domainname;
  }
  spec.annotations = in.host.annotations;
  CHECK(fill_namespaces(in, spec.linux));
  CHECK(fill_sysctls(in, spec.linux));
  fill_mounts(in, spec);
  fill_paths(in, spec.linux);
  CHECK(fill_seccomp(in, spec));
  return out;
}

Result<oci::Process> exec_process(const oci::Spec& container, const ExecRequest& request) {
  if (request.cmd.items.empty()) return fail(Errc::invalid_argument, "No exec command specified");
  oci::Process p = container.process;
  p.args = request.cmd.items;
  p.terminal = request.tty;
  p.console_size = request.tty ? console_size(request.console_size) : std::nullopt;
  const bool has_term =
      std::ranges::any_of(p.env, [](const auto& e) { return key_of(e) == "TERM"; });
  if (request.tty && !has_term) p.env.emplace_back("TERM=xterm");
  merge_env(p.env, request.env);
  if (!request.user.empty()) {
    p.user = {};
    p.user.username = request.user;
    p.user.additional_gids = container.process.user.additional_gids;
    p.user.additional_groups = container.process.user.additional_groups;
    p.user.keep_groups = container.process.user.keep_groups;
  }
  if (!request.working_dir.empty()) p.cwd = clean_path(request.working_dir);
  if (request.privileged) {
    const auto& all = all_capabilities();
    p.capabilities = oci::Capabilities{all, all, {}, all, {}};
    p.apparmor_profile.clear();
  }
  return p;
}

}  // namespace coracle
