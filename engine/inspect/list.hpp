// docker ps: which containers, in which order.
#pragma once

#include <functional>

#include "engine/context.hpp"

namespace coracle {

// The newest first; a view lives for one call.
//   errors  invalid_argument "invalid filter 'x'"; not_found: before or since names no container
Result<> list_containers(const Context& context, const ListOptions& options,
                         const std::function<void(const ContainerView&)>& visit);

}  // namespace coracle
