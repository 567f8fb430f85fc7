#include "netstack/relay/egress.hpp"

#include <ifaddrs.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/log.hpp"
#include "netstack/base/accept.hpp"
#include "netstack/base/frame.hpp"

namespace coracle::netstack {
namespace {

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kAck = 0x10;
// Connections that are being made, a container.
constexpr std::size_t kMostPending = 512;
// From the SYN that is put back to accept(2): the container may have gone in between.
constexpr std::chrono::seconds kAcceptLimit{10};

std::uint16_t read16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }
std::uint32_t read32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16 |
         static_cast<std::uint32_t>(p[2]) << 8 | p[3];
}
void write16(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
void write32(std::uint8_t* p, std::uint32_t v) {
  write16(p, v >> 16);
  write16(p + 2, v);
}

// The Internet checksum (RFC 1071) of some bytes, `sum` carried on.
std::uint32_t add_words(std::span<const std::uint8_t> bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += read16(&bytes[i]);
  if (bytes.size() % 2 != 0) sum += static_cast<std::uint32_t>(bytes.back()) << 8;
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_ethernet(std::vector<std::uint8_t>& frame, const Mac& to) {
  std::copy(to.begin(), to.end(), frame.begin());
  frame[6] = 0x02;  // ours: a local address
  write16(&frame[12], 0x0800);
}
void put_ipv4(std::span<std::uint8_t> packet, std::uint8_t protocol, Ipv4 from, Ipv4 to) {
  packet[0] = 0x45;
  write16(&packet[2], static_cast<std::uint32_t>(packet.size()));
  packet[6] = 0x40;  // don't fragment
  packet[8] = 64;
  packet[9] = protocol;
  write32(&packet[12], from.value);
  write32(&packet[16], to.value);
  write16(&packet[10], fold(add_words(packet.first(kIpv4Header), 0)));
}

// RFC 1624: the sum that a checksum becomes when a 32-bit value that it covers changes.
void adjust_checksum(std::uint8_t* checksum, std::uint32_t before, std::uint32_t after) {
  std::uint32_t sum = static_cast<std::uint16_t>(~read16(checksum));
  for (const int shift : {16, 0}) {
    sum += static_cast<std::uint16_t>(~(before >> shift));
    sum += static_cast<std::uint16_t>(after >> shift);
  }
  write16(checksum, fold(sum));
}

}  // namespace

bool parse_syn(std::span<const std::uint8_t> frame, SynFrame& into) {
  if (frame.size() < kEthernet + kIpv4Header + kTcpHeader) return false;
  if (read16(&frame[12]) != 0x0800) return false;
  const auto packet = frame.subspan(kEthernet);
  const std::size_t header = static_cast<std::size_t>(packet[0] & 0x0f) * 4;
  if (packet[0] >> 4 != 4 || header < kIpv4Header || packet.size() < header + kTcpHeader)
    return false;
  if (packet[9] != kTcp || (read16(&packet[6]) & 0x3fff) != 0) return false;  // a fragment
  const auto tcp = packet.subspan(header);
  if ((tcp[13] & (kSyn | kAck | kRst | kFin)) != kSyn) return false;
  into.source = Ipv4{read32(&packet[12])};
  into.destination = Ipv4{read32(&packet[16])};
  into.source_port = read16(&tcp[0]);
  into.destination_port = read16(&tcp[2]);
  into.sequence = read32(&tcp[4]);
  into.ip_header_size = header;
  return true;
}

std::vector<std::uint8_t> make_reset(const SynFrame& syn, Ipv4 shown, const Mac& to) {
  std::vector<std::uint8_t> frame(kEthernet + kIpv4Header + kTcpHeader);
  put_ethernet(frame, to);
  const auto packet = std::span(frame).subspan(kEthernet);
  put_ipv4(packet, kTcp, shown, syn.source);
  const auto tcp = packet.subspan(kIpv4Header);
  write16(&tcp[0], syn.destination_port);
  write16(&tcp[2], syn.source_port);
  write32(&tcp[8], syn.sequence + 1);
  tcp[12] = 5 << 4;
  tcp[13] = kRst | kAck;
  const std::uint32_t pseudo = add_words(packet.subspan(12, 8), kTcp + kTcpHeader);
  write16(&tcp[16], fold(add_words(tcp, pseudo)));
  return frame;
}

std::vector<std::uint8_t> make_unreachable(std::span<const std::uint8_t> original,
                                           const SynFrame& syn, Ipv4 shown, std::uint8_t code,
                                           const Mac& to) {
  // The packet's header and its first eight bytes go back, as the container sent them.
  std::vector<std::uint8_t> quoted(
      original.begin() + kEthernet,
      original.begin() + static_cast<std::ptrdiff_t>(kEthernet + syn.ip_header_size + 8));
  write32(&quoted[16], shown.value);
  std::vector<std::uint8_t> frame(kEthernet + kIpv4Header + 8 + quoted.size());
  put_ethernet(frame, to);
  const auto packet = std::span(frame).subspan(kEthernet);
  put_ipv4(packet, kIcmp, shown, syn.source);
  const auto icmp = packet.subspan(kIpv4Header);
  icmp[0] = 3;  // destination unreachable
  icmp[1] = code;
  std::copy(quoted.begin(), quoted.end(), icmp.begin() + 8);
  write16(&icmp[2], fold(add_words(icmp, 0)));
  return frame;
}

void rewrite_destination(std::span<std::uint8_t> frame, const SynFrame& syn, Ipv4 to) {
  const auto packet = frame.subspan(kEthernet);
  adjust_checksum(&packet[10], syn.destination.value, to.value);
  adjust_checksum(&packet[syn.ip_header_size + 16], syn.destination.value, to.value);
  write32(&packet[16], to.value);
}

bool may_connect(Ipv4 a) {
  const std::uint32_t first = a.value >> 24;
  return first != 0 && first != 127 && first < 224;
}

Ipv4 host_address() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  Ipv4 found{};
  for (const auto* i = all; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET) continue;
    if ((i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0) continue;
    const auto* in = reinterpret_cast<const sockaddr_in*>(i->ifa_addr);
    found = Ipv4{ntohl(in->sin_addr.s_addr)};
    break;
  }
  ::freeifaddrs(all);
  return found;
}

Result<std::unique_ptr<Egress>> Egress::make(Loop& loop, Shares& shares, Relays& relays,
                                             Settings settings, UniqueFd listener) {
  std::unique_ptr<Egress> egress(new Egress(loop, shares, relays, settings, std::move(listener)));
  shares.on_close([e = egress.get()](const TenantPtr& tenant) { e->forget_all_of(tenant); });
  TRY(egress->watch_,
      loop.watch(egress->listener_, EPOLLIN, [e = egress.get()](std::uint32_t) { e->accept(); }));
  return egress;
}

Egress::Key Egress::key_of(Ipv4 a, std::uint16_t a_port, Ipv4 b, std::uint16_t b_port) {
  return {static_cast<std::uint64_t>(a.value) << 16 | a_port,
          static_cast<std::uint64_t>(b.value) << 16 | b_port};
}

Ipv4 Egress::shown(const SynFrame& syn) const {
  return syn.destination == settings_.host_alias ? settings_.gateway : syn.destination;
}

void Egress::write_uplink(std::span<const std::uint8_t> frame) const {
  // A full queue loses it, as a wire would.
  [[maybe_unused]] const auto n = ::write(settings_.uplink, frame.data(), frame.size());
}

bool Egress::take_frame(std::span<const std::uint8_t> frame) {
  SynFrame syn;
  if (!parse_syn(frame, syn)) return false;
  const auto tenant = shares_.find(syn.source);
  if (!tenant) return true;
  const Key key = key_of(syn.source, syn.source_port, shown(syn), syn.destination_port);
  // Known: the container sends it again since no answer has come yet.
  if (frame.size() > kLongestSyn || pending_.contains(key) || !make_room(tenant)) return true;
  auto held = std::make_unique<Pending>();
  held->charge = Charge(tenant, Relays::kDescriptors);
  held->syn = syn;
  held->size = frame.size();
  std::copy(frame.begin(), frame.end(), held->frame.begin());
  auto& all = held_[tenant.get()];
  held->place = all.insert(all.end(), key);
  Pending& pending = *held;
  pending_.emplace(key, std::move(held));
  connect(key, pending);
  return true;
}

// False: this SYN is lost, and comes again a second later.
bool Egress::make_room(const TenantPtr& tenant) {
  const auto mine = held_.find(tenant.get());
  const std::size_t count = mine == held_.end() ? 0 : mine->second.size();
  if (count < kMostPending && tenant->may_open(Relays::kDescriptors)) return true;
  if (const auto left_out = no_room_.now()) {
    log::warn("{} has its share of outgoing connections: {} descriptors, {} being connected{}",
              to_string(tenant->address()), tenant->held(), count, *left_out);
  }
  if (count == 0 || !tenant->may_displace()) return false;
  const Key oldest = mine->second.front();
  forget(oldest);
  return tenant->may_open(Relays::kDescriptors);
}

void Egress::forget(const Key& key) {
  const auto found = pending_.find(key);
  if (found == pending_.end()) return;
  const auto mine = held_.find(found->second->charge.tenant().get());
  mine->second.erase(found->second->place);
  if (mine->second.empty()) held_.erase(mine);
  pending_.erase(found);
}

void Egress::forget_all_of(const TenantPtr& tenant) {
  const auto mine = held_.find(tenant.get());
  if (mine == held_.end()) return;
  const auto keys = std::move(mine->second);
  held_.erase(mine);
  for (const auto& key : keys) pending_.erase(key);
}

void Egress::connect(const Key& key, Pending& pending) {
  Ipv4 to = pending.syn.destination;
  if (to == settings_.host_alias) to = host_address();
  if (!may_connect(to)) return refuse(key, ECONNREFUSED);
  pending.outside = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!pending.outside) return refuse(key, EHOSTUNREACH);
  const int on = 1;
  ::setsockopt(pending.outside.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const SocketAddress address(to, pending.syn.destination_port);
  if (::connect(pending.outside.get(), address.get(), address.size()) == 0) return connected(key);
  if (errno != EINPROGRESS) return refuse(key, errno);
  auto watch = loop_.watch(pending.outside, EPOLLOUT | EPOLLET,
                           [this, key](std::uint32_t) { connected(key); });
  if (!watch) return refuse(key, EHOSTUNREACH);
  pending.watch = *std::move(watch);
}

void Egress::connected(const Key& key) {
  Pending& pending = *pending_.at(key);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(pending.outside.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return refuse(key, error);
  pending.watch.reset();
  const auto frame = std::span(pending.frame).first(pending.size);
  std::copy(settings_.uplink_mac.begin(), settings_.uplink_mac.end(), frame.begin());
  if (shown(pending.syn) != pending.syn.destination)
    rewrite_destination(frame, pending.syn, shown(pending.syn));
  pending.limit = loop_.after(kAcceptLimit, [this, key] { forget(key); });
  write_uplink(frame);
}

void Egress::refuse(const Key& key, int reason) {
  const Pending& p = *pending_.at(key);
  const auto frame = std::span(p.frame).first(p.size);
  switch (reason) {
    case ETIMEDOUT: break;
    case ENETUNREACH:
      write_uplink(make_unreachable(frame, p.syn, shown(p.syn), 0, settings_.uplink_mac));
      break;
    case EACCES:
    case EPERM:
      write_uplink(make_unreachable(frame, p.syn, shown(p.syn), 13, settings_.uplink_mac));
      break;
    case EHOSTUNREACH:
      write_uplink(make_unreachable(frame, p.syn, shown(p.syn), 1, settings_.uplink_mac));
      break;
    default: write_uplink(make_reset(p.syn, shown(p.syn), settings_.uplink_mac)); break;
  }
  forget(key);
}

void Egress::accept() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    UniqueFd inside(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!inside) {
      if (errno != EMFILE && errno != ENFILE) return;
      if (const auto left_out = no_descriptor_.now())
        log::warn("outgoing connections wait: no descriptor is free{}", *left_out);
      watch_.change(0);
      pause_ = loop_.after(std::chrono::milliseconds(100), [this] { watch_.change(EPOLLIN); });
      return;
    }
    sockaddr_in original{};
    socklen_t original_size = sizeof original;
    if (::getsockopt(inside.get(), SOL_IP, SO_ORIGINAL_DST, &original, &original_size) != 0) {
      reset_connection(std::move(inside));
      continue;
    }
    const auto from = SocketAddress::from(peer);
    const auto found = pending_.find(key_of(
        from.v4(), from.port(), Ipv4{ntohl(original.sin_addr.s_addr)}, ntohs(original.sin_port)));
    if (found == pending_.end() || !found->second->outside || found->second->watch) {
      reset_connection(std::move(inside));
      continue;
    }
    const int on = 1;
    ::setsockopt(inside.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    UniqueFd outside = std::move(found->second->outside);
    Charge charge = std::move(found->second->charge);
    found->second->charge = Charge(charge.tenant(), 0);
    forget(found->first);
    relays_.join(std::move(inside), std::move(outside), std::move(charge));
  }
}

}  // namespace coracle::netstack
