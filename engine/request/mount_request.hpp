// One mount of a request, checked and decided: HostConfig.Mounts as they are, and what a bind
// ("src:dst:mode") is short for. Pure; the words of the errors are Docker's.
#pragma once

#include <string>

#include "engine/container/record.hpp"
#include "engine/face/types.hpp"

namespace coracle {

//   errors  invalid_argument "invalid mount config for type "…": …"
Result<MountRecord> read_mount_request(const MountRequest& request);

// What a mode ("ro,z,rslave") says.
struct MountMode {
  bool rw = true, no_copy = false;
  std::string propagation;
};
// One word of each kind at most.   errors: invalid_argument "invalid mode: …"
Result<MountMode> parse_mount_mode(const std::string& mode);

// Options of --tmpfs ("size=64m,exec").  errors: invalid_argument
Result<std::vector<std::string>> parse_tmpfs_options(const std::string& options);

// errors: invalid_argument: not absolute, or "/"
Result<> check_mount_target(const std::string& target);

}  // namespace coracle
