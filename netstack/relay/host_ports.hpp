// Ports of the host: which addresses and numbers a `-p` asks for, and the sockets bound to them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "netstack/base/address.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

struct BoundPort {
  PublishedPort port;
  UniqueFd socket;  // non-blocking; TCP: listening
};

// Is the port one of our own containers'? (The kernel would say the same of another process's.)
using Taken =
    std::function<bool(const std::string& proto, const std::string& ip, std::uint16_t port)>;

// Binds everything that was asked for, or nothing. Without an address both 0.0.0.0 and [::] are
// bound, with the same number; [::] is left out on a host without IPv6.
//   container  for Docker's texts
//   errors     conflict "Bind for 0.0.0.0:8080 failed: port is already allocated" (one of ours),
//              "failed to bind host port for …: address already in use" (another process);
//              forbidden below ip_unprivileged_port_start, with the remedy; invalid_argument
Result<std::vector<BoundPort>> bind_ports(const std::vector<PortRequest>& requests,
                                          const std::string& container, const Taken& taken);

// Called before the last use of a bound socket: the port can be bound again at once, although the
// keeper closes its copy only when it reads our message.
void release_port(int socket);

}  // namespace coracle::netstack
