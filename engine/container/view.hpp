// A container as inspect and list show it.
#pragma once

#include "engine/container/container.hpp"
#include "engine/parts.hpp"

namespace coracle {

ContainerView view_of(const Parts& parts, const Container& c);

}  // namespace coracle
