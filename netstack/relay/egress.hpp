// Outgoing TCP of containers, past libslirp: the held SYN.
//
//   container ── SYN ──▶ bridge ──▶ uplink ──▶ take_frame(): not given to libslirp but held, while
//   we connect to its destination from the host's network namespace
//     connected    the SYN is written back into the uplink; the rules of bridge.cpp redirect what
//                  comes in there to our listener, and the kernel answers the container. accept(2)
//                  gives the connection; both sockets become a relay.
//     refused      RST to the container, in the destination's name
//     unreachable  ICMP, likewise
//     timed out    nothing: the container's own timer ends it
// So a refused address stays refused for the container, and all data goes by splice(2).
//
// Held SYNs are counted for each container (netstack/base/shares.hpp). Above its share its oldest
// is forgotten: that is the one which is least likely to be answered, and its next retransmission
// is a new attempt. A container whose connections, which stand, are its share has its SYN lost.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "netstack/base/address.hpp"
#include "netstack/base/log_limit.hpp"
#include "netstack/relay/relay.hpp"

namespace coracle::netstack {

// A TCP SYN in an ethernet frame, as far as we need it.
struct SynFrame {
  Ipv4 source;
  Ipv4 destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::size_t ip_header_size = 0;
};
// False for everything else, broken frames included.
bool parse_syn(std::span<const std::uint8_t> frame, SynFrame& into);

// The answers to a SYN, as ethernet frames for the uplink.   `shown`  the destination as the
// container named it
std::vector<std::uint8_t> make_reset(const SynFrame& syn, Ipv4 shown, const Mac& to);
//   code  of ICMP destination unreachable: 0 net, 1 host, 13 prohibited
std::vector<std::uint8_t> make_unreachable(std::span<const std::uint8_t> frame, const SynFrame& syn,
                                           Ipv4 shown, std::uint8_t code, const Mac& to);
// Another destination address in a SYN; checksums follow.
void rewrite_destination(std::span<std::uint8_t> frame, const SynFrame& syn, Ipv4 to);

// May containers reach it? Not the host's loopback, nor what is no host's address.
bool may_connect(Ipv4 destination);
// The address of the host by which services on all its addresses can be reached; 0 when it has only
// loopback.
Ipv4 host_address();

class Egress {
 public:
  struct Settings {
    int uplink = -1;  // borrowed
    Mac uplink_mac{};
    Ipv4 gateway;     // as containers name the host
    Ipv4 host_alias;  // as it stands in frames on the uplink
  };
  static Result<std::unique_ptr<Egress>> make(Loop& loop, Shares& shares, Relays& relays,
                                              Settings settings, UniqueFd listener);

  // True: the frame was a SYN and is dealt with.
  bool take_frame(std::span<const std::uint8_t> frame);

 private:
  Egress(Loop& loop, Shares& shares, Relays& relays, Settings settings, UniqueFd listener)
      : loop_(loop),
        shares_(shares),
        relays_(relays),
        settings_(settings),
        listener_(std::move(listener)) {}

  static constexpr std::size_t kLongestSyn = 14 + 60 + 60 + 256;  // with data (TCP fast open)
  using Key = std::array<std::uint64_t, 2>;
  struct Pending {
    Charge charge;  // of both sockets: accept(2) makes the second
    std::list<Key>::iterator place;
    SynFrame syn;
    std::array<std::uint8_t, kLongestSyn> frame{};
    std::size_t size = 0;
    UniqueFd outside;
    Loop::Watch watch;  // before connected
    Loop::Timer limit;  // after
  };
  static Key key_of(Ipv4 a, std::uint16_t a_port, Ipv4 b, std::uint16_t b_port);
  bool make_room(const TenantPtr& tenant);
  void forget(const Key& key);
  void forget_all_of(const TenantPtr& tenant);
  void connect(const Key& key, Pending& pending);
  void connected(const Key& key);
  void refuse(const Key& key, int reason);
  void accept();
  void write_uplink(std::span<const std::uint8_t> frame) const;
  [[nodiscard]] Ipv4 shown(const SynFrame& syn) const;

  Loop& loop_;
  Shares& shares_;
  Relays& relays_;
  Settings settings_;
  UniqueFd listener_;
  Loop::Watch watch_;
  Loop::Timer pause_;
  std::map<Key, std::unique_ptr<Pending>> pending_;
  std::map<const Tenant*, std::list<Key>> held_;  // the oldest first
  Seldom no_descriptor_, no_room_;
};

}  // namespace coracle::netstack
