// /dev of a container: nodes bound from this host (a rootless engine cannot mknod(2)), and Docker's
// links.
#pragma once

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/plan.hpp"

namespace coracle::runtime {

// null, zero, full, random, urandom, tty, what the plan adds, and the links fd, stdin, stdout,
// stderr, core, ptmx.
//   errors  not_found: this host has no node with that number
Result<> make_devices(const Plan& plan, const UniqueFd& root);

// A detached mount of this host's /dev/null, checked by its number.
Result<UniqueFd> clone_null_device();

}  // namespace coracle::runtime
