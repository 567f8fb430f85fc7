// Pause and unpause: all processes of the container stand still, or none does.
//
// With a cgroup of its own that we may write (cgroup v2), the kernel's freezer does it. Elsewhere
// every process gets SIGSTOP, again and again until a walk through the tree finds all of them
// stopped and a second one finds nobody else: new ones may be forked meanwhile, but not by one that
// is stopped. Parents are stopped before their children and continued after them, so that a
// shell with job control sees nothing of it; what was stopped before the pause stays stopped after
// it. A thread in an uninterruptible wait (vfork, a disk) counts as stopped once it was told: it
// stops before it runs another instruction of its own. See signal(7), proc_pid_stat(5).
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/process_tree.hpp"

namespace coracle::monitor {

class Freezer {
 public:
  Freezer() = default;
  // After the container was made, before it runs: where it is now is the cgroup that counts.
  explicit Freezer(const Pidfd& init);

  // Returns when nothing of the container runs any more. Blocks, for a few milliseconds as a rule
  // and at most kLimit_ms; after an error everything runs as before.
  //   helpers  children of ours that are no part of the container
  //   errors   conflict: nothing of it runs; internal: a process that does not stop, and which
  Result<> freeze(const ProcessTree& tree, const std::vector<pid_t>& helpers);
  Result<> thaw(const ProcessTree& tree, const std::vector<pid_t>& helpers);

  // SIGCONT was asked for while it is frozen: thaw() sends it also to what was stopped before.
  //   pid  0: to all
  void continued(pid_t pid);
  // The kernel holds signals back by itself (a cgroup), SIGCONT too.
  [[nodiscard]] bool by_cgroup() const { return !cgroup_.empty(); }

  static constexpr int kLimit_ms = 1000;

 private:
  Result<> stop_all(const ProcessTree& tree, const std::vector<pid_t>& helpers);
  void continue_all(const ProcessTree& tree, const std::vector<pid_t>& helpers);
  [[nodiscard]] Result<> write_cgroup(bool frozen) const;

  std::string cgroup_;              // directory of a cgroup of its own with a freezer; "": none
  std::set<pid_t> stopped_before_;  // the pause; they stay so
};

}  // namespace coracle::monitor
