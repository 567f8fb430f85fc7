// What is kept of a container on disk: config.json (what was asked for, changed by rename alone)
// and state.json (what became of it). docs/formats.md tells the fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/types.hpp"
#include "netstack/protocol.hpp"

namespace coracle {

enum class MountType : std::uint8_t { bind, volume, tmpfs, image };
// The word of Docker's API, and of config.json.
const char* name_of(MountType type);
std::optional<MountType> parse_mount_type(const std::string& word);
json::Value leaf_to_json(const MountType& type);
Result<MountType> leaf_from_json(const json::Value& value, std::type_identity<MountType> /*tag*/);

// A mount as it was decided at create. A volume's place is looked up at each start.
struct MountRecord {
  MountType type = MountType::bind;
  std::string name;         // volume
  std::string source;       // bind: host path; volume: its mountpoint; image: its name
  std::string destination;  // clean, absolute
  std::string mode;         // as given: "ro,z"
  bool rw = true;
  std::string propagation;
  bool recursive = true, recursive_read_only = true;
  bool create_source = false;        // bind: a missing source becomes a directory
  bool no_copy = false;              // volume: not filled from the image
  bool anonymous = false;            // volume: goes with the container (--rm, rm -v)
  std::string subpath;               // volume, image: this directory or file of it
  std::string image_id, layer;       // image: what it is, and the layer of ours that mounts it
  std::vector<std::string> options;  // tmpfs
};
void describe(auto& field, MountRecord& m) {
  field("type", m.type)("name", m.name)("source", m.source)("destination", m.destination)(
      "mode", m.mode)("rw", m.rw)("propagation", m.propagation)("recursive", m.recursive)(
      "recursive_read_only", m.recursive_read_only)("create_source", m.create_source)(
      "no_copy", m.no_copy)("anonymous", m.anonymous)("subpath", m.subpath)("image_id", m.image_id)(
      "layer", m.layer)("options", m.options);
}

struct ContainerRecord {
  std::int32_t version = 1;
  std::string id, name;
  Time created;
  std::string image_id;
  ContainerConfig config;  // merged with the image's
  HostConfig host;         // defaults filled in
  Endpoints endpoints;     // the asked-for part
  std::vector<MountRecord> mounts;
};
void describe(auto& field, ContainerRecord& c) {
  field("version", c.version)("id", c.id)("name", c.name)("created", c.created)(
      "image_id", c.image_id)("config", c.config)("host", c.host)("endpoints", c.endpoints)(
      "mounts", c.mounts);
}

struct StateRecord {
  std::int32_t version = 1;
  Status status = Status::created;
  std::int32_t exit_code = 0;
  std::string error;
  bool oom_killed = false;
  Time started_at, finished_at;
  std::int32_t restart_count = 0;
  bool stopped_by_user = false;  // unless-stopped: not started again by itself
  Time restart_at;               // status restarting: when
  std::int32_t restart_delay_ms = 0;
  std::optional<netstack::Endpoint> endpoint;  // while it runs on bridge or none
  std::optional<HealthState> health;           // of one with a health check that has run once
};
void describe(auto& field, StateRecord& s) {
  field("version", s.version)("status", s.status)("exit_code", s.exit_code)("error", s.error)(
      "oom_killed", s.oom_killed)("started_at", s.started_at)("finished_at", s.finished_at)(
      "restart_count", s.restart_count)("stopped_by_user", s.stopped_by_user)(
      "restart_at", s.restart_at)("restart_delay_ms", s.restart_delay_ms)("endpoint", s.endpoint)(
      "health", s.health);
}

}  // namespace coracle
