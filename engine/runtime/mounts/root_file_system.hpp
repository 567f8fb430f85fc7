// The container's root file system, from the value that storage planned (root_mount.hpp): overlay,
// fuse-overlayfs, a bind of a directory, or the directory as it is.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/root_mount.hpp"

namespace coracle::runtime {

// fuse-overlayfs: mounts detached and starts the program, which serves it from outside the
// container's namespaces: no signal of the container reaches it, and it ends when the last mount of
// it is gone. Called by the parent, before the clone.
//   errors  with the program's own words
Result<UniqueFd> start_fuse_overlay(const RootMount& root);

// The same, as a child that the caller waits for: for a mount that does not last.
struct FuseOverlay {
  UniqueFd mount;
  Pidfd program;
};
Result<FuseOverlay> serve_fuse_overlay(const RootMount& root);

// A detached overlay of its layers. errors: invalid_argument (EINVAL) also where the kernel takes
// no layer on its own (before 6.8)
Result<UniqueFd> make_overlay(const RootMount& root);

// A detached mount of what is at `path` inside the detached mount `whole`. A mount that is attached
// nowhere cannot be cloned on every kernel, so it stands on `root` for a moment, a directory in
// this mount namespace, whose descriptor goes on leading below it.
Result<UniqueFd> part_of_mount(const UniqueFd& whole, const std::string& path,
                               const UniqueFd& root);

// Mounts the root file system at `path`, an existing directory of ours, in this mount namespace.
//   prepared  what start_fuse_overlay gave, or empty
//   shared    the mount it stands on may not be shared, or pivot_root(2) is refused: with a shared
//             propagation a private mount is put under it
Result<UniqueFd> mount_root(const RootMount& root, const std::string& path, UniqueFd prepared,
                            bool shared);

}  // namespace coracle::runtime
