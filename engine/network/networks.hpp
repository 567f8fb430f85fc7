// The predefined networks: bridge, host, none. Their ids are made once and kept in
// data_root/networks.json, since clients compare them.
#pragma once

#include <string>
#include <vector>

#include "engine/parts.hpp"

namespace coracle {

// Reads the ids, or makes them.
Result<> open_networks(Parts& parts);
//   errors  invalid_argument "invalid filter 'x'"
Result<std::vector<NetworkView>> list_networks(const Parts& parts, const Filters& filters);
// By id, name, or a unique prefix of the id.   errors  not_found "network X not found"
Result<NetworkView> find_network(const Parts& parts, const std::string& name);

}  // namespace coracle
