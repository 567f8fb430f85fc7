#include "engine/runtime/child.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "engine/base/channel.hpp"

namespace coracle::runtime {
namespace {

Result<std::optional<Pidfd>> clone_here(std::uint64_t flags) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  // A sibling ends with the signal of the one that cloned it; see clone(2), CLONE_PARENT.
  args.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return sys_error("clone the container's process");
  if (pid == 0) return std::optional<Pidfd>{};
  return std::optional<Pidfd>(std::in_place, UniqueFd(pidfd), static_cast<pid_t>(pid));
}

// The process between: born beside us, it enters the pid namespace, which only counts for children,
// clones the one that is wanted as our child, and ends with 0 or an errno. (Entering it ourselves
// could not be undone: our own pid namespace is the host's, and we are not root there.)
std::optional<Pidfd> clone_from_between(std::uint64_t namespaces, const UniqueFd& pid_namespace,
                                        const UniqueFd& link) {
  // The child is seen by the container from its first moment: it inherits that it cannot be traced.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) ::_exit(errno);
  if (::setns(pid_namespace.get(), CLONE_NEWPID) != 0) ::_exit(errno);
  const auto child = clone_here(namespaces | CLONE_PARENT);
  if (!child) ::_exit(child.error().sys);
  if (!*child) return std::nullopt;
  const auto sent = send_message(link, std::to_string((*child)->pid()), {(*child)->fd().get()});
  if (!sent) (void)(*child)->send_signal(SIGKILL);
  ::_exit(sent ? 0 : EIO);
}

}  // namespace

Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces, const UniqueFd* pid_namespace) {
  if (pid_namespace == nullptr) return clone_here(namespaces);
  TRY(const auto link, make_socket_pair(SOCK_SEQPACKET));
  TRY(const auto between, clone_here(0));
  if (!between) return clone_from_between(namespaces, *pid_namespace, link.b);
  TRY(const auto status, between->wait());
  if (status.code != 0) return sys_error_of(status.code, "enter the container's pid namespace");
  TRY(auto message, receive_message(link.a));
  if (message.fds.size() != 1) return fail(Errc::internal, "clone: no descriptor came back");
  return std::optional<Pidfd>(std::in_place, std::move(message.fds.front()),
                              static_cast<pid_t>(std::atoi(message.text.c_str())));
}

ChildGuard::~ChildGuard() {
  if (child_ == nullptr) return;
  (void)child_->send_signal(SIGKILL);
  (void)child_->wait();
}

}  // namespace coracle::runtime
