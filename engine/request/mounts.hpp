// The mounts of a request: what it takes from other containers, Binds, Mounts, Tmpfs and the
// anonymous volumes of request and image become one list, a record a destination. Pure; volumes are
// made and sources looked at elsewhere.
#pragma once

#include <string>
#include <vector>

#include "engine/container/record.hpp"
#include "engine/face/types.hpp"

namespace coracle {

// In Docker's precedence: Binds, Mounts and Tmpfs, of which none may stand at another's place; they
// cover what is `inherited` (the last of the same place counts); Config.Volumes where nothing is
// yet.
//   errors  invalid_argument, with Docker's texts
Result<std::vector<MountRecord>> plan_mounts(const HostConfig& host, const ContainerConfig& config,
                                             std::vector<MountRecord> inherited = {});

// One "src:dst[:mode]".
Result<MountRecord> parse_bind(const std::string& spec);

// --volumes-from: "container[:mode]".
struct VolumesFrom {
  std::string container;
  bool rw = true;
};
Result<VolumesFrom> parse_volumes_from(const std::string& spec);
// The mounts of that container as another one gets them.
std::vector<MountRecord> inherited_mounts(const ContainerRecord& from, bool rw);

// As inspect and list show it.
MountPoint shown_mount(const MountRecord& mount);

// Labels of SELinux that were asked for, and that nobody sets. `selinux`: does this host have it?
// Without it they mean nothing, to Docker as to us.
std::vector<std::string> label_warnings(const HostConfig& host,
                                        const std::vector<MountRecord>& mounts, bool selinux);

}  // namespace coracle
