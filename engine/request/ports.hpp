// Ports as Docker writes them ("80/tcp", "8000-8010", HostIp), as requests to netstack. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/face/types.hpp"
#include "netstack/protocol.hpp"

namespace coracle {

struct PortKey {
  std::uint16_t first = 0, last = 0;
  std::string proto;  // tcp, udp, sctp
};
// "80", "80/udp", "8000-8010/tcp".   errors  invalid_argument "invalid port specification: …"
Result<PortKey> parse_port_key(const std::string& text);

// What netstack has to publish: the bindings, and with publish_all every exposed port.
//   errors  invalid_argument; unsupported (sctp)
Result<std::vector<netstack::PortRequest>> port_requests(const HostConfig& host,
                                                         const ContainerConfig& config);

// The ports as inspect and list show them while the container runs.
PortMap shown_ports(const std::vector<netstack::PublishedPort>& published,
                    const ContainerConfig& config, const HostConfig& host);

}  // namespace coracle
