// Processes: starting our own helpers, and naming a process so that it cannot be taken for another.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// How a process ended, as Docker counts it: 0..255, or 128 + the signal's number.
struct ExitStatus {
  int code = 0;
  bool operator==(const ExitStatus&) const = default;
};
// From the status word of waitpid(2).
ExitStatus exit_status_from_wait(int status);
// From siginfo_t's si_code and si_status of waitid(2).
ExitStatus exit_status_from_siginfo(int child_code, int child_status);

// As execve(2) and posix_spawn(3) take a list: of the strings, which have to stay, and a null.
std::vector<char*> pointers(const std::vector<std::string>& strings);

// Who a process is, across restarts of the daemon: a bare pid is never trusted.
struct ProcessIdentity {
  std::int32_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  std::string boot_id;            // /proc/sys/kernel/random/boot_id
  bool operator==(const ProcessIdentity&) const = default;
};
void describe(auto& field, ProcessIdentity& p) {
  field("pid", p.pid)("start_ticks", p.start_ticks)("boot_id", p.boot_id);
}

// errors: not_found when there is no such process
Result<ProcessIdentity> identify(pid_t pid);

// A process by descriptor.
class Pidfd {
 public:
  Pidfd() = default;
  Pidfd(UniqueFd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}

  // pidfd_open(2). errors: not_found when it has ended (and was reaped)
  static Result<Pidfd> open(pid_t pid);
  // Opens it and checks that it is still the process that was identified.
  static Result<Pidfd> open(const ProcessIdentity& who);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const UniqueFd& fd() const { return fd_; }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  // pidfd_send_signal(2). errors: not_found when it has ended
  Result<> send_signal(int signal) const;
  // Blocks until our child has ended, and reaps it.
  [[nodiscard]] Result<ExitStatus> wait() const;
  // Has it ended? (poll(2) of the descriptor; a zombie counts as ended.)
  [[nodiscard]] bool ended() const;

 private:
  UniqueFd fd_;
  pid_t pid_ = 0;
};

struct SpawnOptions {
  std::string program;            // a path, or a name looked up in PATH
  std::vector<std::string> argv;  // including argv[0]
  std::vector<std::string> env;   // "K=V"; used as it is when inherit_env is false
  bool inherit_env = true;
  bool new_session = false;  // setsid(2): outlives our terminal
  struct Mapping {
    int ours;    // our descriptor
    int theirs;  // its number in the child
  };
  std::vector<Mapping> fds;  // every other descriptor is close-on-exec
};
// posix_spawn(3): the daemon never forks itself. Signals are at their defaults and unblocked in the
// child.
Result<Pidfd> spawn(const SpawnOptions& options);

// SIGPIPE ignored; called first in every main.
void ignore_sigpipe();
// The directory of our own executable: helpers are looked for beside it and in ../libexec/coracle.
Result<std::string> executable_dir();
// The path of one of our helper programs ("coracle-monitor"), wherever the tree lies.
Result<std::string> find_helper(const std::string& name);

}  // namespace coracle
