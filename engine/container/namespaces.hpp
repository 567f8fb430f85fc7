// Namespaces of running containers, for those that join them.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/container/table.hpp"

namespace coracle {

// The network namespace of the container that `container:<id>` names.
//   errors  not_found; conflict: it does not run
Result<UniqueFd> open_netns_of(const ContainerTable& containers, const std::string& id);

}  // namespace coracle
