// The processes of a container, as its monitor sees and signals them. With a pid namespace of its
// own they are those in it; without one (--pid host, --pid container:X) the monitor's descendants,
// since it is a child subreaper, and what has left the tree but not the container's other
// namespaces (base/process/members).
//
// A number that was read from /proc may be another process's a moment later, and a container
// decides how soon. So a signal is sent by a descriptor alone: it is opened, the process is asked
// whether it is the container's, and whether it lives still; only then it was the one that was
// asked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/process/members.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

class ProcessTree {
 public:
  ProcessTree() = default;
  // After the clone of the container's first process.
  //   own           it has a pid namespace of its own
  //   fuse_program  the root file system's, "" without one: no part of the container
  static Result<ProcessTree> of(const Pidfd& init, bool own, std::string fuse_program);

  // Their numbers, parents before children. Blocks: it reads /proc.
  [[nodiscard]] std::vector<pid_t> all() const;
  // The process with this number, if it is the container's. errors: not_found
  [[nodiscard]] Result<Pidfd> open(pid_t pid) const;
  // Sends a signal to it, if it is the container's.
  bool send(pid_t pid, int signal) const;
  Result<> signal_all(const Pidfd& init, int signal) const;
  // After the end of the first process: SIGKILL to all until none is left, or for `limit`; `reap`
  // collects the dead. With a pid namespace of its own the kernel has done it.
  //   errors  internal: some are still there
  Result<> kill_rest(std::chrono::milliseconds limit, const std::function<void()>& reap) const;

  [[nodiscard]] bool own_pid_namespace() const { return own_; }
  // Without a pid namespace of its own.
  [[nodiscard]] const OwnNamespaces& namespaces() const { return namespaces_; }

 private:
  [[nodiscard]] bool holds(pid_t pid) const;

  bool own_ = true;
  ino_t pid_namespace_ = 0;  // its first process, which we have not reaped, keeps the number from
                             // being given to another one
  OwnNamespaces namespaces_;
  std::string fuse_program_;
};

}  // namespace coracle::monitor
