// The values of `docker cp` and `docker commit` at the engine's face.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/face/container_config.hpp"

namespace coracle {

// What stands at a path of a container; a link as the last part is not followed.
struct PathStat {
  std::string name;  // "etc", "." when the path ends with "/.", "/"
  std::int64_t size = 0;
  std::uint32_t mode = 0;  // as stat(2) has it
  Time modified;
  std::string link_target;  // of a link: where it leads in the end, absolute
};

struct CopyInOptions {
  bool keep_kinds = false;     // noOverwriteDirNonDir
  bool container_ids = false;  // copyUIDGID: everything is the container's user's, if it has one
};

struct CommitRequest {
  std::string repo, tag, comment, author;
  bool pause = true;
  std::vector<std::string> changes;       // Dockerfile instructions
  std::optional<ContainerConfig> config;  // none: the container's own
};

}  // namespace coracle
