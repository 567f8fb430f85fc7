#include "netstack/udp_forward.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr int kDatagramsATurn = 64;
constexpr std::size_t kMostFlows = 4096;  // a port; the one that was idle longest gives way
// As the kernel's conntrack keeps a UDP stream that has seen answers.
constexpr std::chrono::seconds kIdle{120};
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
  UdpForward(ForwardContext& context, BoundPort bound, Ipv4 container)
      : context_(context),
        port_(std::move(bound.port)),
        socket_(std::move(bound.socket)),
        to_(container, port_.container_port),
        buffer_(context.datagram) {}

  Result<> start() {
    TRY(watch_, context_.loop.watch(socket_, EPOLLIN, [this](std::uint32_t) { from_clients(); }));
    return {};
  }
  [[nodiscard]] const PublishedPort& port() const override { return port_; }
  [[nodiscard]] int socket() const override { return socket_.get(); }

 private:
  struct Flow {
    SocketAddress client;
    PacketInfo info;
    UniqueFd inside;
    Loop::Watch watch;
    Loop::Clock::time_point last{};
  };
  void from_clients();
  Flow* flow_of(const SocketAddress& client);
  void from_container(Flow& flow);
  void sweep();
  void evict();

  ForwardContext& context_;
  PublishedPort port_;
  UniqueFd socket_;
  SocketAddress to_;
  std::vector<char>& buffer_;
  Loop::Watch watch_;
  Loop::Timer sweep_;
  std::map<SocketAddress, std::unique_ptr<Flow>> flows_;
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
    flow->last = Loop::Clock::now();
    [[maybe_unused]] const auto sent =
        ::send(flow->inside.get(), buffer_.data(), static_cast<std::size_t>(n), 0);
  }
}

UdpForward::Flow* UdpForward::flow_of(const SocketAddress& client) {
  if (const auto found = flows_.find(client); found != flows_.end()) return found->second.get();
  if (flows_.size() >= kMostFlows) evict();
  auto flow = std::make_unique<Flow>();
  flow->client = client;
  flow->inside = context_.udp_sockets.take();
  if (!flow->inside) return nullptr;
  const Ipv4 visible = visible_address(context_, client);
  // The client's own port too, when the address is its own.
  const bool own = client.is_v4() && visible == client.v4();
  SocketAddress as(visible, own ? client.port() : std::uint16_t{0});
  if (::bind(flow->inside.get(), as.get(), as.size()) != 0 && own) {
    as = SocketAddress(visible, 0);
    ::bind(flow->inside.get(), as.get(), as.size());
  }
  if (::connect(flow->inside.get(), to_.get(), to_.size()) != 0) return nullptr;
  auto watch = context_.loop.watch(flow->inside, EPOLLIN,
                                   [this, f = flow.get()](std::uint32_t) { from_container(*f); });
  if (!watch) return nullptr;
  flow->watch = *std::move(watch);
  if (flows_.empty()) sweep_ = context_.loop.after(kSweep, [this] { sweep(); });
  return flows_.emplace(client, std::move(flow)).first->second.get();
}

void UdpForward::from_container(Flow& flow) {
  for (int i = 0; i < kDatagramsATurn; ++i) {
    const ssize_t n = ::recv(flow.inside.get(), buffer_.data(), buffer_.size(), 0);
    if (n < 0) {
      if (errno == EAGAIN) return;
      continue;  // port unreachable: the error is taken off by reading it
    }
    flow.last = Loop::Clock::now();
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

void UdpForward::evict() {
  auto oldest = flows_.begin();
  for (auto i = flows_.begin(); i != flows_.end(); ++i)
    if (i->second->last < oldest->second->last) oldest = i;
  if (oldest != flows_.end()) flows_.erase(oldest);
}

void UdpForward::sweep() {
  const auto limit = Loop::Clock::now() - kIdle;
  std::erase_if(flows_, [&](const auto& f) { return f.second->last < limit; });
  if (!flows_.empty()) sweep_ = context_.loop.after(kSweep, [this] { sweep(); });
}

}  // namespace

Result<std::unique_ptr<Forward>> serve_udp(ForwardContext& context, BoundPort bound,
                                           Ipv4 container) {
  auto forward = std::make_unique<UdpForward>(context, std::move(bound), container);
  CHECK(forward->start());
  return forward;
}

}  // namespace coracle::netstack
