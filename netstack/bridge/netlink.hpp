// rtnetlink(7): requests as values, a socket that carries them out, and the few acts that bridges,
// veth pairs and namespaces are made of. A socket belongs to the network namespace of the thread
// that opened it, and may then be used from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "netstack/base/address.hpp"

struct nlmsghdr;

namespace coracle::netstack {

constexpr int kLoopback = 1;  // the index of lo, the first interface of every namespace

// One message, built attribute by attribute.
class NetlinkRequest {
 public:
  //   type   RTM_*        flags  NLM_F_*; NLM_F_REQUEST is added
  NetlinkRequest(std::uint16_t type, std::uint16_t flags);

  template <class T>
  NetlinkRequest& body(const T& fixed) {
    append(&fixed, sizeof fixed);
    return *this;
  }
  NetlinkRequest& put(std::uint16_t attribute, const void* data, std::size_t size);
  NetlinkRequest& put_u8(std::uint16_t attribute, std::uint8_t value);
  NetlinkRequest& put_u32(std::uint16_t attribute, std::uint32_t value);
  NetlinkRequest& put_text(std::uint16_t attribute, const std::string& text);
  NetlinkRequest& put_ipv4(std::uint16_t attribute, Ipv4 address);
  // A nested attribute: everything until close() with the value that open() gave.
  std::size_t open(std::uint16_t attribute);
  void close(std::size_t opened);

  // The bytes, with the sequence number put in, and flags to those that there are.
  [[nodiscard]] std::span<const char> finish(std::uint32_t seq, std::uint16_t flags = 0);

 private:
  void append(const void* fixed, std::size_t size);
  // The message, with room for so many bytes at its end.
  nlmsghdr* with_room(std::size_t more);
  std::vector<char> bytes_;  // nlmsg_len of them
};

struct Link {
  int index = 0;
  int peer = 0;  // of a veth: the other end's index, in its namespace
};

class Netlink {
 public:
  // In the namespace of the calling thread.
  static Result<Netlink> open(int protocol = 0 /* NETLINK_ROUTE */);

  // Carries them out in order, with one system call to send them. The error is that of the first
  // that failed; the kernel goes on with the others.
  Result<> run(std::vector<NetlinkRequest> requests);
  Result<> run(NetlinkRequest request);
  // One between two others that are sent with it and not answered: a transaction of nfnetlink.
  Result<> run_between(NetlinkRequest before, NetlinkRequest request, NetlinkRequest after);
  // Calls `each` for every answer.
  Result<> dump(NetlinkRequest request, const std::function<void(const nlmsghdr&)>& each);

  // errors: not_found
  Result<Link> link_of(const std::string& name);
  Result<int> index_of(const std::string& name);
  // The namespace that this socket lives in. See SIOCGSKNS.
  Result<UniqueFd> name_space() const;
  [[nodiscard]] const UniqueFd& fd() const { return socket_; }

 private:
  explicit Netlink(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
  std::uint32_t seq_ = 0;
};

// Requests, each one act.
NetlinkRequest add_bridge(const std::string& name, std::uint32_t mtu);
// A veth pair: one end stays here, up, in `bridge_index`; `peer_name` goes down into `peer_netns`.
NetlinkRequest add_veth(int bridge_index, std::uint32_t mtu, const std::string& peer_name,
                        const UniqueFd& peer_netns);
// A veth pair with both ends here, down.
NetlinkRequest add_veth_pair(const std::string& name, const std::string& peer, std::uint32_t mtu);
NetlinkRequest set_up(int index);
// Our networks are IPv4: no IPv6 link-local address when it is raised, and no chatter to make it
// known. Fails on a kernel without IPv6, which needs it no more than that.
NetlinkRequest without_link_local(int index);
NetlinkRequest set_mtu(int index, std::uint32_t mtu);
NetlinkRequest set_mac(int index, const Mac& mac);
NetlinkRequest add_address(int index, Ipv4 address, std::uint8_t prefix_len);
NetlinkRequest add_default_route(Ipv4 gateway);
// Its MAC is known for good: nobody is asked.
NetlinkRequest add_neighbour(int index, Ipv4 address, const Mac& mac);
// ip rule add fwmark MARK lookup TABLE; ip route add local default dev lo table TABLE
NetlinkRequest add_mark_rule(std::uint32_t mark, std::uint8_t table);
NetlinkRequest add_local_route(int lo_index, std::uint8_t table);

// The IPv4 routes of the namespace, the default route left out.
Result<std::vector<Subnet>> list_routes(Netlink& netlink);

}  // namespace coracle::netstack
