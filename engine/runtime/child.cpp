#include "engine/runtime/child.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace coracle::runtime {
namespace {

// While it lives, children are born in another pid namespace.
class ChildrenIn {
 public:
  static Result<ChildrenIn> enter(const UniqueFd& pid_namespace) {
    UniqueFd own(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    if (!own) return sys_error("open our own pid namespace");
    if (::setns(pid_namespace.get(), CLONE_NEWPID) != 0)
      return sys_error("enter the container's pid namespace");
    return ChildrenIn(std::move(own));
  }
  ChildrenIn(ChildrenIn&&) = default;
  ChildrenIn& operator=(ChildrenIn&&) = delete;
  ~ChildrenIn() {
    if (own_) (void)::setns(own_.get(), CLONE_NEWPID);
  }

 private:
  explicit ChildrenIn(UniqueFd own) : own_(std::move(own)) {}
  UniqueFd own_;
};

Result<std::optional<Pidfd>> clone_here(std::uint64_t namespaces) {
  int pidfd = -1;
  clone_args args{};
  args.flags = namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return sys_error("clone the container's process");
  if (pid == 0) return std::optional<Pidfd>{};
  return std::optional<Pidfd>(std::in_place, UniqueFd(pidfd), static_cast<pid_t>(pid));
}

}  // namespace

Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces, const UniqueFd* pid_namespace) {
  if (pid_namespace == nullptr) return clone_here(namespaces);
  // Seen by the container from its first moment: it inherits that it cannot be traced.
  const int dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  TRY(const auto there, ChildrenIn::enter(*pid_namespace));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("hide from ptrace");
  auto child = clone_here(namespaces);
  if (child && !*child) return child;
  (void)::prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
  return child;
}

ChildGuard::~ChildGuard() {
  if (child_ == nullptr) return;
  (void)child_->send_signal(SIGKILL);
  (void)child_->wait();
}

}  // namespace coracle::runtime
