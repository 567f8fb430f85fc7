// Reads the CDI specifications of this host: *.json, *.yaml and *.yml in the given directories.
#pragma once

#include <string>
#include <vector>

#include "engine/spec/cdi.hpp"

namespace coracle::cdi {

// Blocks: for a worker. A file that cannot be read or understood is passed over, and logged: its
// devices are then unresolvable.
//   directories  in rising order of precedence; those that do not exist are passed over
std::vector<Spec> read_specs(const std::vector<std::string>& directories);

}  // namespace coracle::cdi
