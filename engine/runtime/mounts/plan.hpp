// From an oci::Spec to what has to be done in the container's mount namespace, in order: mounts
// with their options parsed, device nodes, masked and read-only paths. Pure; runtime/mounts/rootfs
// carries it out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/runtime/mounts/mount_api.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct PlannedMount {
  std::string destination;  // clean, absolute, as the container sees it
  std::string type;         // bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup, …
  std::string source;
  bool bind = false;
  bool recursive = false;        // rbind
  MountChange change;            // of the mount itself
  MountChange change_recursive;  // rro, rnosuid, …: of the mounts below it too
  bool recursive_propagation = false;
  std::vector<FsOption> data;  // what is the file system's own
  bool copy_up = false;        // tmpfs: begins with what the image has there
  std::string subpath;         // bind, overlay: only this below it; no link leads out
  [[nodiscard]] bool read_only() const;
  // overlay, fuse-overlayfs: the layers that `data` names, topmost first.
  [[nodiscard]] std::vector<std::string> layers() const;
};

struct Plan {
  std::uint64_t root_propagation = 0;  // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE
  bool root_propagation_recursive = true;
  bool root_read_only = false;
  std::vector<PlannedMount> mounts;
  bool own_dev = true;  // /dev is ours: nodes and links are made in it
  std::vector<oci::Device> devices;
  std::vector<std::string> masked_paths;
  std::vector<std::string> read_only_paths;
};

// errors: invalid_argument (relative destination, unknown propagation), unsupported (idmap mounts)
Result<Plan> make_plan(const oci::Spec& spec);

}  // namespace coracle::runtime
