// Carries out a mount plan in the container's own, new mount namespace (runtime/init calls this in
// the child). Order: propagation of the old tree; the root file system; the plan's mounts, each
// destination resolved below the root by openat2(2); device nodes and links; the caller's own steps
// (terminal, working directory); then masks and read-only paths; pivot_root(2); and what is
// read-only becomes so last, since mount points had to be made in it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/plan.hpp"

namespace coracle::runtime {

// Detaches the namespace's tree from the one it was copied from.
Result<> set_propagation_of_old_tree(const Plan& plan);

// Detached mounts by destination, made before the child was: what cannot be made from inside it.
using MadeBefore = std::map<std::string, UniqueFd>;

// The mounts, /dev and its links. Mounts that are read-only but need entries made in them are
// returned: seal() finishes them.
Result<std::vector<UniqueFd>> mount_all(const Plan& plan, const UniqueFd& root,
                                        MadeBefore made_before = {});

// Binds a file of this host over a path of the container, read-only.
Result<> bind_file(const UniqueFd& root, const std::string& source, const std::string& destination);

// The slave of the container's terminal over /dev/console.
Result<> bind_console(const UniqueFd& root, const UniqueFd& slave);

// Masked and read-only paths; those that do not exist are passed over.
Result<> mask(const Plan& plan, const UniqueFd& root);

// Read-only root and mounts.
Result<> seal(const Plan& plan, const UniqueFd& root, const std::vector<UniqueFd>& read_only);

// The root becomes "/", and the old tree is gone.
Result<> enter_root(const Plan& plan, const UniqueFd& root);

}  // namespace coracle::runtime
