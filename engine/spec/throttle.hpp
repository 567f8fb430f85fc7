// How hot each processor was, by which a container can learn what others do: masked where the host
// has it.
#pragma once

#include <string>
#include <vector>

namespace coracle {

// `cpus`: where the host's /sys/devices/system/cpu lies. The paths are those in a container.
std::vector<std::string> throttle_counters(const std::string& cpus);

}  // namespace coracle
