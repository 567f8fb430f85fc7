#include "netstack/relay/port_forward.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "engine/base/log.hpp"
#include "netstack/base/accept.hpp"
#include "netstack/relay/udp_forward.hpp"

namespace coracle::netstack {
namespace {

class TcpForward : public Forward {
 public:
  TcpForward(ForwardContext& context, BoundPort bound, TenantPtr tenant)
      : context_(context),
        port_(std::move(bound.port)),
        listener_(std::move(bound.socket)),
        tenant_(std::move(tenant)),
        to_(tenant_->address(), port_.container_port) {}

  Result<> start() {
    TRY(watch_, context_.loop.watch(listener_, EPOLLIN, [this](std::uint32_t) { accept_batch(); }));
    return {};
  }
  [[nodiscard]] const PublishedPort& port() const override { return port_; }
  [[nodiscard]] int socket() const override { return listener_.get(); }

 private:
  void accept_batch();
  void pause();

  ForwardContext& context_;
  PublishedPort port_;
  UniqueFd listener_;
  TenantPtr tenant_;
  SocketAddress to_;
  Loop::Watch watch_;
  Loop::Timer resume_;
  UniqueFd spare_;  // taken from the pool, not used yet
};

void TcpForward::pause() {
  watch_.change(0);
  resume_ = context_.loop.after(kNoDescriptorPause, [this] { watch_.change(EPOLLIN); });
}

void TcpForward::accept_batch() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    if (!tenant_->may_open(Relays::kDescriptors)) {
      if (const auto left_out = context_.no_room.now()) {
        log::warn("connections to port {} wait: {} has its share, {} descriptors{}",
                  port_.host_port, to_.ip(), tenant_->held(), *left_out);
      }
      return pause();
    }
    if (!spare_) spare_ = context_.tcp_sockets.take();
    if (!spare_) {
      // Connections wait in the backlog. The timer is for the case that none can be made.
      watch_.change(0);
      resume_ =
          context_.loop.after(std::chrono::milliseconds(1), [this] { watch_.change(EPOLLIN); });
      return;
    }
    sockaddr_storage raw{};
    socklen_t size = sizeof raw;
    UniqueFd client(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&raw), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        if (const auto left_out = context_.no_descriptor.now()) {
          log::warn("connections to port {} wait: no descriptor is free{}", port_.host_port,
                    *left_out);
        }
        pause();
      }
      return;
    }
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const SocketAddress as(visible_address(context_, SocketAddress::from(raw)), 0);
    if (::bind(spare_.get(), as.get(), as.size()) != 0) {
      log::debug("client {} not shown to the container: errno {}", as.ip(), errno);
    }
    UniqueFd inside = std::move(spare_);
    if (::connect(inside.get(), to_.get(), to_.size()) != 0 && errno != EINPROGRESS) {
      reset_connection(std::move(client));
      continue;
    }
    context_.relays.join(std::move(client), std::move(inside),
                         Charge(tenant_, Relays::kDescriptors));
  }
}

}  // namespace

Ipv4 visible_address(const ForwardContext& context, const SocketAddress& client) {
  if (!context.transparent || !client.is_v4() || client.loopback()) return context.gateway;
  const Ipv4 a = client.v4();
  return context.subnet.contains(a) || a.value == 0 ? context.gateway : a;
}

Result<std::unique_ptr<Forward>> serve(ForwardContext& context, BoundPort bound, TenantPtr tenant) {
  if (bound.port.proto == "udp") return serve_udp(context, std::move(bound), std::move(tenant));
  auto forward = std::make_unique<TcpForward>(context, std::move(bound), std::move(tenant));
  CHECK(forward->start());
  return forward;
}

}  // namespace coracle::netstack
