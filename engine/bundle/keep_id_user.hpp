// Which user of a container is the user outside, for `keep-id`: what was asked for; else the
// container's own user, looked up in the layers' /etc/passwd; where that is root the image's; where
// that is root too, the user 1000 (whom dev containers' images have, and exec as).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/spec/keep_id.hpp"

namespace coracle {

struct KeepIdMaps {
  std::vector<oci::IdMapping> users, groups;
};

struct KeepIdInput {
  KeepIdRequest request;
  std::vector<std::string> users;    // Config.User of the container, then of the image
  std::vector<std::string> layers;   // directories, topmost first
  std::uint32_t uids = 1, gids = 1;  // ours
};

// Blocks (reads files): for a worker.
//   errors  unsupported: one id alone is mapped; not_found: there is no such user; invalid_argument
Result<KeepIdMaps> find_keep_id(const KeepIdInput& input);

// Absolute path of fuse-overlayfs, which shows the layers with other ids.
//   errors  unsupported, with the remedy
Result<std::string> find_id_mapping_overlay();

}  // namespace coracle
