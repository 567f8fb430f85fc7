// Nobody on the bridge speaks in another's name: what leaves a container's veth must have the
// container's own MAC and IPv4 address, in ARP too; all else is dropped, IPv6 among it, which our
// networks do not have. The shares of netstack/base/shares.hpp stand on it, and so do the answers
// that a neighbour gets.
//
// An nftables set of the bridge family names who may speak on which port of the bridge. It stays
// when netstack is started again: running containers lose no packet. One element comes with an
// attach and goes with a detach; as netlink messages of our own, since libnftables would take
// longer than all else that an attach does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "netstack/bridge/netlink.hpp"

namespace coracle::netstack {

// What a port of the bridge may send.
struct Speaker {
  int port = 0;  // interface index of the bridge's end of the veth
  Mac mac{};
  Ipv4 address;
};

// The rules as nft(8) reads them; run before a guard is made.
std::string source_rules();

class SourceGuard {
 public:
  // On a thread in the bridge namespace. May then be used from any one thread.
  static Result<SourceGuard> make();

  Result<> allow(const Speaker& speaker);
  // Unknown: no error.
  Result<> forbid(const Speaker& speaker);

 private:
  explicit SourceGuard(Netlink netlink) : netlink_(std::move(netlink)) {}
  Netlink netlink_;
};

}  // namespace coracle::netstack
