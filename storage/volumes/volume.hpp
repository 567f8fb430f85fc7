// Named volumes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

// errors: invalid_argument, "create X: …" in Docker's words
Result<> check_volume_name(const std::string& name);

struct Volume {
  std::string name, driver = "local", mountpoint;
  std::map<std::string, std::string> labels, options;
  Time created;
  bool anonymous = false;
  // It is mounted while containers use it (a tmpfs): mount_volume before the first starts,
  // unmount_volume after the last has ended.
  [[nodiscard]] bool needs_mount() const;
  // Words of `o` that are attributes of each bind of it: ro, nosuid, nodev, noexec, …
  [[nodiscard]] std::vector<std::string> attributes() const;
};
void describe(auto& field, Volume& v) {
  field("name", v.name)("driver", v.driver)("mountpoint", v.mountpoint)("labels", v.labels)(
      "options", v.options)("created", v.created)("anonymous", v.anonymous);
}

// What an empty volume is to be filled with.
struct VolumeFill {
  std::string name;
  std::string subpath;  // a directory of the volume, or ""
  std::string image_id;
  std::string path;     // of the image; one that it has not, or that is no directory, gives nothing
  bool in_use = false;  // a container has it mounted: the directory may not be another one then
};

}  // namespace coracle::storage
