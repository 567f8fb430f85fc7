// The bridge namespace: docker0 with its gateway address, the uplink that joins it to libslirp, the
// sysctls and nftables rules behind both relays (netstack/relay/egress.hpp,
// netstack/relay/port_forward.hpp). The uplink is a veth pair of which we hold the far end by a
// packet socket (packet(7)): what a tap would do, but it needs no /dev/net/tun, which many hosts
// keep from users. Everything is made so that it may be there already: netstack's successor finds
// its predecessor's bridge with containers on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "netstack/bridge/netlink.hpp"
#include "netstack/bridge/source_guard.hpp"

namespace coracle::netstack {

constexpr std::uint32_t kMtu = 65520;
constexpr const char* kBridgeName = "docker0";
constexpr const char* kUplinkName = "uplink";
constexpr const char* kUplinkFarName = "uplink-far";

// libslirp's network, of which containers see nothing. 192.0.0.0/24 is the IETF's for protocol
// assignments: no host lives there. `kSlirpHost` stands for the host in frames on the uplink.
constexpr Subnet kSlirpNet{Ipv4{0xC0000010}, 28};  // 192.0.0.16/28
constexpr Ipv4 kSlirpHost{0xC0000011};
constexpr Ipv4 kSlirpPeer{0xC0000012};
constexpr Ipv4 kSlirpDns{0xC0000013};

constexpr std::uint16_t kDnsPort = 53;

// The first of Docker's pools that overlaps no route of the host: 172.17.0.0/16 to 172.31.0.0/16,
// then 192.168.0.0/20 and so on.   errors: unavailable
Result<Subnet> choose_subnet(const std::vector<Subnet>& routes);
// The one that the bridge of the calling thread's namespace has: a predecessor's.
//   errors  not_found: there is no bridge yet, or it has no address
Result<Subnet> bridge_subnet();
inline Ipv4 gateway_of(const Subnet& s) { return Ipv4{s.base.value + 1}; }

struct BridgeParts {
  int bridge_index = 0;
  // Non-blocking: ethernet frames, one a read or write. What containers send comes by one or
  // another of them, always the same for a container: its flood fills that one's buffer and no
  // other. All are for writing.
  std::vector<UniqueFd> uplinks;
  Mac uplink_mac{};         // the kernel's end
  UniqueFd relay_listener;  // egress; absent when the kernel cannot redirect: libslirp serves TCP
  std::vector<UniqueFd> dns_udp;  // likewise
  UniqueFd dns_tcp;
  bool transparent = false;          // containers can see a client's own address
  std::optional<SourceGuard> guard;  // absent when the kernel cannot filter on a bridge
};
// On a thread in the bridge namespace, with CAP_NET_ADMIN over it.
//   errors  with the step; what only makes things slower is a warning in the log
//   host  the host's address, which UDP to the gateway reaches; 0: none
Result<BridgeParts> set_up_bridge(const Subnet& subnet, Ipv4 host);

// The rules as nft(8) reads them, for the tests and the doctor.
std::string gateway_rules(const Subnet& subnet, Ipv4 host);
std::string egress_rules(const Subnet& subnet, std::uint16_t relay_port);
std::string transparent_rules();

}  // namespace coracle::netstack
