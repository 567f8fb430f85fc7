// docker ps: which containers, in which order.
#pragma once

#include <vector>

#include "engine/parts.hpp"

namespace coracle {

//   errors  invalid_argument "invalid filter 'x'"; not_found: before or since names no container
Result<std::vector<ContainerView>> list_containers(const Parts& parts, const ListOptions& options);

// The filters that look at a container alone (all but before, since, ancestor). Pure.
bool container_matches(const ContainerView& view, const Filters& filters);
// Keys, and values that have a form.
Result<> check_container_filters(const Filters& filters);

// "k" or "k=v", among labels; for images, volumes and networks too.
bool has_label(const std::map<std::string, std::string>& labels, const std::string& wanted);

}  // namespace coracle
