// The network of containers that run, after a netstack that left nothing to its successor: it was
// killed together with its keeper, which holds what a netstack knows.
#pragma once

#include "engine/parts.hpp"

namespace coracle {

// Gives netstack back every endpoint of a running container that it does not know: the address, the
// host's ports, the namespace. What cannot be had any more is told by the log and State.Error.
// Returns when all is done, or netstack does not answer.
Coro<void> restore_endpoints(Parts& parts);

}  // namespace coracle
