// A container as inspect and list show it.
#pragma once

#include "engine/container/container.hpp"
#include "engine/context.hpp"

namespace coracle {

// What a view is for: a list leaves out most of the configuration, and where the layers lie.
enum class Depth : std::uint8_t { inspect, list };
ContainerView view_of(const Context& context, const Container& c, Depth depth = Depth::inspect);

}  // namespace coracle
