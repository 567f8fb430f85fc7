// The network of containers that run, after a netstack that left nothing to its successor: it was
// killed together with its keeper, which holds what a netstack knows.
#pragma once

#include "engine/parts.hpp"

namespace coracle {

// Gives netstack back every endpoint of a running container that it does not know: the address, the
// host's ports, the namespace. What cannot be had any more is told by the log and State.Error.
// Returns when all is done, or netstack does not answer.
Coro<void> restore_endpoints(Parts& parts);

// A start that was under way then may have been given what is another's: an address or a port of a
// container that runs, and that netstack did not know yet.
bool belongs_to_another(const Parts& parts, const std::string& id, const netstack::Endpoint& given);
// Gives that back, and attaches once more when the others have theirs.
Task<netstack::Attachment> attach_again(Parts& parts, netstack::AttachRequest request);

}  // namespace coracle
