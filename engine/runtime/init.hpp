// The child's side of a container's start: the steps from clone3(2) to execve(2), in order, a
// function a step. No locks, no log; an error goes to the parent over the report socket and ends
// the child. The parent's side and the handshake: runtime/launch.
#pragma once

#include <vector>

#include "engine/base/fd.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/runtime/plan.hpp"
#include "engine/runtime/seccomp.hpp"

namespace coracle::runtime {

// A namespace to be entered by its file.
struct NamespaceFile {
  UniqueFd file;
  int type = 0;      // CLONE_NEW*
  std::string path;  // for errors
};

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
  std::vector<UniqueFd> fuse_mounts;  // for rootfs::mount_all
};

// noexcept: nothing may unwind into a copy of the parent.
[[noreturn]] void run_init(InitInput& input) noexcept;

}  // namespace coracle::runtime
