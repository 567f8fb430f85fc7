// A writable layer: how it is mounted, what it holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace coracle::storage {

// How a root file system is to be mounted; the monitor carries it out (engine/monitor/protocol
// RootMount).
struct MountPlan {
  std::string type;                // overlay, fuse-overlayfs, bind
  std::vector<std::string> lower;  // topmost first; bind: one
  std::string upper, work;
  std::string program;  // fuse-overlayfs: its path
};

struct Change {
  std::string path;  // "/etc/motd"
  int kind = 0;      // 0 modified, 1 added, 2 deleted
};

struct LayerUsage {
  std::int64_t bytes = 0;    // apparent size of files and links; hard links once
  std::int64_t entries = 0;  // files, directories, links
};

}  // namespace coracle::storage
