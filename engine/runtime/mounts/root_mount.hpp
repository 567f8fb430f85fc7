// How a container's root file system comes to be: a value that storage plans, the engine passes on
// and runtime/mounts/rootfs carries out in the container's own mount namespace.
#pragma once

#include <string>
#include <vector>

namespace coracle::runtime {

// Mounted at the spec's root.path. type "": root.path is used as it is.
struct RootMount {
  std::string type;                // "", overlay, fuse-overlayfs, bind
  std::vector<std::string> lower;  // overlay: topmost first; bind: one source
  std::string upper, work;         // overlay; empty: read-only
  bool volatile_upper =
      false;                 // the upper layer is thrown away with the container (--rm): no syncs
  std::string fuse_program;  // fuse-overlayfs: path of the program
  // fuse-overlayfs: how ids in the layers are shown, "LAYER:SHOWN:COUNT:…"; "": as they are
  std::string uid_mapping, gid_mapping;
};
void describe(auto& field, RootMount& r) {
  field("type", r.type)("lower", r.lower)("upper", r.upper)("work", r.work)(
      "volatile_upper", r.volatile_upper)("fuse_program", r.fuse_program)(
      "uid_mapping", r.uid_mapping)("gid_mapping", r.gid_mapping);
}

}  // namespace coracle::runtime
