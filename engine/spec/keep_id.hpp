// HostConfig.UsernsMode: `host` (what everybody has: the container's root is the user), and
// `keep-id`: one ordinary user of the container *is* the user outside. The container then has a
// user namespace below the keeper's, in which that id and root have changed places; its root file
// system shows the layers' ids through the same exchange (docs/decisions/0030-keep-id.md). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/spec/oci.hpp"

namespace coracle {

// "keep-id", "keep-id:uid=N", "keep-id:uid=N,gid=N". What is absent is the container's own user's.
struct KeepIdRequest {
  std::optional<std::uint32_t> uid, gid;
  bool operator==(const KeepIdRequest&) const = default;
};
// Nothing for "" and "host".
//   errors  invalid_argument, as Docker: `invalid user namespace mode: X`
Result<std::optional<KeepIdRequest>> parse_userns_mode(const std::string& mode);

// Container ids -> ours, of which there are `ids` (0 is the user).
//   errors  invalid_argument: `id` is not among them
Result<std::vector<oci::IdMapping>> keep_id_map(std::uint32_t id, std::uint32_t ids);

// The same for fuse-overlayfs: an id in the layers, how it is shown, how many: "0:1000:1:…".
std::string layer_id_map(const std::vector<oci::IdMapping>& map);

// Where the container's root is among our ids.
std::uint32_t root_of(const std::vector<oci::IdMapping>& map);

}  // namespace coracle
