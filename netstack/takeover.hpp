// What netstack is asked when its keeper was killed, or all that it knew was lost with both. A
// connection of its own for each question, on netstack.sock, beside the client's; blocking: for a
// worker, or the keeper.
//
//   adopt {seq}, and one descriptor     -> the end of a new keeper's vault (netstack/protocol.hpp).
//                                          Answered at once; then everything is put into it
//   restore {endpoint}, and one descriptor
//                                       -> Endpoint. Of a container that runs: its network
//                                          namespace, and what it had, which it gets again: its
//                                          address, the same ports. Its eth0 is still there when
//                                          the bridge's namespace is; else it gets another one. A
//                                          container that netstack knows: its endpoint
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

//   connection  to netstack.sock
//   errors      unsupported, invalid_argument: an older netstack; unavailable: no answer in 2 s
Result<> give_vault(const UniqueFd& connection, const UniqueFd& vault);

//   socket  path of netstack.sock
//   errors  conflict: one of its ports is another's by now; unavailable: no answer in 5 s
Result<Endpoint> restore_endpoint(const std::string& socket, Endpoint endpoint,
                                  const UniqueFd& netns);

}  // namespace coracle::netstack
