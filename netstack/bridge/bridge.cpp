#include "netstack/bridge/bridge.hpp"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

#include <nftables/libnftables.h>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr std::uint32_t kMark = 1;
constexpr std::uint8_t kRouteTable = 100;
constexpr int kUplinks = 32;
constexpr int kDnsSockets = 16;
constexpr int kFanoutIgnoreOutgoing = 0x4000;  // PACKET_FANOUT_FLAG_IGNORE_OUTGOING, Linux 5.11
constexpr int kFrameBuffer = 4 << 20;          // the kernel cuts it to net.core.rmem_max

bool overlap(const Subnet& a, const Subnet& b) { return a.contains(b.base) || b.contains(a.base); }

// Requests whose effect may be there already.
Result<> run_once(Netlink& netlink, NetlinkRequest request, const char* step) {
  const auto done = netlink.run(std::move(request));
  if (!done && done.error().sys != EEXIST) return std::unexpected(done.error().within("{}", step));
  return {};
}

// Writes a sysctl of the calling thread's network namespace, unless it has the value.
Result<> write_sysctl(const std::string& name, const std::string& value) {
  const std::string path = "/proc/sys/net/" + name;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  TRY(const auto old, read_all(fd, 64));
  if (old == value + "\n") return {};
  fd.reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {} for writing", path);
  if (auto written = write_all(fd, value); !written)
    return std::unexpected(written.error().within("write {} to {}", value, path));
  return {};
}

Result<> run_nft(const std::string& rules) {
  const std::unique_ptr<nft_ctx, void (*)(nft_ctx*)> nft(nft_ctx_new(NFT_CTX_DEFAULT),
                                                         nft_ctx_free);
  if (!nft) return fail(Errc::internal, "start libnftables");
  nft_ctx_buffer_output(nft.get());
  nft_ctx_buffer_error(nft.get());
  if (nft_run_cmd_from_buffer(nft.get(), rules.c_str()) == 0) return {};
  std::string reason = nft_ctx_get_error_buffer(nft.get());
  reason = reason.substr(0, reason.find('\n'));
  return fail(Errc::unsupported, "install nftables rules: {}", reason);
}

// Frames come to us complete: checksums filled in, segments no longer than the MTU.
Result<> without_offloads(const char* name) {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("make a socket");
  for (const std::uint32_t what : {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO}) {
    ethtool_value off{what, 0};
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&off);
    if (::ioctl(fd.get(), SIOCETHTOOL, &request) != 0)
      return sys_error("switch off offload {:#x} of {}", what, name);
  }
  return {};
}

// Chooses one of the sockets that belong together by the IPv4 source address, modulo their number.
struct BySource {
  // See bpf(4) and linux/filter.h: loads from SKF_NET_OFF on are relative to the IP header. A
  // packet without one goes to the first socket.
  std::array<sock_filter, 2> code{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(SKF_NET_OFF) + 12},
      sock_filter{BPF_RET | BPF_A, 0, 0, 0}};
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
};

// SO_ATTACH_REUSEPORT_CBPF takes no modulo: so many are a power of two.
struct BySourceMasked {
  explicit BySourceMasked(std::uint32_t mask)
      : code{sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0,
                         static_cast<std::uint32_t>(SKF_NET_OFF) + 12},
             sock_filter{BPF_ALU | BPF_AND | BPF_K, 0, 0, mask},
             sock_filter{BPF_RET | BPF_A, 0, 0, 0}} {}
  std::array<sock_filter, 3> code;
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
};

Result<UniqueFd> open_frames(int index) {
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("make a packet socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kFrameBuffer, sizeof kFrameBuffer);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kFrameBuffer, sizeof kFrameBuffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return sys_error("bind a packet socket");
  return fd;
}

// See packet(7), PACKET_FANOUT. One socket where the kernel (before 5.11) would give us what we
// have written ourselves: containers then share its buffer.
Result<std::vector<UniqueFd>> open_uplinks(int index) {
  std::vector<UniqueFd> all;
  for (int i = 0; i < kUplinks; ++i) {
    TRY(auto fd, open_frames(index));
    // The group's number: another netstack's would be in its own namespace.
    const unsigned group = 1U | static_cast<unsigned>(PACKET_FANOUT_CBPF | kFanoutIgnoreOutgoing)
                                    << 16;
    if (::setsockopt(fd.get(), SOL_PACKET, PACKET_FANOUT, &group, sizeof group) != 0) {
      const int reason = errno;
      if (!all.empty()) return sys_error_of(reason, "join the packet sockets");
      log::warn("containers share one queue to the outside: errno {}", reason);
      all.push_back(std::move(fd));
      return all;
    }
    all.push_back(std::move(fd));
  }
  const BySource by_source;
  if (::setsockopt(all.front().get(), SOL_PACKET, PACKET_FANOUT_DATA, &by_source.program,
                   sizeof by_source.program) != 0)
    return sys_error("share out the packets among their sockets");
  return all;
}

Result<Mac> mac_of(const char* name) {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0)
    return sys_error("ask {} for its address", name);
  Mac mac{};
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

Result<UniqueFd> listen_on(int type, const SocketAddress& address) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("make a socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.get(), address.size()) != 0)
    return sys_error("bind {}", address.text());
  if (type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0)
    return sys_error("listen on {}", address.text());
  return fd;
}

Result<std::vector<UniqueFd>> listen_on_dns(const SocketAddress& address) {
  std::vector<UniqueFd> all;
  const int on = 1;
  for (int i = 0; i < kDnsSockets; ++i) {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return sys_error("make a socket");
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (::bind(fd.get(), address.get(), address.size()) != 0)
      return sys_error("bind {}", address.text());
    all.push_back(std::move(fd));
  }
  const BySourceMasked by_source(kDnsSockets - 1);
  if (::setsockopt(all.front().get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &by_source.program,
                   sizeof by_source.program) != 0)
    log::warn("containers share the queues of their queries: errno {}", errno);
  return all;
}

// The bridge, its address, and the ways that marked packets go.
Result<int> set_up_links(Netlink& netlink, const Subnet& subnet) {
  CHECK(run_once(netlink, set_up(kLoopback), "raise lo"));
  CHECK(run_once(netlink, add_bridge(kBridgeName, kMtu), "make the bridge"));
  TRY(const int bridge, netlink.index_of(kBridgeName));
  const Ipv4 gateway = gateway_of(subnet);
  CHECK(run_once(netlink, set_mac(bridge, mac_for(gateway)), "set the bridge's address"));
  CHECK(run_once(netlink, set_mtu(bridge, kMtu), "set the bridge's MTU"));
  CHECK(run_once(netlink, set_up(bridge), "raise the bridge"));
  CHECK(run_once(netlink, add_address(bridge, gateway, subnet.prefix_len), "address the bridge"));
  CHECK(run_once(netlink, add_local_route(kLoopback, kRouteTable), "route to our sockets"));
  CHECK(run_once(netlink, add_mark_rule(kMark, kRouteTable), "add a routing rule"));
  return bridge;
}

Result<std::vector<UniqueFd>> set_up_uplink(Netlink& netlink) {
  CHECK(run_once(netlink, add_veth_pair(kUplinkName, kUplinkFarName, kMtu), "make the uplink"));
  TRY(const int index, netlink.index_of(kUplinkName));
  TRY(const int far, netlink.index_of(kUplinkFarName));
  CHECK(without_offloads(kUplinkName));
  TRY(auto frames, open_uplinks(far));
  std::vector<NetlinkRequest> requests;
  requests.push_back(set_up(far));
  requests.push_back(set_up(index));
  requests.push_back(add_address(index, kSlirpPeer, kSlirpNet.prefix_len));
  requests.push_back(add_default_route(kSlirpHost));
  // Nobody there would answer for it, and no frame that a container sent depends on it.
  requests.push_back(add_neighbour(index, kSlirpHost, mac_for(kSlirpHost)));
  if (auto done = netlink.run(std::move(requests)); !done)
    return std::unexpected(done.error().within("set up the uplink"));
  return frames;
}

// Packets come in by one interface with the addresses of another: SYNs that are put back into the
// uplink, clients' addresses on the bridge.
Result<> set_sysctls() {
  CHECK(write_sysctl("ipv4/ip_forward", "1"));
  const std::string uplink = kUplinkName;
  const std::string bridge = kBridgeName;
  for (const auto& where : {std::string("all"), uplink, bridge})
    CHECK(write_sysctl("ipv4/conf/" + where + "/rp_filter", "0"));
  // A refusal in the name of the gateway comes in by the uplink.
  return write_sysctl("ipv4/conf/" + uplink + "/accept_local", "1");
}

// Without it libslirp relays TCP: slower, otherwise the same.
Result<UniqueFd> set_up_egress(const Subnet& subnet) {
  TRY(auto listener, listen_on(SOCK_STREAM, SocketAddress(kSlirpPeer, 0)));
  TRY(const auto address, local_address(listener.get()));
  CHECK(run_nft(egress_rules(subnet, address.port())));
  return listener;
}

}  // namespace

Result<Subnet> choose_subnet(const std::vector<Subnet>& routes) {
  std::vector<Subnet> pools;
  for (std::uint32_t i = 17; i < 32; ++i) pools.push_back({Ipv4{0xAC000000 | i << 16}, 16});
  for (std::uint32_t i = 0; i < 16; ++i) pools.push_back({Ipv4{0xC0A80000 | i << 12}, 20});
  for (const auto& pool : pools) {
    if (std::none_of(routes.begin(), routes.end(), [&](const auto& r) { return overlap(pool, r); }))
      return pool;
  }
  return fail(Errc::unavailable,
              "could not find an available, non-overlapping IPv4 address pool among the defaults "
              "to assign to the network: the host's routes cover 172.17.0.0 to 172.31.255.255 and "
              "192.168.0.0/16");
}

Result<Subnet> bridge_subnet() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("make a socket");
  const auto ask = [&](unsigned long what) -> Result<Ipv4> {
    ifreq request{};
    std::strncpy(request.ifr_name, kBridgeName, IFNAMSIZ - 1);
    if (::ioctl(fd.get(), what, &request) != 0)
      return fail(Errc::not_found, "{} has no address", kBridgeName);
    sockaddr_in address{};
    std::memcpy(&address, &request.ifr_addr, sizeof address);
    return Ipv4{ntohl(address.sin_addr.s_addr)};
  };
  TRY(const auto address, ask(SIOCGIFADDR));
  TRY(const auto mask, ask(SIOCGIFNETMASK));
  return Subnet{Ipv4{address.value & mask.value},
                static_cast<std::uint8_t>(std::popcount(mask.value))};
}

std::string gateway_rules(const Subnet& subnet, Ipv4 host) {
  // TCP to the gateway is the relay's; see egress_rules(). All else keeps the container's address
  // up to libslirp, which knows by it whose it is, and the kernel need not follow it: only what
  // goes to the gateway by UDP is on its way to another address, and comes back from there.
  std::string to_host;
  std::string back;
  if (host.value != 0) {
    back = fmt::format("ip saddr != {} ", to_string(host));
    to_host = fmt::format(R"(
  chain pre {{
    type nat hook prerouting priority dstnat;
    iifname "{}" ip daddr {} udp dport != {} dnat to {}
  }})",
                          kBridgeName, to_string(gateway_of(subnet)), kDnsPort, to_string(host));
  }
  return fmt::format(R"(
add table ip coracle
delete table ip coracle
table ip coracle {{{}
  chain raw {{
    type filter hook prerouting priority raw;
    iifname "{}" ip daddr != {} ip protocol {{ udp, icmp }} notrack
    iifname "{}" {}ip protocol {{ udp, icmp }} notrack
  }}
}}
)",
                     to_host, kBridgeName, to_string(subnet), kUplinkName, back);
}

std::string egress_rules(const Subnet& subnet, std::uint16_t relay_port) {
  // What goes to the gateway goes to the host: its SYN takes the name that stands for the host, and
  // with it the way to the uplink.
  return fmt::format(
      R"(
add table ip coracle_egress
delete table ip coracle_egress
table ip coracle_egress {{
  chain raw {{
    type filter hook prerouting priority raw;
    iifname "{bridge}" ip daddr {slirp} drop
    iifname "{bridge}" ip daddr {gateway} tcp dport != {dns} tcp flags & (syn|ack) == syn notrack ip daddr set {host}
    iifname "{bridge}" ip daddr != {subnet} tcp flags & (syn|ack) == syn notrack
    iifname "{uplink}" tcp flags & rst == rst notrack
  }}
  chain pre {{
    type nat hook prerouting priority dstnat;
    iifname "{uplink}" ip saddr {subnet} meta l4proto tcp redirect to :{port}
  }}
}}
)",
      fmt::arg("bridge", kBridgeName), fmt::arg("uplink", kUplinkName),
      fmt::arg("gateway", to_string(gateway_of(subnet))), fmt::arg("dns", kDnsPort),
      fmt::arg("host", to_string(kSlirpHost)), fmt::arg("slirp", to_string(kSlirpNet)),
      fmt::arg("subnet", to_string(subnet)), fmt::arg("port", relay_port));
}

std::string transparent_rules() {
  return fmt::format(R"(
add table ip coracle_transparent
delete table ip coracle_transparent
table ip coracle_transparent {{
  chain mangle {{
    type filter hook prerouting priority mangle;
    iifname "{}" meta l4proto {{ tcp, udp }} socket transparent 1 meta mark set {}
  }}
}}
)",
                     kBridgeName, kMark);
}

Result<BridgeParts> set_up_bridge(const Subnet& subnet, Ipv4 host) {
  BridgeParts parts;
  TRY(auto netlink, Netlink::open());
  // For the interfaces that are yet to come. A kernel without IPv6 has no such file.
  [[maybe_unused]] const auto without = write_sysctl("ipv6/conf/default/disable_ipv6", "1");
  TRY(parts.bridge_index, set_up_links(netlink, subnet));
  TRY(parts.uplinks, set_up_uplink(netlink));
  TRY(parts.uplink_mac, mac_of(kUplinkName));
  const auto sysctls = set_sysctls();
  if (!sysctls) log::warn("bridge sysctls not set: {}", sysctls.error().message);

  if (auto done = run_nft(gateway_rules(subnet, host)); !done)
    log::warn("containers do not reach the host's UDP ports by the gateway: {}",
              done.error().message);
  if (auto done = run_nft(source_rules()); done) {
    TRY(parts.guard, SourceGuard::make());
  } else {
    log::warn("containers can send in each other's name: {}", done.error().message);
  }
  if (sysctls) {
    auto egress = set_up_egress(subnet);
    if (egress)
      parts.relay_listener = *std::move(egress);
    else
      log::warn("outgoing TCP goes through libslirp, slower: {}", egress.error().message);
    auto transparent = run_nft(transparent_rules());
    parts.transparent = transparent.has_value();
    if (!transparent)
      log::warn("published ports show the gateway's address to containers: {}",
                transparent.error().message);
  }
  const SocketAddress dns(gateway_of(subnet), kDnsPort);
  TRY(parts.dns_udp, listen_on_dns(dns));
  TRY(parts.dns_tcp, listen_on(SOCK_STREAM, dns));
  return parts;
}

}  // namespace coracle::netstack
