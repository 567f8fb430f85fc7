#include "engine/bundle/spec_input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include <string.h>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "engine/bundle/host_devices.hpp"
#include "engine/bundle/mount_sources.hpp"
#include "engine/network/links.hpp"
#include "engine/spec/modes.hpp"
#include "engine/spec/security_options.hpp"

namespace coracle {
namespace {

// It is opened by the monitor, when it is mounted; here only for the error.
Result<> check_subpath(const std::string& mountpoint, const std::string& path) {
  TRY(const auto root, open_dir(mountpoint));
  const auto inside = open_beneath(root, path);
  if (!inside && inside.error().code == Errc::not_found)
    return fail_as(ENOENT, "cannot access path {}/{}: no such file or directory", mountpoint, path);
  if (!inside)
    return std::unexpected(inside.error().within("cannot access path {}/{}", mountpoint, path));
  return {};
}

Result<> resolve_volume(const storage::Storage& storage, const MountRecord& m, ResolvedMount& out) {
  TRY(const auto volume, storage.find_volume(m.name));
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
Result<> resolve_image(const storage::Storage& storage, const MountRecord& m, ResolvedMount& out) {
  TRY(auto plan, storage.mount_plan(m.layer));
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

Result<ResolvedMount> resolve(const EngineConfig& config, const storage::Storage& storage,
                              const MountRecord& m) {
  ResolvedMount out;
  out.type = name_of(m.type);
  out.destination = m.destination;
  out.rw = m.rw;
  out.recursive = m.recursive;
  out.recursive_read_only = m.recursive_read_only;
  out.propagation = m.propagation;
  out.subpath = m.subpath;
  out.options = m.options;
  if (m.type == MountType::bind)
    out.source = names_our_socket(config, m.source) ? socket_for_guests(config) : m.source;
  if (m.type == MountType::volume) CHECK(resolve_volume(storage, m, out));
  if (m.type == MountType::image) CHECK(resolve_image(storage, m, out));
  return out;
}

// A link is followed; a directory stands for all nodes below it.
Result<> add_device(const DeviceMapping& d, std::vector<ResolvedDevice>& out) {
  const auto refuse = [&](const std::string& why, int sys = 0) {
    return std::unexpected(Error{
        Errc::internal, sys,
        fmt::format("error gathering device information while adding custom device \"{}\": {}",
                    d.path_on_host, why)});
  };
  struct stat st {};
  if (::stat(d.path_on_host.c_str(), &st) != 0) return refuse(errno_text(errno), errno);
  const auto inside =
      clean_path(d.path_in_container.empty() ? d.path_on_host : d.path_in_container);
  const auto permissions = d.cgroup_permissions.empty() ? "rwm" : d.cgroup_permissions;
  if (!S_ISDIR(st.st_mode)) {
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return refuse("not a device node");
    out.push_back({d.path_on_host, inside, permissions});
    return {};
  }
  const auto directory = clean_path(d.path_on_host);
  for (const auto& path : devices_below(directory))
    out.push_back({path, inside + path.substr(directory.size()), permissions});
  return {};
}

Result<std::vector<ResolvedDevice>> resolve_devices(const HostConfig& host) {
  std::vector<ResolvedDevice> out;
  if (host.privileged) {
    for (const auto& path : host_devices()) out.push_back({path, path, "rwm"});
  }
  for (const auto& d : host.resources.devices) CHECK(add_device(d, out));
  return out;
}

// Another container's first process while it runs, and /proc/PID, by which its namespaces are
// named. Whatever is wrong with the other one, the start is what failed (500), as at Docker.
struct Other {
  ContainerPtr container;
  ProcessIdentity process;
  [[nodiscard]] std::string proc() const { return "/proc/" + std::to_string(process.pid); }
};
Result<Other> running_other(const ContainerTable& containers, const std::string& ref,
                            const char* what) {
  const auto found = containers.find(ref);
  if (!found)
    return fail(Errc::internal, "failed to join {} namespace: {}", what, found.error().message);
  auto* running = (*found)->running();
  if (running == nullptr || !Pidfd::open(running->identity.init))
    return fail(Errc::internal, "failed to join {} namespace: container {} is not running", what,
                (*found)->id());
  return Other{*found, running->identity.init};
}

Result<> join_pids(const ContainerTable& containers, GenerateInput& in) {
  const auto mode = pid_mode(in.host);
  if (mode.kind != PidMode::Kind::container) return {};
  TRY(const auto other, running_other(containers, mode.ref, "PID"));
  const auto& theirs = other.container->record.host;
  if (pid_mode(theirs).kind == PidMode::Kind::host) {
    in.host.pid_mode = theirs.pid_mode;  // the host's own, which cannot be entered, and need not
    return {};
  }
  in.pid_path = other.proc() + "/ns/pid";
  in.joined.push_back(other.process);
  return {};
}

Result<> join_ipc(const ContainerTable& containers, GenerateInput& in) {
  using Kind = IpcMode::Kind;
  const auto mode = ipc_mode(in.host);
  if (mode.kind != Kind::container) return {};
  TRY(const auto other, running_other(containers, mode.ref, "IPC"));
  const auto& theirs = other.container->record.host;
  const auto kind = ipc_mode(theirs).kind;
  if (kind == Kind::host) {
    in.host.ipc_mode = theirs.ipc_mode;
    return {};
  }
  if (kind == Kind::own || kind == Kind::none)
    return fail(Errc::internal,
                "failed to join IPC namespace: container {}: non-shareable IPC (hint: use "
                "IpcMode:shareable for the donor container)",
                mode.ref);
  in.ipc_path = other.proc() + "/ns/ipc";
  in.shm_path = other.proc() + "/root/dev/shm";
  in.joined.push_back(other.process);
  return {};
}

}  // namespace

Result<GenerateInput> generate_input(const Context& context, const Container& c) {
  GenerateInput in;
  in.id = c.id();
  in.config = c.record.config;
  in.host = c.record.host;
  in.gids = context.host.gids;
  TRY(in.mounts, resolve_mounts(context.config, *context.storage, c));
  TRY(in.devices, resolve_devices(c.record.host));
  const auto mode = network_mode(c.record.host);
  if (mode.is_container()) {
    // It need not have been there when the container was created.
    TRY(const auto other, context.table.find(mode.ref));
    if (other->id() == c.id()) return fail(Errc::invalid_argument, "cannot join own network");
    in.config.hostname = other->record.config.hostname;
  }
  TRY(const auto etc, etc_paths(context.store, context.table, c));
  in.hosts_path = etc.hosts;
  in.hostname_path = etc.hostname;
  in.resolv_conf_path = etc.resolv_conf;
  in.network_host = mode.is_host();
  in.network_joined = !in.network_host;
  CHECK(join_pids(context.table, in));
  CHECK(join_ipc(context.table, in));
  TRY(auto links, link_env(context.table, c));
  in.config.env.insert(in.config.env.begin(), links.begin(), links.end());
  if (c.record.host.init.value_or(false)) {
    if (context.init_program.empty())
      return fail(Errc::unsupported, "--init: coracle-init is not installed beside coracled");
    in.init_program = context.init_program;
  }
  TRY(const auto security, parse_security_options(c.record.host.security_opt));
  const auto profile = security.seccomp.value_or("builtin");
  if (profile == "builtin") {
    in.seccomp_profile = c.record.host.privileged ? "" : std::string(default_seccomp_profile());
  } else if (profile != "unconfined") {
    in.seccomp_profile = profile;
  }
  in.target = context.host.seccomp;
  in.hard_limits = context.host.hard_limits;
  return in;
}

Result<EtcPaths> etc_paths(const Store& store, const ContainerTable& containers,
                           const Container& c) {
  std::string owner = c.id();
  if (const auto mode = network_mode(c.record.host); mode.is_container()) {
    TRY(const auto other, containers.find(mode.ref));
    owner = other->id();
  }
  return EtcPaths{store.file(owner, "hosts"), store.file(owner, "hostname"),
                  store.file(owner, "resolv.conf")};
}

Result<std::vector<ResolvedMount>> resolve_mounts(const EngineConfig& config,
                                                  const storage::Storage& storage,
                                                  const Container& c) {
  std::vector<ResolvedMount> out;
  for (const auto& m : c.record.mounts) {
    TRY(auto resolved, resolve(config, storage, m));
    out.push_back(std::move(resolved));
  }
  return out;
}

}  // namespace coracle
