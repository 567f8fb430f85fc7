#include "engine/runtime/exec_program.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>

#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "engine/runtime/privileges.hpp"

namespace coracle::runtime {
namespace {

constexpr int kFirstFree = 3;  // behind stdin, stdout, stderr
constexpr mode_t kDefaultUmask = 0022;

std::optional<std::string> value_of(const std::vector<std::string>& env, std::string_view name) {
  std::optional<std::string> found;
  for (const auto& e : env)
    if (e.size() > name.size() && e.starts_with(name) && e[name.size()] == '=')
      found = e.substr(name.size() + 1);
  return found;
}

Result<> start_session(const ExecPlan& what) {
  if (::setsid() < 0 && errno != EPERM) return sys_error("start a session");
  if (what.process.terminal && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0)
    return sys_error("take the terminal as the controlling one");
  return {};
}

// The process may open its stdio again by name (/dev/stdout): the files become its user's, as in
// runc. /dev/null, and what cannot be given away, stay.
void own_stdio(std::uint32_t uid) {
  for (int fd = 0; fd < kFirstFree; ++fd) {
    struct stat st {};
    if (::fstat(fd, &st) != 0 || st.st_uid == uid) continue;
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) continue;
    (void)::fchown(fd, uid, static_cast<gid_t>(-1));
  }
}

// Of ourselves, by the procfs that is outside of any container's reach: its own /proc could be
// anything.
Result<> write_own(const char* name, const std::string& text) {
  const std::string path = join_path("/proc/self", name);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return sys_error("open {}", path);
  if (auto done = write_all(file, text); !done)
    return std::unexpected(done.error().within("write {} to {}", text, path));
  return {};
}

Result<> set_oom_score(const oci::Process& process) {
  if (!process.oom_score_adj) return {};
  auto done = write_own("oom_score_adj", std::to_string(*process.oom_score_adj));
  // Lowering it is refused to an unprivileged user (proc(5)); rootless runtimes go on with what
  // they have.
  if (!done && done.error().sys == EACCES) return {};
  return done;
}

Result<> set_apparmor(const std::string& profile) {
  if (profile.empty() || profile == "unconfined") return {};
  if (::access("/sys/kernel/security/apparmor", F_OK) != 0 &&
      ::access("/proc/self/attr/apparmor/exec", F_OK) != 0)
    return {};  // off here: ignored, as Docker does
  return write_own("attr/apparmor/exec", "exec " + profile);
}

Result<> set_selinux(const std::string& label) {
  if (label.empty() || ::access("/sys/fs/selinux/enforce", F_OK) != 0) return {};
  return write_own("attr/exec", label);
}

// A keyring of its own: the container does not see the keys of whoever started the engine.
void join_keyring() { (void)::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr); }

Result<> enter_cwd(const std::string& cwd) {
  if (::chdir(cwd.c_str()) != 0)
    return sys_error("chdir to cwd (\"{}\") set in config.json failed", cwd);
  std::array<char, PATH_MAX> buffer{};
  // The system call tells what the library hides: a directory that is not below the root.
  if (::syscall(SYS_getcwd, buffer.data(), buffer.size()) < 0 || buffer[0] != '/')
    return fail(Errc::forbidden,
                "current working directory is outside of container mount namespace root");
  return {};
}

Result<> check_program(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return sys_error("exec: \"{}\"", path);
  if (S_ISDIR(st.st_mode)) return sys_error_of(EISDIR, "exec: \"{}\"", path);
  if (::access(path.c_str(), X_OK) != 0 || (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
    return sys_error_of(EACCES, "exec: \"{}\"", path);
  return {};
}

// Docker's words, with the code that decides the client's exit status.
Error exec_error(const std::string& name, int sys) {
  switch (sys) {
    case ENOENT:
    case ENOTDIR:
      return Error{Errc::not_found, ENOENT,
                   fmt::format("exec: \"{}\": no such file or directory", name)};
    case EISDIR:
      return Error{Errc::forbidden, sys,
                   fmt::format("exec: \"{}\": is a directory: permission denied", name)};
    case EACCES:
    case EPERM:
      return Error{Errc::forbidden, EACCES, fmt::format("exec: \"{}\": permission denied", name)};
    case ENOEXEC:
      return Error{Errc::invalid_argument, sys, fmt::format("exec {}: exec format error", name)};
    default: return make_sys_error(sys, fmt::format("exec: \"{}\"", name));
  }
}

Result<> prepare(const ExecPlan& what, const CapabilitySets& sets) {
  const auto& p = what.process;
  CHECK(close_all_but({}));
  CHECK(start_session(what));
  join_keyring();
  own_stdio(what.user.uid);
  ::umask(p.user.umask.value_or(kDefaultUmask));
  CHECK(set_rlimits(p.rlimits));
  // Without no_new_privs a filter needs CAP_SYS_ADMIN: it is loaded while we have that. With it, it
  // comes last of all.
  if (what.filter != nullptr && !p.no_new_privileges) CHECK(load_seccomp(*what.filter));
  // A working directory may be open to root alone, or (on a network file system) to the user alone:
  // as runc, first the one, then the other.
  const std::string cwd = p.cwd.empty() ? "/" : p.cwd;
  const auto entered = enter_cwd(cwd);
  if (!entered && entered.error().code != Errc::forbidden) return entered;
  CHECK(limit_bounding_set(sets));
  CHECK(set_ids(what.user.uid, what.user.gid, what.user.groups, what.process.user));
  CHECK(set_capabilities(sets));
  return entered ? entered : enter_cwd(cwd);
}

}  // namespace

Result<> set_own_attributes(const oci::Process& process) {
  CHECK(set_oom_score(process));
  CHECK(set_apparmor(process.apparmor_profile));
  return set_selinux(process.selinux_label);
}

Result<> set_stdio(const Stdio& stdio, const UniqueFd& slave, const UniqueFd& root) {
  std::array<int, 3> from = {stdio.in, stdio.out, stdio.err};
  if (slave) from.fill(slave.get());
  // Over copies: none overwrites another.
  std::array<UniqueFd, 3> copies;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] >= 0) {
      copies[i] = UniqueFd(::fcntl(from[i], F_DUPFD_CLOEXEC, kFirstFree));
      if (!copies[i]) return sys_error("take descriptor {}", i);
      continue;
    }
    // By no link that leads through /proc: the container can have put one in its place.
    TRY(auto null, open_in_root(root, "/dev/null", O_RDWR | O_NOCTTY));
    copies[i] = UniqueFd(::fcntl(null.get(), F_DUPFD_CLOEXEC, kFirstFree));
    if (!copies[i]) return sys_error("take descriptor {}", i);
  }
  for (std::size_t i = 0; i < from.size(); ++i)
    if (::dup2(copies[i].get(), static_cast<int>(i)) < 0) return sys_error("set descriptor {}", i);
  return {};
}

Result<Terminal> open_terminal(const UniqueFd& root, const oci::Process& process) {
  auto opened = open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  struct statfs st {};
  if (!opened || ::fstatfs(opened->get(), &st) != 0 || st.f_type != DEVPTS_SUPER_MAGIC)
    return fail(Errc::unsupported,
                "open a terminal: the container has no devpts on /dev/pts; without one it can only "
                "run without a terminal");
  Terminal t;
  t.master = *std::move(opened);
  const int unlocked = 0;
  if (::ioctl(t.master.get(), TIOCSPTLCK, &unlocked) != 0) return sys_error("unlock the terminal");
  // The other end of just this one, by no path: ioctl_tty(2).
  t.slave = UniqueFd(::ioctl(t.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!t.slave) return sys_error("open the terminal's other end");
  if (process.console_size && process.console_size->height != 0) {
    const winsize size{process.console_size->height, process.console_size->width, 0, 0};
    if (::ioctl(t.master.get(), TIOCSWINSZ, &size) != 0)
      return sys_error("set the terminal's size");
  }
  CHECK(set_nonblocking(t.master, true));
  return t;
}

void reset_signals() {
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<> close_all_but(std::vector<int> keep) {
  std::erase_if(keep, [](int fd) { return fd < kFirstFree; });
  std::ranges::sort(keep);
  auto next = static_cast<unsigned>(kFirstFree);
  for (const int fd : keep) {
    const auto here = static_cast<unsigned>(fd);
    if (here > next && ::syscall(SYS_close_range, next, here - 1, 0) != 0)
      return sys_error("close the other descriptors");
    next = here + 1;
  }
  if (::syscall(SYS_close_range, next, ~0U, 0) != 0)
    return sys_error("close the other descriptors");
  return {};
}

Result<std::string> find_program(const std::string& name, const std::vector<std::string>& env) {
  if (name.find('/') != std::string::npos) {
    if (auto ok = check_program(name); !ok)
      return std::unexpected(exec_error(name, ok.error().sys));
    return name;
  }
  std::string_view rest;
  const auto path = value_of(env, "PATH").value_or("");
  for (rest = path; !name.empty() && !rest.empty();) {
    const auto colon = rest.find(':');
    const std::string dir(rest.substr(0, colon));
    // An empty entry would be the working directory: not taken, as in Go's LookPath.
    if (dir.starts_with('/'))
      if (auto candidate = join_path(dir, name); check_program(candidate)) return candidate;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return fail_as(ENOENT, "exec: \"{}\": executable file not found in $PATH", name);
}

Error exec_program(const ExecPlan& what) {
  const auto& p = what.process;
  const auto sets = capability_sets(p.capabilities, last_capability());
  if (!sets) return sets.error();
  if (p.args.empty()) return Error{Errc::invalid_argument, 0, "process.args is empty"};
  if (auto done = prepare(what, *sets); !done) return done.error();
  auto env = p.env;
  if (!value_of(env, "HOME")) env.push_back("HOME=" + what.user.home);
  const auto program = find_program(p.args.front(), env);
  if (!program) return program.error();
  const auto argv = pointers(p.args);
  const auto environment = pointers(env);
  if (p.no_new_privileges) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
      return make_sys_error(errno, "set no_new_privs");
    if (what.filter != nullptr)
      if (auto loaded = load_seccomp(*what.filter); !loaded) return loaded.error();
  }
  ::execve(program->c_str(), argv.data(), environment.data());
  return exec_error(p.args.front(), errno);
}

}  // namespace coracle::runtime
