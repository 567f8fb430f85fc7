// This engine and its host.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace coracle {

struct SystemInfo {
  std::string id, name, operating_system, os_version, kernel_version,
      architecture;  // architecture as uname
  std::int32_t cpus = 0;
  std::int64_t memory = 0;
  std::size_t containers = 0, running = 0, paused = 0, stopped = 0, images = 0;
  std::string driver, log_driver;
  std::vector<std::string> log_drivers;
  std::vector<std::pair<std::string, std::string>> driver_status;
  std::string cgroup_driver = "none", cgroup_version;
  bool memory_limit = false, swap_limit = false, cpu_cfs = false, cpu_shares = false,
       cpuset = false, pids_limit = false;
  std::vector<std::string> security_options, warnings;
  std::string data_root;
  std::vector<std::string> labels;
  std::vector<std::string> mirrors, insecure_registries;
  std::vector<std::string> cdi_spec_dirs;
  std::vector<std::string> cdi_devices;  // System::cdi_devices(), where they are asked for
  std::size_t event_listeners = 0;
};

}  // namespace coracle
