// What a monitor is started with. A container that may trace processes (SYS_PTRACE) can read it
// from a process that joins it, which is a copy of its monitor: none of it is this user's own.
#pragma once

#include <string>
#include <vector>

namespace coracle {

// PATH (for fuse-overlayfs), and what tests set.
std::vector<std::string> monitor_environment();

}  // namespace coracle
