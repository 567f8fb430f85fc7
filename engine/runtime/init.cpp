#include "engine/runtime/init.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/base/path.hpp"
#include "engine/runtime/exec_program.hpp"
#include "engine/runtime/foreign_procfs.hpp"
#include "engine/runtime/mounts/docker_files.hpp"
#include "engine/runtime/mounts/root_file_system.hpp"
#include "engine/runtime/mounts/rootfs.hpp"
#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

constexpr const char* kDockerInit = "/sbin/docker-init";

bool has(int flags, int one) { return (flags & one) != 0; }

// The parent's byte. Without it the parent is gone, and so are we.
void await(const UniqueFd& go, char expected) {
  char byte = 0;
  ssize_t n = 0;
  do {
    n = ::read(go.get(), &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1 || byte != expected) ::_exit(0);
}

Result<> close_foreign_descriptors(const InitInput& in) {
  std::vector<int> keep = {in.go.get(),         in.report.get(),     in.request.netns,
                           in.fuse_root.get(),  in.request.stdio.in, in.request.stdio.out,
                           in.request.stdio.err};
  for (const auto& [destination, mount] : in.mounts) keep.push_back(mount.get());
  for (const auto& n : in.join) keep.push_back(n.file.get());
  return close_all_but(std::move(keep));
}

Result<> become_root_of_user_namespace(const InitInput& in) {
  if (!has(in.new_namespaces, CLONE_NEWUSER)) return {};
  await(in.go, 'm');
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return sys_error("become root of the new user namespace");
  return {};
}

bool joins_network(const InitInput& in) {
  return in.request.netns >= 0 ||
         std::ranges::any_of(in.join, [](const auto& n) { return n.type == CLONE_NEWNET; });
}

// With a network that was entered before the clone the child has no rights over it.
bool has_outer_network(const InitInput& in) { return in.joined_before && joins_network(in); }

Result<> enter_namespaces(const InitInput& in) {
  if (in.joined_before) return {};
  if (in.request.netns >= 0 && ::setns(in.request.netns, CLONE_NEWNET) != 0)
    return sys_error("enter the network namespace");
  for (const auto& n : in.join) {
    if (n.type == CLONE_NEWPID) continue;  // the parent did, before the clone
    if (::setns(n.file.get(), n.type) != 0) return sys_error("enter the namespace {}", n.path);
  }
  return {};
}

Result<> raise_loopback(const InitInput& in) {
  if (!has(in.new_namespaces, CLONE_NEWNET)) return {};
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP;
  if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return sys_error("raise the loopback interface");
  return {};
}

Result<> name_host(const InitInput& in) {
  const auto& spec = *in.request.spec;
  if (!has(in.new_namespaces, CLONE_NEWUTS)) return {};
  if (!spec.hostname.empty() && ::sethostname(spec.hostname.data(), spec.hostname.size()) != 0)
    return sys_error("set the host name {}", spec.hostname);
  if (!spec.domainname.empty() &&
      ::setdomainname(spec.domainname.data(), spec.domainname.size()) != 0)
    return sys_error("set the domain name {}", spec.domainname);
  return {};
}

// A procfs of our own, which no mount of the container covers; where a new one is refused (the
// host's pid namespace), the host's, checked to be one.
Result<UniqueFd> open_procfs() {
  auto own = make_file_system("proc", "proc", {},
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (own || (own.error().sys != EPERM && own.error().sys != EBUSY)) return own;
  TRY(auto host, open_dir("/proc"));
  struct statfs st {};
  if (::fstatfs(host.get(), &st) != 0 || st.f_type != PROC_SUPER_MAGIC)
    return fail(Errc::unavailable, "/proc is not a procfs");
  return host;
}

bool is_of_network(const std::string& sysctl) {
  return sysctl.starts_with("net.") || sysctl.starts_with("net/");
}

// A sysctl acts on the namespace its file stands for: only those of the container's own.
enum class Which : std::uint8_t { all, of_network, others };
Result<> set_sysctls(const InitInput& in, const UniqueFd& proc, Which which) {
  for (const auto& [name, value] : in.request.spec->linux.sysctl) {
    if (which != Which::all && is_of_network(name) != (which == Which::of_network)) continue;
    std::string path = "sys/" + name;
    if (name.find('/') == std::string::npos) std::ranges::replace(path, '.', '/');
    if (path.find("..") != std::string::npos)
      return fail(Errc::invalid_argument, "sysctl {}: not a name", name);
    const UniqueFd file(::openat(proc.get(), path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file && errno == ENOENT)
      return sys_error("sysctl {}: this kernel does not have it in the container's namespaces",
                       name);
    if (!file && (errno == EACCES || errno == EPERM))
      return sys_error(
          "sysctl {}: this kernel lets no user namespace set it; an administrator "
          "can set it on the host",
          name);
    if (!file) return sys_error("sysctl {}: open /proc/{}", name, path);
    if (auto done = write_all(file, value); !done)
      return std::unexpected(done.error().within("sysctl {}={}", name, value));
  }
  return {};
}

// Docker makes a missing working directory; below the root, and where it stands it may be a file.
Result<> make_cwd(const InitInput& in, const UniqueFd& root) {
  const auto& cwd = in.request.spec->process.cwd;
  if (cwd.empty() || cwd == "/") return {};
  if (!cwd.starts_with('/'))
    return fail(Errc::invalid_argument, "Cwd must be an absolute path: {}", cwd);
  constexpr mode_t kMode = 0755;
  const auto made = make_dirs_in_root(root, cwd, kMode);
  // On a read-only place, or through a link that leads nowhere, chdir(2) will say what is wrong.
  if (!made && made.error().sys == ENOTDIR)
    return fail(Errc::invalid_argument, "Cannot mkdir: {} is not a directory", cwd);
  return {};
}

struct Prepared {
  ResolvedUser user;
  UniqueFd master, mount_namespace;
};

Result<> set_sysctls_of(const InitInput& in) {
  if (in.request.spec->linux.sysctl.empty()) return {};
  TRY(const auto proc, open_procfs());
  return set_sysctls(in, proc, has_outer_network(in) ? Which::others : Which::all);
}

// Everything that needs a file from outside; and the descriptors 0, 1, 2 of the process.
Result<Prepared> set_up(InitInput& in) {
  const auto& request = in.request;
  const auto& spec = *request.spec;
  Prepared out;
  ::umask(0);  // mount points get the modes that are named here; the process has its own later
  CHECK(close_foreign_descriptors(in));
  CHECK(set_own_attributes(spec.process));
  CHECK(become_root_of_user_namespace(in));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("hide from ptrace");
  CHECK(enter_namespaces(in));
  CHECK(raise_loopback(in));
  CHECK(name_host(in));
  CHECK(set_sysctls_of(in));
  if (has(in.new_namespaces, CLONE_NEWNS)) {
    out.mount_namespace = UniqueFd(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    if (!out.mount_namespace) return sys_error("open the mount namespace");
  }
  CHECK(set_propagation_of_old_tree(in.plan));
  TRY(const auto root, mount_root(request.root, in.root_path, std::move(in.fuse_root),
                                  in.plan.root_propagation == MS_SHARED));
  TRY(const auto read_only, mount_all(in.plan, root, std::move(in.mounts)));
  if (request.docker_files) make_docker_files(root);
  if (!request.init_program.empty()) CHECK(bind_file(root, request.init_program, kDockerInit));
  UniqueFd slave;
  if (spec.process.terminal) {
    TRY(auto terminal, open_terminal(root, spec.process));
    CHECK(bind_console(root, terminal.slave));
    out.master = std::move(terminal.master);
    slave = std::move(terminal.slave);
  }
  CHECK(make_cwd(in, root));
  TRY(out.user, resolve_user(spec.process.user, root));
  CHECK(mask(in.plan, root));
  CHECK(seal(in.plan, root, read_only));
  CHECK(enter_root(in.plan, root));
  CHECK(set_stdio(request.stdio, slave, root));
  return out;
}

// "/proc/PID/root/dev/shm" -> "/proc/PID", "/dev/shm".
struct ForeignPath {
  std::string process, path;
};
std::optional<ForeignPath> foreign_path(const PlannedMount& m) {
  constexpr std::string_view kProc = "/proc/", kRoot = "/root/";
  if (!m.bind || !m.source.starts_with(kProc)) return std::nullopt;
  const auto slash = m.source.find('/', kProc.size());
  const bool number = slash != std::string::npos && slash > kProc.size() &&
                      std::all_of(m.source.begin() + kProc.size(), m.source.begin() + slash,
                                  [](char c) { return c >= '0' && c <= '9'; });
  if (!number || m.source.compare(slash, kRoot.size(), kRoot) != 0) return std::nullopt;
  return ForeignPath{m.source.substr(0, slash), m.source.substr(slash + kRoot.size() - 1)};
}

// The other container can have put a link there: one through /proc would lead to what we have open.
Result<UniqueFd> clone_below_root(const std::string& path, Depth depth) {
  TRY(const auto root, open_dir("/"));
  TRY(const auto at, open_in_root(root, path, O_PATH));
  return clone_mount(at, depth);
}

Result<UniqueFd> clone_foreign(const PlannedMount& m, const ForeignPath& from) {
  const UniqueFd ours(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!ours) return sys_error("open our mount namespace");
  const UniqueFd theirs(::open((from.process + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  if (!theirs) return sys_error("open {}/ns/mnt", from.process);
  if (::setns(theirs.get(), CLONE_NEWNS) != 0)
    return sys_error("enter the mount namespace of {}", from.process);
  auto mount = clone_below_root(from.path, m.recursive ? Depth::recursive : Depth::one);
  if (::setns(ours.get(), CLONE_NEWNS) != 0) return sys_error("return to our mount namespace");
  return mount;
}

Result<> prepare_network(InitInput& in) {
  const auto& sysctls = in.request.spec->linux.sysctl;
  if (std::ranges::any_of(sysctls, [](const auto& s) { return is_of_network(s.first); })) {
    TRY(const auto proc, open_procfs());
    CHECK(set_sysctls(in, proc, Which::of_network));
  }
  for (const auto& m : in.plan.mounts) {
    if (m.bind || m.type != "sysfs") continue;
    // Where even this is refused the mount itself falls back to the host's tree.
    if (auto made = make_file_system("sysfs", "sysfs", {}, m.change.set))
      in.mounts[m.destination] = *std::move(made);
  }
  return {};
}

// Nothing may unwind into a copy of the parent.
[[noreturn]] void run_program(InitInput& in, Prepared& prepared) noexcept {
  await(in.go, 'g');
  const ExecPlan what{in.request.spec->process, in.filter, std::move(prepared.user)};
  in.watch.fail(exec_program(what));
}

Prepared set_up_or_exit(InitInput& in) noexcept {
  auto prepared = set_up(in);
  if (!prepared) report_error_and_exit(in.report, prepared.error());
  return *std::move(prepared);
}

// The parent has it all now; without a parent there is nothing to do.
void tell_ready(InitInput& in, Prepared& prepared) noexcept {
  std::vector<int> fds;
  if (prepared.mount_namespace) fds.push_back(prepared.mount_namespace.get());
  if (prepared.master) fds.push_back(prepared.master.get());
  if (auto told = report_ready(in.report, fds); !told) ::_exit(0);
  // And all else that was open for the set-up.
  if (auto closed = close_all_but({in.go.get()}); !closed) ::_exit(0);
}

// A procfs of the pid namespace that is joined: the process that sets up is not in it.
Result<> prepare_procfs(InitInput& in) {
  const auto joined =
      std::ranges::find_if(in.join, [](const auto& n) { return n.type == CLONE_NEWPID; });
  for (const auto& m : in.plan.mounts) {
    if (m.bind || m.type != "proc" || joined == in.join.end()) continue;
    auto made = make_procfs_of(joined->file, m.data, m.change.set);
    // Where it is refused the mount itself falls back to the host's tree.
    if (made) {
      in.mounts[m.destination] = *std::move(made);
    } else if (made.error().sys != EPERM && made.error().sys != EACCES) {
      return std::unexpected(made.error());
    }
  }
  return {};
}

Result<> enter_for_child(InitInput& in, const Intermediate& intermediate) {
  CHECK(prepare_procfs(in));
  CHECK(enter(intermediate));
  // What launch has clone3(2) do for a child that is born before its set-up.
  if (in.new_namespaces != 0 && ::unshare(in.new_namespaces) != 0)
    return sys_error("make the container's namespaces");
  return {};
}

}  // namespace

bool needs_preparing(const InitInput& in) {
  return has_outer_network(in) || std::ranges::any_of(in.plan.mounts, [](const auto& m) {
           return foreign_path(m).has_value();
         });
}

Result<> prepare_in_intermediate(InitInput& in) {
  for (const auto& m : in.plan.mounts) {
    const auto from = foreign_path(m);
    if (!from) continue;
    TRY(in.mounts[m.destination], clone_foreign(m, *from));
  }
  if (has_outer_network(in)) CHECK(prepare_network(in));
  return {};
}

void run_init(InitInput& in) noexcept {
  reset_signals();
  auto prepared = set_up_or_exit(in);
  if (const auto armed = in.watch.arm(); !armed) report_error_and_exit(in.report, armed.error());
  tell_ready(in, prepared);
  run_program(in, prepared);
}

void run_setter(InitInput& in, const Intermediate& intermediate, const Birth& birth) noexcept {
  reset_signals();
  if (const auto entered = enter_for_child(in, intermediate); !entered)
    report_error_and_exit(in.report, entered.error());
  auto prepared = set_up_or_exit(in);
  tell_ready(in, prepared);
  birth.bear();
  if (const auto armed = in.watch.arm(); !armed) in.watch.fail(armed.error());
  run_program(in, prepared);
}

}  // namespace coracle::runtime
