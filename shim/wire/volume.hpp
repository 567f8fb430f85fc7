// Volumes in Docker's JSON.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/base/json_fwd.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle::wire {

struct VolumeRequest {  // body of POST /volumes/create
  std::string name, driver;
  std::map<std::string, std::string> options, labels;
  std::optional<json::Raw> cluster;
};
void describe(auto& field, VolumeRequest& v) {
  field("Name", v.name)("Driver", v.driver)("DriverOpts", v.options)("Labels", v.labels)(
      "ClusterVolumeSpec", v.cluster);
}

json::Value volume_json(const storage::Volume& volume);

}  // namespace coracle::wire
