#include "engine/spec/throttle.hpp"

#include <sys/sysinfo.h>
#include <unistd.h>

#include "engine/base/path.hpp"
#include "engine/base/result.hpp"

namespace coracle {

std::vector<std::string> throttle_counters(const std::string& cpus) {
  std::vector<std::string> out;
  for (int cpu = 0; cpu < ::get_nprocs_conf(); ++cpu) {
    const auto below = fmt::format("cpu{}/thermal_throttle", cpu);
    if (::access(join_path(cpus, below).c_str(), F_OK) == 0)
      out.push_back(join_path("/sys/devices/system/cpu", below));
  }
  return out;
}

}  // namespace coracle
