// docker ps: which containers, in which order.
#pragma once

#include <string>
#include <vector>

#include "engine/parts.hpp"

namespace coracle {

//   errors  invalid_argument "invalid filter 'x'"; not_found: before or since names no container
Result<std::vector<ContainerView>> list_containers(const Parts& parts, const ListOptions& options);

// "k" or "k=v", among labels; for images, volumes and networks too.
bool has_label(const std::map<std::string, std::string>& labels, const std::string& wanted);

}  // namespace coracle
