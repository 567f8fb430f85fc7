// A container as inspect and list show it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/container_config.hpp"
#include "engine/face/endpoint.hpp"
#include "engine/face/host_config.hpp"

namespace coracle {

enum class Status : std::uint8_t { created, running, paused, restarting, removing, exited, dead };
const char* name_of(Status status);
std::optional<Status> status_from_name(const std::string& name);
json::Value leaf_to_json(const Status& status);
Result<Status> leaf_from_json(const json::Value& value, std::type_identity<Status> /*tag*/);

struct MountPoint {  // as inspect and list show it
  std::string type, name, source, destination, driver, mode;
  bool rw = true;
  std::string propagation;
};
void describe(auto& field, MountPoint& m) {
  field("Type", m.type)("Name", m.name)("Source", m.source)("Destination", m.destination)(
      "Driver", m.driver)("Mode", m.mode)("RW", m.rw)("Propagation", m.propagation);
}

struct HealthProbe {
  Time start, end;
  std::int32_t exit_code = 0;  // -1: it could not run, or took too long
  std::string output;
};
void describe(auto& field, HealthProbe& h) {
  field("Start", h.start)("End", h.end)("ExitCode", h.exit_code)("Output", h.output);
}
struct HealthState {
  std::string status;  // none, starting, healthy, unhealthy
  std::int32_t failing_streak = 0;
  std::vector<HealthProbe> log;  // the last ones, oldest first
};
void describe(auto& field, HealthState& h) {
  field("Status", h.status)("FailingStreak", h.failing_streak)("Log", h.log);
}

struct ContainerView {
  std::string id, name;  // name without slash
  Time created;
  std::string path;  // of the process
  std::vector<std::string> args;
  Status status = Status::created;
  std::int32_t pid = 0, exit_code = 0;
  bool oom_killed = false;
  std::string error;
  Time started_at, finished_at;
  std::string image_id;
  std::string resolv_conf_path, hostname_path, hosts_path, log_path;
  std::int32_t restart_count = 0;
  std::string driver;  // of storage
  std::vector<std::string> exec_ids;
  std::vector<std::string> link_names;            // "web/db": what others that link to it call it
  ContainerConfig config;                         // merged with the image's
  HostConfig host;                                // defaults filled in
  std::map<std::string, std::string> graph_data;  // LowerDir, UpperDir, … for GraphDriver
  std::vector<MountPoint> mounts;
  std::string sandbox_id, sandbox_key;
  PortMap ports;  // while it runs: published; exposed-only ones have an empty list
  Endpoints endpoints;
  std::optional<HealthState> health;
  bool damaged = false;  // its files could not be read: `error` says which and why
};

}  // namespace coracle
