// What keeper_probe tells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/json.hpp"

namespace coracle::test {

struct Seen {
  std::string error;
  bool one_id = false;
  std::vector<std::string> warnings;
  std::uint32_t uid = 0, gid = 0;
  std::int32_t groups = 0;
  std::string uid_map, gid_map;
  std::string user, mount, net;  // the namespaces: "user:[4026531837]"
  std::string directory;
};
void describe(auto& field, Seen& s) {
  field("error", s.error)("one_id", s.one_id)("warnings", s.warnings)("uid", s.uid)("gid", s.gid)(
      "groups", s.groups)("uid_map", s.uid_map)("gid_map", s.gid_map)("user", s.user)(
      "mount", s.mount)("net", s.net)("directory", s.directory);
}

}  // namespace coracle::test
