// Parent:  finds out which namespaces of the container are not ours, clones a child into its pid
// namespace. Child: closes what is not for it, enters the rest by the pidfd, opens the terminal,
// says "ready" with its master, and becomes the program (runtime/become).
#include "engine/runtime/join.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/become.hpp"
#include "engine/runtime/child.hpp"
#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

constexpr std::array kNamespaces = {
    std::pair{"user", CLONE_NEWUSER}, std::pair{"mnt", CLONE_NEWNS},
    std::pair{"uts", CLONE_NEWUTS},   std::pair{"ipc", CLONE_NEWIPC},
    std::pair{"net", CLONE_NEWNET},   std::pair{"cgroup", CLONE_NEWCGROUP}};

struct Target {
  int others = 0;          // CLONE_NEW* that are not ours: entering one's own is refused
  UniqueFd pid_namespace;  // empty: the container is in ours
};

Result<bool> differs(pid_t pid, const char* name) {
  struct stat theirs {
  }, ours{};
  const std::string path = fmt::format("/proc/{}/ns/{}", pid, name);
  if (::stat(path.c_str(), &theirs) != 0) return sys_error("look at the namespace {}", path);
  if (::stat(fmt::format("/proc/self/ns/{}", name).c_str(), &ours) != 0)
    return sys_error("look at our own namespace {}", name);
  return theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev;
}

Result<Target> look_at(const Pidfd& init) {
  Target target;
  for (const auto& [name, type] : kNamespaces) {
    TRY(const bool other, differs(init.pid(), name));
    if (other) target.others |= type;
  }
  TRY(const bool other_pid, differs(init.pid(), "pid"));
  if (other_pid) {
    const std::string path = fmt::format("/proc/{}/ns/pid", init.pid());
    target.pid_namespace = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!target.pid_namespace) return sys_error("open {}", path);
  }
  // All of it was looked up by a number: it was the container's if that lives still.
  if (init.ended()) return fail(Errc::conflict, "the container's first process has ended");
  return target;
}

// What belongs to the outer user namespace (its network, another container's pids) is entered with
// the rights we have there, before they are left behind.
Result<> enter(const UniqueFd& pidfd, int namespaces) {
  const int last = namespaces & (CLONE_NEWUSER | CLONE_NEWNS);
  const bool two_steps = (namespaces & CLONE_NEWUSER) != 0 && namespaces != last;
  if (two_steps && ::setns(pidfd.get(), namespaces & ~last) != 0)
    return sys_error("enter the container's namespaces");
  const int rest = two_steps ? last : namespaces;
  if (rest != 0 && ::setns(pidfd.get(), rest) != 0)
    return sys_error("enter the container's namespaces");
  return {};
}

struct JoinInput {
  const JoinRequest& request;
  const SeccompFilter* filter;
  int namespaces;
  UniqueFd report;
};

Result<Become> set_up(JoinInput& in, UniqueFd& master) {
  const auto& request = in.request;
  const auto& process = *request.process;
  CHECK(close_all_but({in.report.get(), request.init->fd().get(), request.stdio.in,
                       request.stdio.out, request.stdio.err}));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("hide from ptrace");
  // Our own procfs, not the container's: what it shows for us is real.
  TRY(auto proc, open_dir("/proc"));
  CHECK(enter(request.init->fd(), in.namespaces));
  if ((in.namespaces & CLONE_NEWUSER) != 0 &&
      (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0))
    return sys_error("become root of the container's user namespace");
  TRY(const auto root, open_dir("/"));
  Become what{process, in.filter, {}, request.stdio, {}, std::move(proc)};
  TRY(what.user, resolve_user(process.user, root));
  if (process.terminal) {
    TRY(auto terminal, open_terminal(root, process));
    master = std::move(terminal.master);
    what.slave = std::move(terminal.slave);
  }
  return what;
}

// noexcept: nothing may unwind into a copy of the parent.
[[noreturn]] void run_child(JoinInput& in) noexcept {
  reset_signals();
  UniqueFd master;
  auto what = set_up(in, master);
  if (!what) report_error_and_exit(in.report, what.error());
  std::vector<int> fds;
  if (master) fds.push_back(master.get());
  if (auto told = report_ready(in.report, fds); !told) ::_exit(0);
  master.reset();
  report_error_and_exit(in.report, become(*what));
}

}  // namespace

Result<Joined> join(const JoinRequest& request) {
  TRY(const auto target, look_at(*request.init));
  TRY(auto report, make_socket_pair(SOCK_SEQPACKET));
  JoinInput in{request, request.filter, target.others, std::move(report.b)};
  CHECK(fail_point("join.clone"));
  Between between;
  if (target.pid_namespace) between.enter.push_back({target.pid_namespace.get(), CLONE_NEWPID});
  TRY(auto child, clone_child(0, between));
  if (!child) run_child(in);

  ChildGuard guard(*child);
  in.report.reset();
  TRY(auto fds, await_ready(report.a));
  Joined joined;
  if (!fds.empty()) joined.console = std::move(fds.front());
  CHECK(await_exec(report.a));
  guard.release();
  joined.process = *std::move(child);
  return joined;
}

}  // namespace coracle::runtime
