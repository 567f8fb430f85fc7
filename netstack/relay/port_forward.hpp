// Published ports. TCP: accept on the host, connect to the container from a socket inside the
// bridge namespace that is bound to the client's own address, and relay. UDP: one such socket a
// client, closed when idle.
//
// The container's answers go to the client's address, which is not on its network, so they come to
// the bridge; the rules of bridge.cpp deliver them to our socket. Clients on the host's loopback,
// IPv6 clients, and those whose address lies in the bridge's own network appear as the gateway.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netstack/base/log_limit.hpp"
#include "netstack/relay/host_ports.hpp"
#include "netstack/relay/relay.hpp"
#include "netstack/relay/socket_pool.hpp"

namespace coracle::netstack {

// What every published port needs; lives as long as they do.
struct ForwardContext {
  Loop& loop;
  Shares& shares;
  Relays& relays;
  SocketPool& tcp_sockets;
  SocketPool& udp_sockets;
  Subnet subnet;
  Ipv4 gateway;
  bool transparent = false;
  Seldom no_descriptor{};
  Seldom no_room{};
  std::vector<char> datagram = std::vector<char>(65536);  // the longest one, for all UDP ports
};

// The address that the container sees.
Ipv4 visible_address(const ForwardContext& context, const SocketAddress& client);

class Forward {
 public:
  virtual ~Forward() = default;
  [[nodiscard]] virtual const PublishedPort& port() const = 0;
  [[nodiscard]] virtual int socket() const = 0;  // borrowed, for the vault
};

// Serves a bound port until it is destroyed; relays that stand then are ended with their container.
// Above the container's share clients wait in the port's backlog until another one has ended: what
// stands is not cut off for what comes.
Result<std::unique_ptr<Forward>> serve(ForwardContext& context, BoundPort bound, TenantPtr tenant);

}  // namespace coracle::netstack
