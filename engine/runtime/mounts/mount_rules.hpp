// What a mount may not cover. /proc and /sys are the kernel's own: what is masked and protected in
// them, and what programs take from them, must be what the kernel shows there, wherever an image
// has its links. The rules and words are runc's (CVE-2019-16884, CVE-2019-19921).
#pragma once

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/plan.hpp"

namespace coracle::runtime {

// Before the place is looked up, and made where it is missing: by its name; and /proc and /sys
// themselves are directories, no links.
//   errors  invalid_argument `filesystem "proc" must be mounted on ordinary directory`, and below
Result<> check_mount_point(const PlannedMount& m, const UniqueFd& root);

// `place`: the mount point, resolved. Over files that programs read the host's figures from there
// may be a bind (/proc/cpuinfo and its like); /proc itself may be a bind of a procfs.
//   errors  invalid_argument `"/proc/x" cannot be mounted because it is inside /proc`
Result<> check_mount_place(const PlannedMount& m, const UniqueFd& root, const UniqueFd& place);

}  // namespace coracle::runtime
