// The mounts of a request: Binds, Mounts, Tmpfs and the anonymous volumes of request and image
// become one list, a record a destination. Pure; volumes are made and sources looked at elsewhere.
#pragma once

#include <string>
#include <vector>

#include "engine/container/record.hpp"
#include "engine/types.hpp"

namespace coracle {

// In Docker's precedence: Mounts and Binds, then Tmpfs, then Config.Volumes where nothing is yet.
//   errors  invalid_argument, with Docker's texts; unsupported
Result<std::vector<MountRecord>> plan_mounts(const HostConfig& host, const ContainerConfig& config);

// One "src:dst[:opts]".
Result<MountRecord> parse_bind(const std::string& spec);
// Docker's rule for a volume's name.
Result<> check_volume_name(const std::string& name);

// As inspect and list show it.
MountPoint shown_mount(const MountRecord& mount);

}  // namespace coracle
