// Parent: finds out which namespaces of the container are not ours, and clones the setter. Setter:
// closes what is not for it, enters them by the pidfd, opens the terminal, says "ready" with its
// master, closes the rest, and bears the child (runtime/child, Birth). Child: becomes the program
// (runtime/exec_program) and tells of it by shared memory (runtime/exec_watch).
#include "engine/runtime/join.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/child.hpp"
#include "engine/runtime/exec_program.hpp"
#include "engine/runtime/exec_watch.hpp"
#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

constexpr std::array kJoinOrder = {
    std::pair{"user", CLONE_NEWUSER}, std::pair{"mnt", CLONE_NEWNS},
    std::pair{"uts", CLONE_NEWUTS},   std::pair{"ipc", CLONE_NEWIPC},
    std::pair{"net", CLONE_NEWNET},   std::pair{"cgroup", CLONE_NEWCGROUP}};

struct Target {
  int others = 0;          // CLONE_NEW* that are not ours: entering one's own is refused
  UniqueFd pid_namespace;  // empty: the container is in ours
};

// Of a namespace's file, which two processes share when they are in the same one.
struct NamespaceId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const NamespaceId&) const = default;
};
using NamespaceIds = std::array<NamespaceId, kJoinOrder.size() + 1>;  // and of pids

Result<NamespaceIds> namespaces_of(const std::string& process) {
  NamespaceIds out;
  const auto look = [&](const char* name, NamespaceId& id) -> Result<> {
    struct stat st {};
    const auto path = fmt::format("/proc/{}/ns/{}", process, name);
    if (::stat(path.c_str(), &st) != 0) return sys_error("look at the namespace {}", path);
    id = {st.st_dev, st.st_ino};
    return {};
  };
  for (std::size_t i = 0; i < kJoinOrder.size(); ++i) CHECK(look(kJoinOrder[i].first, out[i]));
  CHECK(look("pid", out.back()));
  return out;
}

Result<Target> look_at(const Pidfd& init) {
  // A monitor stays in its own.
  static std::optional<NamespaceIds> ours;
  if (!ours) {
    TRY(ours, namespaces_of("self"));
  }
  Target target;
  TRY(const auto theirs, namespaces_of(std::to_string(init.pid())));
  for (std::size_t i = 0; i < kJoinOrder.size(); ++i) {
    if (theirs[i] != (*ours)[i]) target.others |= kJoinOrder[i].second;
  }
  if (theirs.back() != ours->back()) {
    const std::string path = fmt::format("/proc/{}/ns/pid", init.pid());
    target.pid_namespace = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!target.pid_namespace) return sys_error("open {}", path);
  }
  // All of it was looked up by a number: it was the container's if that lives still.
  if (init.ended()) return fail(Errc::conflict, "the container's first process has ended");
  return target;
}

// What belongs to the outer user namespace (its network, another container's pids) is entered with
// the rights we have there, before they are left behind. The pid namespace counts for our children.
Result<> enter(const UniqueFd& pidfd, const Target& target) {
  if (target.pid_namespace && ::setns(target.pid_namespace.get(), CLONE_NEWPID) != 0)
    return sys_error("enter the container's pid namespace");
  const int namespaces = target.others;
  const int last = namespaces & (CLONE_NEWUSER | CLONE_NEWNS);
  const bool two_steps = (namespaces & CLONE_NEWUSER) != 0 && namespaces != last;
  if (two_steps && ::setns(pidfd.get(), namespaces & ~last) != 0)
    return sys_error("enter the container's namespaces");
  const int rest = two_steps ? last : namespaces;
  if (rest != 0 && ::setns(pidfd.get(), rest) != 0)
    return sys_error("enter the container's namespaces");
  if ((namespaces & CLONE_NEWUSER) != 0 && (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0))
    return sys_error("become root of the container's user namespace");
  return {};
}

struct JoinInput {
  const JoinRequest& request;
  const Target& target;
  UniqueFd report;
  const ExecWatch& watch;
};

struct PreparedJoin {
  ResolvedUser user;
  UniqueFd master;
};

Result<PreparedJoin> set_up_join(const JoinInput& in) {
  const auto& request = in.request;
  const auto& process = *request.process;
  CHECK(close_all_but({in.report.get(), request.init->fd().get(), in.target.pid_namespace.get(),
                       request.stdio.in, request.stdio.out, request.stdio.err}));
  CHECK(set_own_attributes(process));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("hide from ptrace");
  CHECK(enter(request.init->fd(), in.target));
  TRY(const auto root, open_dir("/"));
  PreparedJoin out;
  TRY(out.user, resolve_user(process.user, root));
  UniqueFd slave;
  if (process.terminal) {
    TRY(auto terminal, open_terminal(root, process));
    out.master = std::move(terminal.master);
    slave = std::move(terminal.slave);
  }
  CHECK(set_stdio(request.stdio, slave, root));
  return out;
}

// noexcept: nothing may unwind into a copy of the parent.
[[noreturn]] void run_setter(JoinInput& in, const Birth& birth) noexcept {
  reset_signals();
  auto prepared = set_up_join(in);
  if (!prepared) report_error_and_exit(in.report, prepared.error());
  std::vector<int> fds;
  if (prepared->master) fds.push_back(prepared->master.get());
  if (auto told = report_ready(in.report, fds); !told) ::_exit(0);
  if (auto closed = close_all_but({}); !closed) ::_exit(0);
  birth.bear();
  if (const auto armed = in.watch.arm(); !armed) in.watch.fail(armed.error());
  const ExecPlan what{*in.request.process, in.request.filter, std::move(prepared->user)};
  in.watch.fail(exec_program(what));
}

}  // namespace

Result<Joined> join(const JoinRequest& request) {
  TRY(const auto target, look_at(*request.init));
  TRY(auto report, make_socket_pair(SOCK_SEQPACKET));
  TRY(const auto watch, ExecWatch::make());
  TRY(const auto birth, Birth::make());
  JoinInput in{request, target, std::move(report.b), watch};
  CHECK(fail_point("join.clone"));
  TRY(const auto setter, clone_child(0, {}));
  if (!setter) run_setter(in, birth);

  Joined joined;
  ChildGuard guard(*setter);
  in.report.reset();
  TRY(auto fds, await_ready(report.a));
  guard.release();
  if (!fds.empty()) joined.console = std::move(fds.front());
  // The program runs before we look for its process: one time less that we wait for the setter.
  (void)watch.over_in_a_moment();
  TRY(joined.process, birth.child(*setter));
  guard.watch(joined.process);
  CHECK(watch.await(joined.process));
  guard.release();
  return joined;
}

}  // namespace coracle::runtime
