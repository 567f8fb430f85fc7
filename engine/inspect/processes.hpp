// The processes of a container: the descendants of its monitor, which is a child subreaper, so that
// none can leave it, whatever pid namespace it is in. Blocks (reads /proc): for a worker.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"

namespace coracle {

// What is to be known of a running container to look at its processes. A value, for a worker.
struct ProcessTree {
  ProcessIdentity monitor, init;
  std::string skip;  // program of the root file system (fuse-overlayfs), a child of the monitor too
};
//   errors  conflict, with Docker's text, when it does not run
Result<ProcessTree> process_tree_of(const storage::Storage& storage, Container& container);

// The container's own, in the order of the walk: parents before children.
//   errors  not_found when the container's first process has ended
Result<std::vector<pid_t>> processes_of(const ProcessTree& tree);

}  // namespace coracle
