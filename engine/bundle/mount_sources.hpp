// Where binds come from: the host's files and directories, and our own socket under the names that
// clients know it by.
#pragma once

#include <string>
#include <vector>

#include "engine/container/record.hpp"
#include "engine/face/config.hpp"

namespace coracle {

// /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock, or the daemon's own socket by any path: as a
// bind's source each stands for this daemon.
bool names_our_socket(const EngineConfig& config, const std::string& source);

// What a bind of such a source binds in truth.
const std::string& socket_for_guests(const EngineConfig& config);

// errors: invalid_argument: a source that --mount names does not exist
Result<> check_bind_sources(const EngineConfig& config, const std::vector<MountRecord>& mounts);

// Sources of old-style binds, which are made as directories where they are missing.
std::vector<std::string> sources_to_make(const EngineConfig& config,
                                         const std::vector<MountRecord>& mounts);

// Makes a missing source, a directory of mode 0755 that is the user's. Blocking.
//   errors  "error while creating mount source path '…': …"
Result<> make_source(const std::string& path);

}  // namespace coracle
