// What a run's begin and end tell of networks and volumes: connect and mount before `start`,
// disconnect and unmount after `die`.
#pragma once

#include "engine/container/container.hpp"
#include "engine/network/networks.hpp"
#include "engine/parts.hpp"

namespace coracle {

void announce_joined(Parts& parts, const Networks& networks, const Container& c);
void announce_left(Parts& parts, const Networks& networks, const Container& c);

}  // namespace coracle
