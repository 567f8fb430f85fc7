#include "netstack/bridge/netlink.hpp"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace coracle::netstack {
namespace {

constexpr std::uint8_t kAddrGenNone = 1;  // IN6_ADDR_GEN_MODE_NONE

ifinfomsg link_body(int index, unsigned flags, unsigned change) {
  ifinfomsg body{};
  body.ifi_family = AF_UNSPEC;
  body.ifi_index = index;
  body.ifi_flags = flags;
  body.ifi_change = change;
  return body;
}

}  // namespace

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  append(&header, sizeof header);
}

void NetlinkRequest::append(const void* data, std::size_t size) {
  const auto at = bytes_.size();
  bytes_.resize(at + NLMSG_ALIGN(size));
  if (size != 0) std::memcpy(bytes_.data() + at, data, size);
}

NetlinkRequest& NetlinkRequest::put(std::uint16_t attribute, const void* data, std::size_t size) {
  rtattr header{};
  header.rta_type = attribute;
  header.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
  append(&header, sizeof header);
  append(data, size);
  return *this;
}

NetlinkRequest& NetlinkRequest::put_u8(std::uint16_t attribute, std::uint8_t value) {
  return put(attribute, &value, sizeof value);
}

NetlinkRequest& NetlinkRequest::put_u32(std::uint16_t attribute, std::uint32_t value) {
  return put(attribute, &value, sizeof value);
}

NetlinkRequest& NetlinkRequest::put_text(std::uint16_t attribute, const std::string& text) {
  return put(attribute, text.c_str(), text.size() + 1);
}

NetlinkRequest& NetlinkRequest::put_ipv4(std::uint16_t attribute, Ipv4 address) {
  return put_u32(attribute, htonl(address.value));
}

std::size_t NetlinkRequest::open(std::uint16_t attribute) {
  const auto at = bytes_.size();
  put(attribute, nullptr, 0);
  return at;
}

void NetlinkRequest::close(std::size_t opened) {
  rtattr header{};
  std::memcpy(&header, bytes_.data() + opened, sizeof header);
  header.rta_len = static_cast<std::uint16_t>(bytes_.size() - opened);
  std::memcpy(bytes_.data() + opened, &header, sizeof header);
}

std::span<const char> NetlinkRequest::finish(std::uint32_t seq) {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
  header.nlmsg_seq = seq;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

Result<Netlink> Netlink::open(int protocol) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return sys_error("open a netlink socket");
  return Netlink(std::move(fd));
}

Result<> Netlink::run(NetlinkRequest request) {
  std::vector<NetlinkRequest> one;
  one.push_back(std::move(request));
  return run(std::move(one));
}

Result<> Netlink::run(std::vector<NetlinkRequest> requests) {
  std::vector<char> all;
  const std::uint32_t first = seq_ + 1;
  for (auto& r : requests) {
    const auto bytes = r.finish(++seq_);
    const auto at = all.size();
    all.insert(all.end(), bytes.begin(), bytes.end());
    nlmsghdr header{};
    std::memcpy(&header, all.data() + at, sizeof header);
    header.nlmsg_flags = static_cast<std::uint16_t>(header.nlmsg_flags | NLM_F_ACK);
    std::memcpy(all.data() + at, &header, sizeof header);
  }
  if (::send(socket_.get(), all.data(), all.size(), 0) < 0) return sys_error("ask netlink");
  std::uint32_t open = static_cast<std::uint32_t>(requests.size());
  int failed = 0;
  std::uint32_t which = 0;
  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  while (open > 0) {
    ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("hear from netlink");
    auto left = static_cast<std::uint32_t>(n);
    for (auto* h = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq < first) continue;
      const auto* e = static_cast<const nlmsgerr*>(NLMSG_DATA(h));
      if (e->error != 0 && failed == 0) {
        failed = -e->error;
        which = h->nlmsg_seq - first;
      }
      --open;
    }
  }
  if (failed != 0) return sys_error_of(failed, "netlink request {}", which + 1);
  return {};
}

Result<> Netlink::run_between(NetlinkRequest before, NetlinkRequest request, NetlinkRequest after) {
  const std::uint32_t first = seq_ + 1;
  std::vector<char> all;
  for (auto* r : {&before, &request, &after}) {
    const auto bytes = r->finish(++seq_);
    const auto at = all.size();
    all.insert(all.end(), bytes.begin(), bytes.end());
    if (r != &request) continue;
    nlmsghdr header{};
    std::memcpy(&header, all.data() + at, sizeof header);
    header.nlmsg_flags = static_cast<std::uint16_t>(header.nlmsg_flags | NLM_F_ACK);
    std::memcpy(all.data() + at, &header, sizeof header);
  }
  if (::send(socket_.get(), all.data(), all.size(), 0) < 0) return sys_error("ask netlink");
  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("hear from netlink");
    auto left = static_cast<std::uint32_t>(n);
    for (auto* h = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq < first) continue;
      const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(h))->error;
      if (error != 0) return sys_error_of(error, "netlink transaction");
      if (h->nlmsg_seq == first + 1) return {};
    }
  }
}

Result<> Netlink::dump(NetlinkRequest request, const std::function<void(const nlmsghdr&)>& each) {
  const auto bytes = request.finish(++seq_);
  if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) return sys_error("ask netlink");
  std::vector<char> buffer(32 * 1024);
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("hear from netlink");
    auto left = static_cast<std::uint32_t>(n);
    for (auto* h = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_seq != seq_) continue;
      if (h->nlmsg_type == NLMSG_DONE) return {};
      if (h->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(h))->error;
        if (error == 0) return {};
        return sys_error_of(error, "netlink dump");
      }
      each(*h);
      if ((h->nlmsg_flags & NLM_F_MULTI) == 0) return {};
    }
  }
}

Result<Link> Netlink::link_of(const std::string& name) {
  NetlinkRequest request(RTM_GETLINK, 0);
  request.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, name);
  Link link;
  const auto asked = dump(std::move(request), [&link](const nlmsghdr& h) {
    auto* body = static_cast<ifinfomsg*>(NLMSG_DATA(const_cast<nlmsghdr*>(&h)));
    link.index = body->ifi_index;
    auto left = h.nlmsg_len - static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof *body));
    for (auto* a = IFLA_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == IFLA_LINK && RTA_PAYLOAD(a) == sizeof link.peer)
        std::memcpy(&link.peer, RTA_DATA(a), sizeof link.peer);
    }
  });
  if (!asked) {
    auto error = asked.error().within("look up the interface {}", name);
    return std::unexpected(error.sys == ENODEV ? error.as(Errc::not_found) : error);
  }
  return link;
}

Result<int> Netlink::index_of(const std::string& name) {
  TRY(const auto link, link_of(name));
  return link.index;
}

Result<UniqueFd> Netlink::name_space() const {
  UniqueFd fd(::ioctl(socket_.get(), SIOCGSKNS));
  if (!fd) return sys_error("open the network namespace of a socket");
  return fd;
}

NetlinkRequest add_bridge(const std::string& name, std::uint32_t mtu) {
  NetlinkRequest r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  r.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, name).put_u32(IFLA_MTU, mtu);
  const auto info = r.open(IFLA_LINKINFO);
  r.put_text(IFLA_INFO_KIND, "bridge");
  r.close(info);
  return r;
}

NetlinkRequest add_veth(int bridge_index, std::uint32_t mtu, const std::string& peer_name,
                        const UniqueFd& peer_netns) {
  NetlinkRequest r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  r.body(link_body(0, IFF_UP, IFF_UP));
  r.put_u32(IFLA_MASTER, static_cast<std::uint32_t>(bridge_index)).put_u32(IFLA_MTU, mtu);
  const auto info = r.open(IFLA_LINKINFO);
  r.put_text(IFLA_INFO_KIND, "veth");
  const auto data = r.open(IFLA_INFO_DATA);
  const auto peer = r.open(VETH_INFO_PEER);
  // Up in the same message fails with ENOTCONN: raised from inside.
  r.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, peer_name).put_u32(IFLA_MTU, mtu);
  r.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_netns.get()));
  r.close(peer);
  r.close(data);
  r.close(info);
  return r;
}

NetlinkRequest add_veth_pair(const std::string& name, const std::string& peer, std::uint32_t mtu) {
  NetlinkRequest r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  r.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, name).put_u32(IFLA_MTU, mtu);
  const auto info = r.open(IFLA_LINKINFO);
  r.put_text(IFLA_INFO_KIND, "veth");
  const auto data = r.open(IFLA_INFO_DATA);
  const auto other = r.open(VETH_INFO_PEER);
  r.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, peer).put_u32(IFLA_MTU, mtu);
  r.close(other);
  r.close(data);
  r.close(info);
  return r;
}

NetlinkRequest set_up(int index) {
  NetlinkRequest r(RTM_NEWLINK, 0);
  r.body(link_body(index, IFF_UP, IFF_UP));
  return r;
}

NetlinkRequest without_link_local(int index) {
  NetlinkRequest r(RTM_NEWLINK, 0);
  r.body(link_body(index, 0, 0));
  const auto spec = r.open(IFLA_AF_SPEC);
  const auto v6 = r.open(AF_INET6);
  r.put_u8(IFLA_INET6_ADDR_GEN_MODE, kAddrGenNone);
  r.close(v6);
  r.close(spec);
  return r;
}

NetlinkRequest set_mtu(int index, std::uint32_t mtu) {
  NetlinkRequest r(RTM_NEWLINK, 0);
  r.body(link_body(index, 0, 0)).put_u32(IFLA_MTU, mtu);
  return r;
}

NetlinkRequest set_mac(int index, const Mac& mac) {
  NetlinkRequest r(RTM_NEWLINK, 0);
  r.body(link_body(index, 0, 0)).put(IFLA_ADDRESS, mac.data(), mac.size());
  return r;
}

NetlinkRequest add_address(int index, Ipv4 address, std::uint8_t prefix_len) {
  NetlinkRequest r(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = prefix_len;
  body.ifa_index = static_cast<std::uint32_t>(index);
  const Subnet net{address, prefix_len};
  r.body(body).put_ipv4(IFA_LOCAL, address).put_ipv4(IFA_ADDRESS, address);
  r.put_ipv4(IFA_BROADCAST, net.broadcast());
  return r;
}

NetlinkRequest add_default_route(Ipv4 gateway) {
  NetlinkRequest r(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_BOOT;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  r.body(body).put_ipv4(RTA_GATEWAY, gateway);
  return r;
}

NetlinkRequest add_neighbour(int index, Ipv4 address, const Mac& mac) {
  NetlinkRequest r(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  ndmsg body{};
  body.ndm_family = AF_INET;
  body.ndm_ifindex = index;
  body.ndm_state = NUD_PERMANENT;
  r.body(body).put_ipv4(NDA_DST, address).put(NDA_LLADDR, mac.data(), mac.size());
  return r;
}

NetlinkRequest add_mark_rule(std::uint32_t mark, std::uint8_t table) {
  NetlinkRequest r(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
  fib_rule_hdr body{};
  body.family = AF_INET;
  body.table = table;
  body.action = FR_ACT_TO_TBL;
  // A rule is known by its priority and selectors: the same again is EEXIST.
  r.body(body).put_u32(FRA_PRIORITY, 100).put_u32(FRA_FWMARK, mark);
  return r;
}

NetlinkRequest add_local_route(int lo_index, std::uint8_t table) {
  NetlinkRequest r(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_table = table;
  body.rtm_protocol = RTPROT_BOOT;
  body.rtm_scope = RT_SCOPE_HOST;
  body.rtm_type = RTN_LOCAL;
  r.body(body).put_u32(RTA_OIF, static_cast<std::uint32_t>(lo_index));
  return r;
}

Result<std::vector<Subnet>> list_routes(Netlink& netlink) {
  NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
  rtmsg body{};
  body.rtm_family = AF_INET;
  request.body(body);
  std::vector<Subnet> routes;
  CHECK(netlink.dump(std::move(request), [&routes](const nlmsghdr& h) {
    auto* m = static_cast<rtmsg*>(NLMSG_DATA(const_cast<nlmsghdr*>(&h)));
    if (m->rtm_dst_len == 0 || m->rtm_table == RT_TABLE_LOCAL) return;
    auto left = h.nlmsg_len - static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof *m));
    for (auto* a = RTM_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type != RTA_DST || RTA_PAYLOAD(a) != 4) continue;
      std::uint32_t dst = 0;
      std::memcpy(&dst, RTA_DATA(a), sizeof dst);
      routes.push_back(Subnet{Ipv4{ntohl(dst)}, m->rtm_dst_len});
    }
  }));
  return routes;
}

}  // namespace coracle::netstack
