// A procfs of a pid namespace that the container joins: only a process in it can make one, and that
// process is seen by the container that lives there, which may trace it. So it is one that has
// nothing: its root is an empty directory, its one descriptor a socket to us.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/mount_api.hpp"

namespace coracle::runtime {

// Detached. The caller has one thread.
//   errors  as make_file_system; internal when what came back is no procfs
Result<UniqueFd> make_procfs_of(const UniqueFd& pid_namespace, const std::vector<FsOption>& options,
                                std::uint64_t attributes);

}  // namespace coracle::runtime
