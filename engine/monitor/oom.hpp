// Was it the kernel's out-of-memory killer? Told by memory.events of the container's cgroup, where
// it has one of its own (cgroup v2); elsewhere nobody can tell, and the answer is no.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace coracle::monitor {

// The directory of the cgroup that `pid` has and we have not; "": none, or no cgroup v2.
std::string own_cgroup_dir(pid_t pid);

class OomWatch {
 public:
  OomWatch() = default;
  // Remembers the cgroup of `init` and how many kills it has seen.
  explicit OomWatch(pid_t init);
  // Has there been one since?
  [[nodiscard]] bool killed() const;

 private:
  std::string events_path_;  // "": no cgroup of its own
  std::int64_t before_ = 0;
};

}  // namespace coracle::monitor
