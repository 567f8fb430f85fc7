#include "engine/monitor/process_tree.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "engine/base/process/descendants.hpp"

namespace coracle::monitor {
namespace {

// Is the process in this pid namespace, or in one below it?
bool is_within(pid_t pid, ino_t wanted) {
  UniqueFd at(::open(fmt::format("/proc/{}/ns/pid", pid).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  // The parent of ours is not shown: there it ends. See ioctl_ns(2).
  while (at && ::fstat(at.get(), &st) == 0) {
    if (st.st_ino == wanted) return true;
    at.reset(::ioctl(at.get(), NS_GET_PARENT));
  }
  return false;
}

}  // namespace

Result<ProcessTree> ProcessTree::of(const Pidfd& init, bool own, std::string fuse_program) {
  ProcessTree out;
  out.own_ = own;
  out.fuse_program_ = std::move(fuse_program);
  if (!own) {
    TRY(out.namespaces_, OwnNamespaces::of(init));
    return out;
  }
  struct stat st {};
  const auto path = fmt::format("/proc/{}/ns/pid", init.pid());
  if (::stat(path.c_str(), &st) != 0) return sys_error("look at {}", path);
  out.pid_namespace_ = st.st_ino;
  return out;
}

bool ProcessTree::holds(pid_t pid) const {
  if (own_) return is_within(pid, pid_namespace_);
  return namespaces_.hold(pid) || is_descendant(pid, ::getpid(), fuse_program_);
}

std::vector<pid_t> ProcessTree::all() const {
  auto out = descendants(::getpid(), fuse_program_);
  if (own_) {
    std::erase_if(out, [&](pid_t pid) { return !holds(pid); });
    return out;
  }
  auto strays = namespaces_.members();
  std::erase_if(strays, [&](pid_t pid) { return std::ranges::find(out, pid) != out.end(); });
  out.insert(out.end(), strays.begin(), strays.end());
  return out;
}

Result<Pidfd> ProcessTree::open(pid_t pid) const {
  TRY(auto process, Pidfd::open(pid));
  if (!holds(pid) || process.ended())
    return fail(Errc::not_found, "process {} is none of the container's", pid);
  return process;
}

bool ProcessTree::send(pid_t pid, int signal) const {
  const auto process = open(pid);
  return process && process->send_signal(signal);
}

Result<> ProcessTree::signal_all(const Pidfd& init, int signal) const {
  // The kernel ends the others with it. See pid_namespaces(7).
  if (own_ && signal == SIGKILL) return init.send_signal(signal);
  for (const pid_t pid : all()) send(pid, signal);
  return {};
}

Result<> ProcessTree::kill_rest(std::chrono::milliseconds limit,
                                const std::function<void()>& reap) const {
  if (own_) return {};
  constexpr long kStep_ns = 2'000'000;
  const auto end = std::chrono::steady_clock::now() + limit;
  for (Sweep sweep;;) {
    const auto below = descendants(::getpid(), fuse_program_);
    const auto killed = std::ranges::count_if(below, [&](pid_t pid) { return send(pid, SIGKILL); });
    const bool none_left = sweep.round(namespaces_);
    reap();
    if (none_left && killed == 0) return {};
    if (std::chrono::steady_clock::now() >= end)
      return fail(Errc::internal, "processes of it do not end");
    const timespec step{0, kStep_ns};
    ::nanosleep(&step, nullptr);
  }
}

}  // namespace coracle::monitor
