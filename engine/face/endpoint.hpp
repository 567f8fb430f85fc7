// A container in a network.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coracle {

struct EndpointIpam {
  std::string ipv4_address, ipv6_address;
  std::vector<std::string> link_local_ips;
};
void describe(auto& field, EndpointIpam& e) {
  field("IPv4Address", e.ipv4_address)("IPv6Address", e.ipv6_address)("LinkLocalIPs",
                                                                      e.link_local_ips);
}

// One network of a container: the part that is asked for, and the part that stands while it runs.
struct EndpointSettings {
  std::optional<EndpointIpam> ipam;
  std::vector<std::string> links, aliases;
  std::map<std::string, std::string> driver_opts;
  std::int32_t gw_priority = 0;
  std::string mac_address;
  std::string network_id, endpoint_id, gateway, ip_address;
  std::int32_t ip_prefix_len = 0;
  std::string ipv6_gateway, global_ipv6_address;
  std::int32_t global_ipv6_prefix_len = 0;
  std::vector<std::string> dns_names;
};
void describe(auto& field, EndpointSettings& e) {
  field("IPAMConfig", e.ipam)("Links", e.links)("Aliases", e.aliases)("DriverOpts", e.driver_opts)(
      "GwPriority", e.gw_priority)("MacAddress", e.mac_address)("NetworkID", e.network_id)(
      "EndpointID", e.endpoint_id)("Gateway", e.gateway)("IPAddress", e.ip_address)(
      "IPPrefixLen", e.ip_prefix_len)("IPv6Gateway", e.ipv6_gateway)(
      "GlobalIPv6Address", e.global_ipv6_address)("GlobalIPv6PrefixLen", e.global_ipv6_prefix_len)(
      "DNSNames", e.dns_names);
}
using Endpoints = std::map<std::string, EndpointSettings>;  // by network name

}  // namespace coracle
