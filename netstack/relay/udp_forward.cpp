#include "netstack/relay/udp_forward.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr int kDatagramsATurn = 64;
constexpr std::size_t kMostUdpFlows = 1024;  // a port
// As the kernel's conntrack keeps a UDP stream that has seen answers.
constexpr std::chrono::seconds kUdpIdle{120};
constexpr std::chrono::seconds kSweep{20};

// What came with a datagram, or goes with one: IP_PKTINFO or IPV6_PKTINFO.
struct PacketInfo {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> bytes{};
  std::size_t size = 0;
};

// The control message for an answer: from the address that the datagram was sent to.
PacketInfo answer_info(msghdr& received) {
  PacketInfo info;
  for (auto* c = CMSG_FIRSTHDR(&received); c != nullptr; c = CMSG_NXTHDR(&received, c)) {
    const bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO;
    const bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO;
    if (!v4 && !v6) continue;
    auto* to = reinterpret_cast<cmsghdr*>(info.bytes.data());
    *to = *c;
    if (v4) {
      in_pktinfo p{};
      std::memcpy(&p, CMSG_DATA(c), sizeof p);
      p.ipi_ifindex = 0;  // the route decides
      std::memcpy(CMSG_DATA(to), &p, sizeof p);
      info.size = CMSG_SPACE(sizeof p);
    } else {
      std::memcpy(CMSG_DATA(to), CMSG_DATA(c), sizeof(in6_pktinfo));
      info.size = CMSG_SPACE(sizeof(in6_pktinfo));
    }
  }
  return info;
}

class UdpForward : public Forward {
 public:
  UdpForward(ForwardContext& context, BoundPort bound, TenantPtr tenant)
      : context_(context),
        port_(std::move(bound.port)),
        socket_(std::move(bound.socket)),
        tenant_(std::move(tenant)),
        to_(tenant_->address(), port_.container_port),
        buffer_(context.datagram) {}

  Result<> start() {
    TRY(watch_, context_.loop.watch(socket_, EPOLLIN, [this](std::uint32_t) { from_clients(); }));
    return {};
  }
  [[nodiscard]] const PublishedPort& port() const override { return port_; }
  [[nodiscard]] int socket() const override { return socket_.get(); }

 private:
  struct Flow {
    Charge charge;
    SocketAddress client;
    PacketInfo info;
    UniqueFd inside;
    Loop::Watch watch;
    Loop::Clock::time_point last{};
  };
  using Flows = std::list<Flow>;
  void from_clients();
  Flow* flow_of(const SocketAddress& client);
  bool make_room();
  void from_container(Flow& flow);
  void used(Flow& flow);
  void sweep();
  void drop_idlest();

  ForwardContext& context_;
  PublishedPort port_;
  UniqueFd socket_;
  TenantPtr tenant_;
  SocketAddress to_;
  std::vector<char>& buffer_;
  Loop::Watch watch_;
  Loop::Timer sweep_;
  Flows flows_;  // the one that was idle longest first
  std::map<SocketAddress, Flows::iterator> by_client_;
};

void UdpForward::from_clients() {
  for (int i = 0; i < kDatagramsATurn; ++i) {
    sockaddr_storage from{};
    PacketInfo came;
    iovec part{buffer_.data(), buffer_.size()};
    msghdr m{};
    m.msg_name = &from;
    m.msg_namelen = sizeof from;
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = came.bytes.data();
    m.msg_controllen = came.bytes.size();
    const ssize_t n = ::recvmsg(socket_.get(), &m, 0);
    if (n < 0) {
      if (errno == EAGAIN) return;
      continue;  // an ICMP error of an earlier answer
    }
    Flow* flow = flow_of(SocketAddress::from(from));
    if (flow == nullptr) continue;  // lost, as datagrams may be
    flow->info = answer_info(m);
    used(*flow);
    [[maybe_unused]] const auto sent =
        ::send(flow->inside.get(), buffer_.data(), static_cast<std::size_t>(n), 0);
  }
}

UdpForward::Flow* UdpForward::flow_of(const SocketAddress& client) {
  if (const auto found = by_client_.find(client); found != by_client_.end()) return &*found->second;
  if (!make_room()) return nullptr;
  Flow flow;
  flow.client = client;
  flow.inside = context_.udp_sockets.take();
  if (!flow.inside) return nullptr;
  const Ipv4 visible = visible_address(context_, client);
  // The client's own port too, when the address is its own.
  const bool own = client.is_v4() && visible == client.v4();
  SocketAddress as(visible, own ? client.port() : std::uint16_t{0});
  if (::bind(flow.inside.get(), as.get(), as.size()) != 0 && own) {
    as = SocketAddress(visible, 0);
    ::bind(flow.inside.get(), as.get(), as.size());
  }
  if (::connect(flow.inside.get(), to_.get(), to_.size()) != 0) return nullptr;
  flow.charge = Charge(tenant_, 1);
  const auto place = flows_.insert(flows_.end(), std::move(flow));
  auto watch = context_.loop.watch(place->inside, EPOLLIN,
                                   [this, place](std::uint32_t) { from_container(*place); });
  if (!watch) {
    flows_.erase(place);
    return nullptr;
  }
  place->watch = *std::move(watch);
  if (by_client_.empty()) sweep_ = context_.loop.after(kSweep, [this] { sweep(); });
  by_client_.emplace(client, place);
  return &*place;
}

bool UdpForward::make_room() {
  if (flows_.size() < kMostUdpFlows && tenant_->may_open(1)) return true;
  if (flows_.empty() || !tenant_->may_displace()) return false;
  drop_idlest();
  return tenant_->may_open(1);
}

void UdpForward::used(Flow& flow) {
  flow.last = Loop::Clock::now();
  flows_.splice(flows_.end(), flows_, by_client_.at(flow.client));
}

void UdpForward::from_container(Flow& flow) {
  for (int i = 0; i < kDatagramsATurn; ++i) {
    const ssize_t n = ::recv(flow.inside.get(), buffer_.data(), buffer_.size(), 0);
    if (n < 0) {
      if (errno == EAGAIN) return;
      continue;  // port unreachable: the error is taken off by reading it
    }
    used(flow);
    iovec part{buffer_.data(), static_cast<std::size_t>(n)};
    msghdr m{};
    m.msg_name = const_cast<sockaddr*>(flow.client.get());
    m.msg_namelen = flow.client.size();
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    if (flow.info.size != 0) {
      m.msg_control = flow.info.bytes.data();
      m.msg_controllen = flow.info.size;
    }
    [[maybe_unused]] const auto sent = ::sendmsg(socket_.get(), &m, 0);
  }
}

void UdpForward::drop_idlest() {
  by_client_.erase(flows_.front().client);
  flows_.pop_front();
}

void UdpForward::sweep() {
  const auto limit = Loop::Clock::now() - kUdpIdle;
  while (!flows_.empty() && flows_.front().last < limit) drop_idlest();
  if (!flows_.empty()) sweep_ = context_.loop.after(kSweep, [this] { sweep(); });
}

}  // namespace

Result<std::unique_ptr<Forward>> serve_udp(ForwardContext& context, BoundPort bound,
                                           TenantPtr tenant) {
  auto forward = std::make_unique<UdpForward>(context, std::move(bound), std::move(tenant));
  CHECK(forward->start());
  return forward;
}

}  // namespace coracle::netstack
