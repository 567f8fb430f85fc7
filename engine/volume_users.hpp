// Who has a volume mounted, and who is about to: held in Parts, kept by engine/volumes.
#pragma once

#include <map>
#include <set>
#include <string>

#include "engine/base/async.hpp"

namespace coracle {

struct VolumeUsers {
  explicit VolumeUsers(asio::io_context& io) : changing(io), mounting(io) {}

  // By volume: containers that have it mounted, from before their start until after their end.
  std::map<std::string, std::set<std::string>> mounted;
  // By volume: containers that are being created with it, and are in no table yet.
  std::map<std::string, std::set<std::string>> claimed;
  Turns changing;  // create and remove: a volume is not removed while somebody is given it
  Turns mounting;  // mount(2), umount(2), and the decision for them
};

}  // namespace coracle
