// The child's side of a container's start: the steps from clone3(2) to execve(2), in order, a
// function a step. No locks, no log; an error goes to the parent over the report socket and ends
// the child; from the look-up of its program on, over runtime/exec_watch. The parent's side and the
// handshake: runtime/launch.
#pragma once

#include <vector>

#include "engine/base/fd.hpp"
#include "engine/runtime/child.hpp"
#include "engine/runtime/exec_watch.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/runtime/mounts/plan.hpp"
#include "engine/runtime/mounts/rootfs.hpp"
#include "engine/runtime/seccomp.hpp"

namespace coracle::runtime {

struct InitInput {
  const LaunchRequest& request;
  const Plan& plan;
  const SeccompFilter* filter;  // null: none
  std::string root_path;        // where the root file system is mounted, absolute
  UniqueFd fuse_root;           // fuse-overlayfs: mounted already, detached
  std::vector<NamespaceFile> join;
  int new_namespaces = 0;  // CLONE_NEW* that clone3 made
  UniqueFd go;             // one byte "m": ids are mapped (only with a new user namespace); "g": go
  UniqueFd report;
  const ExecWatch& watch;
  // With a user namespace of its own the child has no rights over the namespaces it joins, which
  // belong to the outer one: they are entered before it is cloned, and what needs rights over them
  // is done there.
  bool joined_before = false;
  MadeBefore mounts = {};  // and those of fuse-overlayfs
};

// What needs rights that the child has not, in the process between: sysctls and the sysfs of a
// network that belongs to the outer user namespace, binds of another container's files
// (/proc/PID/root/…: a mount of another mount namespace can only be copied from within it).
Result<> prepare_in_intermediate(InitInput& input);
// Is there anything of that?
bool needs_preparing(const InitInput& input);

// noexcept: nothing may unwind into a copy of the parent.
[[noreturn]] void run_init(InitInput& input) noexcept;

// The same where another container's pid namespace is joined. Its processes see the container's
// first one from birth: so all that takes descriptors and other roots is done by a process beside
// it, which is not in that namespace.
[[noreturn]] void run_setter(InitInput& input, const Intermediate& intermediate,
                             const Birth& birth) noexcept;

}  // namespace coracle::runtime
