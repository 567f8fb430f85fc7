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

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <libmnl/libmnl.h>

namespace coracle::netstack {
namespace {

constexpr std::uint8_t kAddrGenNone = 1;         // IN6_ADDR_GEN_MODE_NONE
constexpr std::size_t kLongestRead = 32 * 1024;  // the kernel puts no more of a dump into one

ifinfomsg link_body(int index, unsigned flags, unsigned change) {
  ifinfomsg body{};
  body.ifi_family = AF_UNSPEC;
  body.ifi_index = index;
  body.ifi_flags = flags;
  body.ifi_change = change;
  return body;
}

void add(std::span<const char> message, std::vector<char>& to) {
  to.insert(to.end(), message.begin(), message.end());
}

Result<> send(const UniqueFd& socket, std::span<const char> messages) {
  if (::send(socket.get(), messages.data(), messages.size(), 0) < 0)
    return sys_error("ask netlink");
  return {};
}

// Reads messages and gives each to `take`, until that has the result.
template <class Take>
Result<> hear(const UniqueFd& socket, Take take) {
  std::vector<char> buffer(kLongestRead);
  for (;;) {
    const ssize_t n = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("hear from netlink");
    int left = static_cast<int>(n);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (const std::optional<Result<>> result = take(*message)) return *result;
    }
  }
}

// The fixed part of a message. Null: it is too short to have one.
template <class T>
const T* body_of(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(T)) return nullptr;
  return static_cast<const T*>(mnl_nlmsg_get_payload(&message));
}

// The errno that answers a request, 0 when it was carried out. Nothing: it is no such answer.
std::optional<int> error_in(const nlmsghdr& message) {
  if (message.nlmsg_type != NLMSG_ERROR) return std::nullopt;
  const auto* body = body_of<nlmsgerr>(message);
  return body != nullptr ? -body->error : EPROTO;
}

// An attribute of four bytes that stands behind a body of so many.
std::optional<std::uint32_t> u32_of(const nlmsghdr& message, std::size_t body, std::uint16_t type) {
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message));
  const auto* a = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, body));
  const auto left = [&] { return static_cast<int>(end - reinterpret_cast<const char*>(a)); };
  for (; mnl_attr_ok(a, left()); a = mnl_attr_next(a)) {
    if (mnl_attr_get_type(a) == type && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
      return mnl_attr_get_u32(a);
  }
  return std::nullopt;
}

}  // namespace

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) : bytes_(MNL_NLMSG_HDRLEN) {
  auto* header = mnl_nlmsg_put_header(bytes_.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
}

nlmsghdr* NetlinkRequest::with_room(std::size_t more) {
  bytes_.resize(bytes_.size() + MNL_ALIGN(more));
  return reinterpret_cast<nlmsghdr*>(bytes_.data());
}

void NetlinkRequest::append(const void* fixed, std::size_t size) {
  std::memcpy(mnl_nlmsg_put_extra_header(with_room(size), size), fixed, size);
}

NetlinkRequest& NetlinkRequest::put(std::uint16_t attribute, const void* data, std::size_t size) {
  mnl_attr_put(with_room(MNL_ATTR_HDRLEN + size), attribute, size, data);
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
  mnl_attr_nest_start(with_room(MNL_ATTR_HDRLEN), attribute);
  return at;
}

void NetlinkRequest::close(std::size_t opened) {
  mnl_attr_nest_end(with_room(0), reinterpret_cast<nlattr*>(bytes_.data() + opened));
}

std::span<const char> NetlinkRequest::finish(std::uint32_t seq, std::uint16_t flags) {
  auto* header = with_room(0);
  header->nlmsg_seq = seq;
  header->nlmsg_flags = static_cast<std::uint16_t>(header->nlmsg_flags | flags);
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
  const std::uint32_t first = seq_ + 1;
  std::vector<char> all;
  for (auto& r : requests) add(r.finish(++seq_, NLM_F_ACK), all);
  CHECK(send(socket_, all));
  std::size_t open = requests.size();
  int failed = 0;
  std::uint32_t which = 0;
  return hear(socket_, [&](const nlmsghdr& h) -> std::optional<Result<>> {
    const auto error = error_in(h);
    if (!error || h.nlmsg_seq < first) return std::nullopt;
    if (*error != 0 && failed == 0) {
      failed = *error;
      which = h.nlmsg_seq - first;
    }
    if (--open > 0) return std::nullopt;
    if (failed != 0) return sys_error_of(failed, "netlink request {}", which + 1);
    return Result<>();
  });
}

Result<> Netlink::run_between(NetlinkRequest before, NetlinkRequest request, NetlinkRequest after) {
  const std::uint32_t first = seq_ + 1;
  std::vector<char> all;
  add(before.finish(++seq_), all);
  add(request.finish(++seq_, NLM_F_ACK), all);
  add(after.finish(++seq_), all);
  CHECK(send(socket_, all));
  return hear(socket_, [&](const nlmsghdr& h) -> std::optional<Result<>> {
    const auto error = error_in(h);
    if (!error || h.nlmsg_seq < first) return std::nullopt;
    if (*error != 0) return sys_error_of(*error, "netlink transaction");
    if (h.nlmsg_seq != first + 1) return std::nullopt;
    return Result<>();
  });
}

Result<> Netlink::dump(NetlinkRequest request, const std::function<void(const nlmsghdr&)>& each) {
  CHECK(send(socket_, request.finish(++seq_)));
  return hear(socket_, [&](const nlmsghdr& h) -> std::optional<Result<>> {
    if (h.nlmsg_seq != seq_) return std::nullopt;
    if (h.nlmsg_type == NLMSG_DONE) return Result<>();
    const auto error = error_in(h);
    if (error.value_or(0) != 0) return sys_error_of(*error, "netlink dump");
    if (error) return Result<>();
    each(h);
    if ((h.nlmsg_flags & NLM_F_MULTI) == 0) return Result<>();
    return std::nullopt;
  });
}

Result<Link> Netlink::link_of(const std::string& name) {
  NetlinkRequest request(RTM_GETLINK, 0);
  request.body(link_body(0, 0, 0)).put_text(IFLA_IFNAME, name);
  Link link;
  const auto asked = dump(std::move(request), [&link](const nlmsghdr& h) {
    const auto* body = body_of<ifinfomsg>(h);
    if (body == nullptr) return;
    link.index = body->ifi_index;
    link.peer = static_cast<int>(u32_of(h, sizeof *body, IFLA_LINK).value_or(0));
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
    const auto* route = body_of<rtmsg>(h);
    if (route == nullptr || route->rtm_dst_len == 0 || route->rtm_table == RT_TABLE_LOCAL) return;
    if (const auto to = u32_of(h, sizeof *route, RTA_DST))
      routes.push_back(Subnet{Ipv4{ntohl(*to)}, route->rtm_dst_len});
  }));
  return routes;
}

}  // namespace coracle::netstack
