// What this host lets an unprivileged user do with cgroups, for /info. No limits are set and no
// container is moved into a cgroup of its own yet: the engine's driver is "none", whatever is found
// here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::runtime {

struct CgroupSupport {
  enum class Kind : std::uint8_t {
    none,       // no cgroup file system
    v1,         // nothing an unprivileged user can do
    read_only,  // v2, but our subtree is not ours to write
    delegated,  // v2 with a subtree of ours
  };
  Kind kind = Kind::none;
  std::string path;                      // v2: our cgroup, below /sys/fs/cgroup
  std::vector<std::string> controllers;  // v2: those that we may hand on
  std::string reason;                    // for /info: what is missing, and the remedy
};

// Looks at /sys/fs/cgroup and /proc/self/cgroup.
CgroupSupport detect_cgroup();

}  // namespace coracle::runtime
