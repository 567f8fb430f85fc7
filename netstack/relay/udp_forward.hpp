// Published UDP ports: a flow a client, each with a socket of its own inside the bridge namespace,
// bound to the client's address. Answers leave by the address that the client wrote to. Above the
// container's share the flow that was idle longest gives way.
#pragma once

#include <memory>

#include "netstack/relay/port_forward.hpp"

namespace coracle::netstack {

Result<std::unique_ptr<Forward>> serve_udp(ForwardContext& context, BoundPort bound,
                                           TenantPtr tenant);

}  // namespace coracle::netstack
