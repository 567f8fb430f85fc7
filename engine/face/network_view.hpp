// A network.
#pragma once

#include <map>
#include <string>

#include "engine/base/ident.hpp"

namespace coracle {

// A network as `network inspect` shows it. Only the predefined ones exist so far.
struct NetworkView {
  std::string id, name, driver, subnet, gateway;
  Time created;
  bool internal = false;
  std::map<std::string, std::string> options, labels;
  struct Member {
    std::string name, endpoint_id, mac, address;  // address with "/len"
  };
  std::map<std::string, Member> members;  // running containers
};

}  // namespace coracle
