// The device nodes that --privileged gives: every one below /dev that this user may open, since a
// rootless engine can bind nodes but not make them.
#pragma once

#include <string>
#include <vector>

namespace coracle {

// Absolute paths, sorted; without those that every container has, terminals, and file systems of
// their own below /dev.
std::vector<std::string> host_devices();

// Every device node below a directory, for --device DIRECTORY.
std::vector<std::string> devices_below(const std::string& directory);

}  // namespace coracle
