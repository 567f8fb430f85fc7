#include "engine/runtime/child.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

#include "engine/base/ipc/channel.hpp"

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

const char* name_of_type(int type) {
  switch (type) {
    case CLONE_NEWPID: return "pid";
    case CLONE_NEWNET: return "network";
    case CLONE_NEWIPC: return "ipc";
    case CLONE_NEWUTS: return "uts";
    case CLONE_NEWCGROUP: return "cgroup";
    default: return "";
  }
}

// The process between: born beside us, it enters namespaces (a pid namespace only counts for its
// children), clones the one that is wanted as our child, and ends. (Entering them ourselves could
// not be undone: our own are the host's, and we are not root there.) It sends the child's pidfd, or
// the error alone.
std::optional<Pidfd> clone_from_intermediate(std::uint64_t namespaces,
                                             const Intermediate& intermediate,
                                             const UniqueFd& link) {
  const auto give_up = [&](const Error& e) {
    (void)send_message(link, fmt::format("{} {}", e.sys, e.message), {});
    ::_exit(1);
  };
  // The child is seen by the container from its first moment: it inherits that it cannot be traced.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) give_up(make_sys_error(errno, "hide from ptrace"));
  if (const auto entered = enter(intermediate); !entered) give_up(entered.error());
  const auto child = clone_here(namespaces | CLONE_PARENT);
  if (!child) give_up(child.error());
  if (!*child) return std::nullopt;
  const auto sent = send_message(link, std::to_string((*child)->pid()), {(*child)->fd().get()});
  if (!sent) (void)(*child)->send_signal(SIGKILL);
  ::_exit(0);
}

}  // namespace

Result<> enter(const Intermediate& intermediate) {
  for (const auto& n : intermediate.enter)
    if (::setns(n.file, n.type) != 0)
      return sys_error("enter the container's {} namespace", name_of_type(n.type));
  return intermediate.prepare ? intermediate.prepare() : Result<>{};
}

Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces,
                                         const Intermediate& intermediate) {
  if (!intermediate.needed()) return clone_here(namespaces);
  TRY(auto link, make_socket_pair(SOCK_SEQPACKET));
  TRY(const auto process, clone_here(0));
  if (!process) return clone_from_intermediate(namespaces, intermediate, link.b);
  link.b.reset();
  (void)process->wait();
  auto message = receive_message(link.a);
  if (message && message->fds.size() == 1)
    return std::optional<Pidfd>(std::in_place, std::move(message->fds.front()),
                                static_cast<pid_t>(std::atoi(message->text.c_str())));
  if (!message) return fail(Errc::internal, "clone: no descriptor came back");
  const auto space = message->text.find(' ');
  const int sys = std::atoi(message->text.c_str());
  return std::unexpected(Error{errc_from_errno(sys), sys, message->text.substr(space + 1)});
}

struct Birth::Page {
  pid_t pid = 0;
  int error = 0;  // errno of the clone
};

Result<Birth> Birth::make() {
  void* memory =
      ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return sys_error("map memory shared with the container's process");
  return Birth(new (memory) Page);
}

Birth::~Birth() {
  if (page_ != nullptr) ::munmap(page_, sizeof(Page));
}

void Birth::bear() const {
  clone_args args{};
  // The number is written by the kernel, before the child runs.
  args.flags = CLONE_PARENT | CLONE_PARENT_SETTID;
  args.parent_tid = reinterpret_cast<std::uint64_t>(&page_->pid);
  long pid = -1;
  if (::madvise(page_, sizeof(Page), MADV_DONTFORK) == 0)
    pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) return;
  if (pid < 0) page_->error = errno;
  ::_exit(0);
}

Result<Pidfd> Birth::child(const Pidfd& setter) const {
  CHECK(setter.wait());
  if (page_->error != 0) return sys_error_of(page_->error, "clone the container's process");
  if (page_->pid <= 0)
    return fail(Errc::internal,
                "the process that sets up the container's ended before it was born");
  return Pidfd::open(page_->pid);
}

ChildGuard::~ChildGuard() {
  if (child_ == nullptr) return;
  (void)child_->send_signal(SIGKILL);
  (void)child_->wait();
}

}  // namespace coracle::runtime
