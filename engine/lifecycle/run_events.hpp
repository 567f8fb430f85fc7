// What a run's begin and end tell of networks and volumes: connect and mount before `start`,
// disconnect and unmount after `die`.
#pragma once

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/network/networks.hpp"

namespace coracle {

void announce_joined(EventLog& events, const Networks& networks, const Container& c);
void announce_left(EventLog& events, const Networks& networks, const Container& c);

}  // namespace coracle
