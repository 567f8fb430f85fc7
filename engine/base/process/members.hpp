// Which processes are a container's, where no pid namespace of its own tells it (--pid host, --pid
// container:X): those that are in one of the namespaces that were made for it alone. A process
// whose parents have ended is given to the first process of the pid namespace, and so leaves the
// tree of whoever started it; its namespaces it takes along. See pid_namespaces(7), namespaces(7).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// Namespaces of one container. They are held open: a number is given to another one only after the
// last holder has let go of it.
class OwnNamespaces {
 public:
  OwnNamespaces() = default;
  // Those of `process` that are not ours as well (mount, uts, cgroup, user).
  //   errors  not_found: it has ended
  static Result<OwnNamespaces> of(const Pidfd& process);
  // Descriptors that came from another process of ours.
  static Result<OwnNamespaces> from(std::vector<UniqueFd> files);

  [[nodiscard]] bool empty() const { return files_.empty(); }
  [[nodiscard]] std::vector<int> fds() const;
  // Is the process with this number in one of them? Only as good as the number: open() is what a
  // signal is sent by.
  [[nodiscard]] bool hold(pid_t pid) const;
  // The process with this number, if it is in one of them. errors: not_found
  [[nodiscard]] Result<Pidfd> open(pid_t pid) const;
  // All that are, on this host. Blocks: it reads /proc.
  [[nodiscard]] std::vector<pid_t> members() const;
  // Ends all of them (Sweep). Blocks, at most for `limit`.
  //   errors  internal: some are still there
  [[nodiscard]] Result<> end_members(std::chrono::milliseconds limit) const;

 private:
  friend class Sweep;
  enum class Seen { member, other, dead };  // dead: also one that has gone
  [[nodiscard]] Seen look_at(pid_t pid) const;

  std::vector<UniqueFd> files_;
  std::vector<ino_t> numbers_;
};

// Ends what forks while it is ended. /proc is listed at one moment and its processes are looked at
// in the next ones: whoever has ended in between may have left a child that is not on the list. So
// a round settles it only when everything on its list could be looked at, or was known before to be
// somebody else's or dead.
class Sweep {
 public:
  // Sends SIGKILL to all members that are found. True: none is left.
  bool round(const OwnNamespaces& of);

 private:
  std::set<pid_t> settled_;
  int quiet_ = 0;  // rounds in a row that found none
};

}  // namespace coracle
