// What dockerd makes in the root of each container, beside its mounts: programs look for it.
#pragma once

#include "engine/base/fd.hpp"

namespace coracle::runtime {

// /.dockerenv, empty, and /etc/mtab, a link to the mounts; what is there already stays. A root that
// does not take them is one without them. Not part of what a container changed: `docker diff` and
// commits leave them out (storage/snapshots/diff).
void make_docker_files(const UniqueFd& root) noexcept;

}  // namespace coracle::runtime
