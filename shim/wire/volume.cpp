#include "shim/wire/volume.hpp"

#include "engine/base/json.hpp"

namespace coracle::wire {

json::Value volume_json(const storage::Volume& volume) {
  boost::json::object o;
  o["CreatedAt"] = to_rfc3339(volume.created);
  o["Driver"] = volume.driver;
  o["Labels"] = volume.labels.empty() ? json::Value(nullptr) : json::to_json(volume.labels);
  o["Mountpoint"] = volume.mountpoint;
  o["Name"] = volume.name;
  o["Options"] = volume.options.empty() ? json::Value(nullptr) : json::to_json(volume.options);
  o["Scope"] = "local";
  return o;
}

}  // namespace coracle::wire
