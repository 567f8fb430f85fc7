#include "engine/runtime/launch.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/child.hpp"
#include "engine/runtime/init.hpp"
#include "engine/runtime/mounts/root_file_system.hpp"
#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

constexpr std::array kNamespaces = {std::pair{std::string_view("pid"), CLONE_NEWPID},
                                    std::pair{std::string_view("network"), CLONE_NEWNET},
                                    std::pair{std::string_view("mount"), CLONE_NEWNS},
                                    std::pair{std::string_view("ipc"), CLONE_NEWIPC},
                                    std::pair{std::string_view("uts"), CLONE_NEWUTS},
                                    std::pair{std::string_view("user"), CLONE_NEWUSER},
                                    std::pair{std::string_view("cgroup"), CLONE_NEWCGROUP}};

Result<int> type_of(const std::string& name) {
  for (const auto& [known, type] : kNamespaces)
    if (name == known) return type;
  return fail(Errc::unsupported, "namespace {}: not supported", name);
}

// Sorts the spec's namespaces into those that clone3 makes and those that are entered.
Result<> plan_namespaces(const LaunchRequest& request, InitInput& in) {
  for (const auto& n : request.spec->linux.namespaces) {
    TRY(const int type, type_of(n.type));
    if (type == CLONE_NEWNET && request.netns >= 0) continue;
    if (n.path.empty()) {
      in.new_namespaces |= type;
      continue;
    }
    if (type == CLONE_NEWUSER)
      return fail(Errc::unsupported, "namespace user: entering {} is not supported", n.path);
    UniqueFd file(::open(n.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return sys_error("open the {} namespace {}", n.type, n.path);
    in.join.push_back({std::move(file), type, n.path});
  }
  if ((in.new_namespaces & CLONE_NEWNS) == 0)
    return fail(Errc::invalid_argument, "a container needs a mount namespace of its own");
  return {};
}

// Our own map, as the kernel shows it.
Result<std::vector<oci::IdMapping>> own_map(const char* file) {
  constexpr std::size_t kLimit = std::size_t{64} << 10;
  TRY(const auto text, read_file(join_path("/proc/self", file), kLimit));
  std::vector<oci::IdMapping> out;
  std::istringstream lines(text);
  for (oci::IdMapping m; lines >> m.container_id >> m.host_id >> m.size;) out.push_back(m);
  return out;
}

// The kernel takes a range only if one range of ours holds the whole of it: it is cut where ours
// end. See user_namespaces(7). What we do not have stays, for the kernel to refuse.
std::vector<oci::IdMapping> cut(const std::vector<oci::IdMapping>& wanted,
                                const std::vector<oci::IdMapping>& ours) {
  std::vector<oci::IdMapping> out;
  for (auto m : wanted) {
    while (m.size > 0) {
      std::uint32_t part = m.size;
      for (const auto& o : ours)
        if (m.host_id >= o.container_id && m.host_id - o.container_id < o.size)
          part = std::min(part, o.size - (m.host_id - o.container_id));
      out.push_back({m.container_id, m.host_id, part});
      m = {m.container_id + part, m.host_id + part, m.size - part};
    }
  }
  return out;
}

Result<> write_map(pid_t pid, const char* file, const std::vector<oci::IdMapping>& wanted) {
  TRY(const auto ours, own_map(file));
  std::string text;
  for (const auto& m : cut(wanted, ours))
    text += fmt::format("{} {} {}\n", m.container_id, m.host_id, m.size);
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  if (auto done = write_all(fd, text); !done)
    return std::unexpected(done.error().within("map ids: write {}", path));
  return {};
}

Result<> map_ids(const LaunchRequest& request, const Pidfd& child, const UniqueFd& go) {
  CHECK(write_map(child.pid(), "uid_map", request.spec->linux.uid_mappings));
  auto groups = write_map(child.pid(), "gid_map", request.spec->linux.gid_mappings);
  if (!groups && groups.error().sys == EPERM) {
    // Without privileges one may map one's own group, and only where setgroups(2) is off. See
    // user_namespaces(7).
    const UniqueFd deny(
        ::open(fmt::format("/proc/{}/setgroups", child.pid()).c_str(), O_WRONLY | O_CLOEXEC));
    if (deny && write_all(deny, "deny"))
      groups = write_map(child.pid(), "gid_map", request.spec->linux.gid_mappings);
  }
  CHECK(groups);
  return write_all(go, "m");
}

Result<std::vector<Pidfd>> hold(const std::vector<ProcessIdentity>& joined) {
  std::vector<Pidfd> out;
  for (const auto& who : joined) {
    auto process = Pidfd::open(who);
    if (!process)
      return fail(Errc::conflict, "the container whose namespaces are joined has ended");
    out.push_back(*std::move(process));
  }
  return out;
}

Result<> still_live(const std::vector<Pidfd>& joined) {
  for (const auto& p : joined)
    if (p.ended())
      return fail(Errc::conflict, "the container whose namespaces are joined has ended");
  return {};
}

// A child with a user namespace of its own is born in what it joins.
Intermediate plan_intermediate(InitInput& in) {
  Intermediate intermediate;
  const bool own_user = (in.new_namespaces & CLONE_NEWUSER) != 0;
  for (const auto& n : in.join)
    if (own_user || n.type == CLONE_NEWPID) intermediate.enter.push_back({n.file.get(), n.type});
  in.joined_before = own_user;
  if (own_user && in.request.netns >= 0)
    intermediate.enter.push_back({in.request.netns, CLONE_NEWNET});
  if (needs_preparing(in)) intermediate.prepare = [&in] { return prepare_in_intermediate(in); };
  return intermediate;
}

// The directory that the root file system is mounted on.
Result<std::string> root_path(const LaunchRequest& request) {
  const auto& path = request.spec->root.path;
  if (path.empty()) return fail(Errc::invalid_argument, "root.path is empty");
  const std::string absolute = path.starts_with('/') ? path : join_path(request.bundle, path);
  if (!request.root.type.empty()) CHECK(make_dirs(absolute));
  return absolute;
}

// A hook that is not run must not look as if it had been.
Result<> refuse_hooks(const oci::Spec& spec) {
  if (!spec.hooks) return {};
  const auto& h = *spec.hooks;
  for (const auto* list : {&h.prestart, &h.create_runtime, &h.create_container, &h.start_container,
                           &h.poststart, &h.poststop})
    if (!list->empty())
      return fail(Errc::unsupported, "hooks: {} is not run here", list->front().path);
  return {};
}

// Images that are mounted by fuse-overlayfs; its programs live outside of the container.
Result<> start_fuse_mounts(const Plan& plan, MadeBefore& out) {
  for (const auto& m : plan.mounts) {
    if (m.type != "fuse-overlayfs") continue;
    RootMount layers;
    layers.lower = m.layers();
    layers.fuse_program = m.source;
    TRY(out[m.destination], start_fuse_overlay(layers));
  }
  return {};
}

// The descriptors that came with "ready": the mount namespace, and the pty's master if any.
Result<> take_descriptors(std::vector<UniqueFd> fds, bool terminal, UniqueFd& mount_namespace,
                          UniqueFd& console) {
  if (fds.size() != (terminal ? 2U : 1U))
    return fail(Errc::internal, "the container's first process sent {} descriptors", fds.size());
  mount_namespace = std::move(fds[0]);
  if (terminal) console = std::move(fds[1]);
  return {};
}

bool joins_pids(const InitInput& in) {
  return std::ranges::any_of(in.join, [](const auto& n) { return n.type == CLONE_NEWPID; });
}

// The container's first process, set up, and the descriptors that came with its "ready".
struct Born {
  Pidfd init;
  std::vector<UniqueFd> fds;
};

// What the parent does while a child of ours sets itself up; then that it is ready.
Result<std::vector<UniqueFd>> attend(InitInput& in, const Pidfd& child, const UniqueFd& report,
                                     const UniqueFd& go, const Pidfd* init) {
  in.report.reset();
  in.go.reset();
  if ((in.new_namespaces & CLONE_NEWUSER) != 0) CHECK(map_ids(in.request, child, go));
  const auto& meanwhile = in.request.meanwhile;
  const auto aside = init != nullptr && meanwhile ? meanwhile(*init) : Result<>{};
  TRY(auto fds, await_ready(report));
  CHECK(aside);
  return fds;
}

Result<Born> clone(InitInput& in, const UniqueFd& report, const UniqueFd& go) {
  const auto intermediate = plan_intermediate(in);
  TRY(auto child, clone_child(static_cast<std::uint64_t>(in.new_namespaces), intermediate));
  if (!child) run_init(in);
  ChildGuard guard(*child);
  TRY(auto fds, attend(in, *child, report, go, &*child));
  guard.release();
  return Born{*std::move(child), std::move(fds)};
}

Result<Born> bear(InitInput& in, const UniqueFd& report, const UniqueFd& go) {
  TRY(const auto birth, Birth::make());
  const auto intermediate = plan_intermediate(in);
  TRY(const auto setter, clone_child(0, {}));
  if (!setter) run_setter(in, intermediate, birth);
  Pidfd init;
  ChildGuard guard(*setter);
  TRY(auto fds, attend(in, *setter, report, go, nullptr));
  guard.release();
  TRY(init, birth.child(*setter));
  guard.watch(init);
  if (in.request.meanwhile) CHECK(in.request.meanwhile(init));
  guard.release();
  return Born{std::move(init), std::move(fds)};
}

}  // namespace

Result<Launched> launch(const LaunchRequest& request) {
  const auto& spec = *request.spec;
  CHECK(refuse_hooks(spec));
  TRY(const auto plan, make_plan(spec));
  std::optional<SeccompFilter> filter;
  if (spec.linux.seccomp) {
    TRY(filter, seccomp_filter(*spec.linux.seccomp, request.seccomp_cache));
  }
  TRY(auto path, root_path(request));
  TRY(auto watch, ExecWatch::make());
  TRY(auto go, make_pipe());
  TRY(auto report, make_socket_pair(SOCK_SEQPACKET));
  InitInput in{.request = request,
               .plan = plan,
               .filter = filter ? &*filter : nullptr,
               .root_path = std::move(path),
               .fuse_root = {},
               .join = {},
               .go = std::move(go.read),
               .report = std::move(report.b),
               .watch = watch};
  TRY(const auto joined, hold(request.joined));
  CHECK(plan_namespaces(request, in));
  if (request.root.type == "fuse-overlayfs") {
    TRY(in.fuse_root, start_fuse_overlay(request.root));
  }
  CHECK(start_fuse_mounts(plan, in.mounts));
  CHECK(fail_point("launch.clone"));
  TRY(auto born, joins_pids(in) ? bear(in, report.a, go.write) : clone(in, report.a, go.write));
  ChildGuard guard(born.init);
  CHECK(still_live(joined));
  UniqueFd mount_namespace, console;
  CHECK(take_descriptors(std::move(born.fds), spec.process.terminal, mount_namespace, console));
  CHECK(fail_point("launch.ready"));
  guard.release();
  return Launched(std::move(born.init), std::move(console), std::move(go.write), std::move(watch),
                  std::move(mount_namespace), std::move(filter));
}

Result<> Launched::start() {
  CHECK(fail_point("launch.start"));
  if (auto sent = write_all(go_, "g"); !sent)
    return std::unexpected(sent.error().within("start the container's first process"));
  go_.reset();
  const auto watch = std::move(watch_);  // of no more use then
  return watch.await(init_);
}

}  // namespace coracle::runtime
