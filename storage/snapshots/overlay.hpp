// What the two overlay drivers, the kernel's and fuse-overlayfs, have in common: the directories
// upper/ and work/, the plan, and the things that the probe tries in a mount.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/snapshots/snapshot.hpp"

namespace coracle::storage {

// upper/ (which is "/" of the container: root_dir) and work/; without layers also empty/.
Result<> prepare_upper(const std::string& dir, const std::vector<std::string>& lower);
MountPlan upper_plan(const char* type, const std::string& dir,
                     const std::vector<std::string>& lower);

// base/, top/, upper/, work/ and the mount point merged/ in `scratch`.
//   errors: the file system keeps no whiteouts or no user extended attributes
Result<> make_probe_dirs(const std::string& scratch);
// With base and top mounted at merged/: is what they hide hidden, can it be written to, does a
// removal leave a whiteout?
Result<> check_probe(const std::string& scratch);

}  // namespace coracle::storage
