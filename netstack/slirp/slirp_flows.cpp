#include "netstack/slirp/slirp_flows.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <slirp/libslirp.h>

#include "engine/base/log.hpp"
#include "netstack/base/frame.hpp"

namespace coracle::netstack {
namespace {

constexpr std::chrono::milliseconds kOldClock{500};
constexpr std::size_t kOwnDescriptors = 1;  // epoll_

std::uint32_t to_epoll(int events) {
  std::uint32_t e = 0;
  if ((events & SLIRP_POLL_IN) != 0) e |= EPOLLIN;
  if ((events & SLIRP_POLL_OUT) != 0) e |= EPOLLOUT;
  if ((events & SLIRP_POLL_PRI) != 0) e |= EPOLLPRI;
  return e;
}
int from_epoll(std::uint32_t events) {
  int e = 0;
  if ((events & EPOLLIN) != 0) e |= SLIRP_POLL_IN;
  if ((events & EPOLLOUT) != 0) e |= SLIRP_POLL_OUT;
  if ((events & EPOLLPRI) != 0) e |= SLIRP_POLL_PRI;
  if ((events & EPOLLERR) != 0) e |= SLIRP_POLL_ERR;
  if ((events & EPOLLHUP) != 0) e |= SLIRP_POLL_HUP;
  return e;
}
// Tells libslirp where the container is: it would ask, and nobody would answer.
std::array<std::uint8_t, 60> whereabouts(Ipv4 container, const Mac& mac, Ipv4 host) {
  std::array<std::uint8_t, 60> frame{};  // an ARP reply (RFC 826)
  const std::array<std::uint8_t, 10> head{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2};
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  std::copy(head.begin(), head.end(), frame.begin() + 12);
  std::copy(mac.begin(), mac.end(), frame.begin() + 22);
  const auto put = [&frame](std::size_t at, Ipv4 a) {
    for (std::size_t i = 0; i < 4; ++i)
      frame[at + i] = static_cast<std::uint8_t>(a.value >> (24 - 8 * i));
  };
  put(28, container);
  put(38, host);
  return frame;
}
in_addr net_order(std::uint32_t value) {
  in_addr a{};
  a.s_addr = htonl(value);
  return a;
}

}  // namespace

std::optional<FlowFrame> parse_flow(std::span<const std::uint8_t> frame) {
  if (frame.size() < kEthernet + kIpv4Header || frame[12] != 0x08 || frame[13] != 0)
    return std::nullopt;
  const auto packet = frame.subspan(kEthernet);
  const std::size_t header = static_cast<std::size_t>(packet[0] & 0x0f) * 4;
  if (packet[0] >> 4 != 4 || header < kIpv4Header || packet.size() < header) return std::nullopt;
  FlowFrame found;
  for (std::size_t i = 12; i < 16; ++i) found.source.value = found.source.value << 8 | packet[i];
  const std::uint8_t protocol = packet[9];
  const bool fragment = ((packet[6] & 0x3f) | packet[7]) != 0;
  if ((protocol == kTcp || protocol == kUdp) && !fragment && packet.size() >= header + 4) {
    found.flow = static_cast<std::uint32_t>(protocol) << 16 |
                 static_cast<std::uint32_t>(packet[header]) << 8 | packet[header + 1];
  }
  return found;
}

struct SlirpFlows::Timer {
  SlirpTimerCb function = nullptr;
  void* argument = nullptr;
  Loop::Timer running;
};

struct SlirpFlows::Callbacks {
  static SlirpFlows& self(void* opaque) { return *static_cast<SlirpFlows*>(opaque); }
  static std::int64_t now_ns() {
    return std::chrono::nanoseconds(Loop::Clock::now().time_since_epoch()).count();
  }

  static ssize_t send_packet(const void* data, std::size_t size, void* opaque) {
    // A full queue loses it, as a wire would.
    return ::write(self(opaque).uplink_, data, size);
  }
  static void guest_error(const char* message, void*) { log::debug("libslirp: {}", message); }
  static std::int64_t clock_get_ns(void*) { return now_ns(); }
  static void* timer_new(SlirpTimerCb function, void* argument, void*) {
    return new Timer{function, argument, {}};
  }
  static void timer_free(void* timer, void*) { delete static_cast<Timer*>(timer); }
  static void timer_mod(void* timer, std::int64_t at_ms, void* opaque) {
    auto* t = static_cast<Timer*>(timer);
    const auto delay = std::max<std::int64_t>(0, at_ms - now_ns() / 1'000'000);
    t->running = self(opaque).loop_.after(std::chrono::milliseconds(delay),
                                          [t] { t->function(t->argument); });
  }
  static void register_poll_fd(int fd, void* opaque) {
    auto& s = self(opaque);
    s.sockets_[fd] = s.fed_;
    if (s.fed_) s.flows_[*s.fed_] = fd;
    s.charge_.set(kOwnDescriptors + s.sockets_.size());
  }
  // It closes the descriptor next: another may get its number.
  static void unregister_poll_fd(int fd, void* opaque) {
    auto& s = self(opaque);
    if (s.watched_.erase(fd) != 0) ::epoll_ctl(s.epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    s.ready_.erase(fd);
    const auto known = s.sockets_.find(fd);
    if (known == s.sockets_.end()) return;
    if (const auto flow = known->second; flow) {
      const auto found = s.flows_.find(*flow);
      if (found != s.flows_.end() && found->second == fd) s.flows_.erase(found);
    }
    s.sockets_.erase(known);
    s.charge_.set(kOwnDescriptors + s.sockets_.size());
  }
  static void notify(void*) {}
  static int add_poll(int fd, int events, void* opaque) {
    return self(opaque).add_poll(fd, events);
  }
  static int get_revents(int index, void* opaque) {
    auto& s = self(opaque);
    if (index < 0 || static_cast<std::size_t>(index) >= s.polled_.size()) return 0;
    const auto found = s.ready_.find(s.polled_[static_cast<std::size_t>(index)]);
    return found == s.ready_.end() ? 0 : from_epoll(found->second);
  }
};

Result<std::unique_ptr<SlirpFlows>> SlirpFlows::make(Loop& loop, const Settings& settings,
                                                     const TenantPtr& tenant) {
  std::unique_ptr<SlirpFlows> flows(new SlirpFlows(loop, settings.uplink, tenant));
  CHECK(flows->start(settings));
  return flows;
}

Result<> SlirpFlows::start(const Settings& settings) {
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return sys_error("make an epoll descriptor");
  SlirpConfig config{};
  config.version = 4;
  config.in_enabled = true;
  config.vnetwork = net_order(settings.network.base.value);
  config.vnetmask = net_order(settings.network.mask());
  config.vhost = net_order(settings.host.value);
  config.vnameserver = net_order(settings.name_server.value);
  config.vdhcp_start = net_order(settings.name_server.value + 1);
  config.if_mtu = settings.mtu;
  config.if_mru = settings.mtu;
  config.disable_host_loopback = true;
  config.disable_dns = true;  // containers ask our own server
  config.disable_dhcp = true;
  static constexpr SlirpCb kCallbacks = [] {
    SlirpCb c{};
    c.send_packet = Callbacks::send_packet;
    c.guest_error = Callbacks::guest_error;
    c.clock_get_ns = Callbacks::clock_get_ns;
    c.timer_new = Callbacks::timer_new;
    c.timer_free = Callbacks::timer_free;
    c.timer_mod = Callbacks::timer_mod;
    c.register_poll_fd = Callbacks::register_poll_fd;
    c.unregister_poll_fd = Callbacks::unregister_poll_fd;
    c.notify = Callbacks::notify;
    return c;
  }();
  slirp_ = slirp_new(&config, &kCallbacks, this);
  if (slirp_ == nullptr) return fail(Errc::internal, "start libslirp");
  charge_.set(kOwnDescriptors);
  const auto arp = whereabouts(charge_.tenant()->address(), settings.uplink_mac, settings.host);
  slirp_input(slirp_, arp.data(), static_cast<int>(arp.size()));
  TRY(epoll_watch_, loop_.watch(epoll_, EPOLLIN, [this](std::uint32_t) { on_ready(); }));
  return {};
}

SlirpFlows::~SlirpFlows() {
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

void SlirpFlows::input(std::span<const std::uint8_t> frame, const FlowKey& flow) {
  // libslirp reads the clock only in a turn: after a quiet time a new flow would be born expired.
  if (Loop::Clock::now() - last_turn_ > kOldClock) turn();
  fed_ = flow;
  slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
  fed_.reset();
}

void SlirpFlows::on_ready() {
  std::array<epoll_event, 64> events{};
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < n; ++i) {
    const auto& e = events[static_cast<std::size_t>(i)];
    ready_[e.data.fd] = e.events;
  }
  turn();
}

void SlirpFlows::turn() {
  last_turn_ = Loop::Clock::now();
  slirp_pollfds_poll(slirp_, 0, Callbacks::get_revents, this);
  ready_.clear();
  polled_.clear();
  std::uint32_t timeout_ms = std::numeric_limits<std::uint32_t>::max();
  slirp_pollfds_fill(slirp_, &timeout_ms, Callbacks::add_poll, this);
  // What it no longer waits for must not wake us.
  std::vector<int> wanted = polled_;
  std::sort(wanted.begin(), wanted.end());
  std::erase_if(watched_, [&](const auto& w) {
    if (std::binary_search(wanted.begin(), wanted.end(), w.first)) return false;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, w.first, nullptr);
    return true;
  });
  if (timeout_ms == std::numeric_limits<std::uint32_t>::max())
    wake_.reset();
  else
    wake_ = loop_.after(std::chrono::milliseconds(timeout_ms), [this] { turn(); });
}

int SlirpFlows::add_poll(int fd, int events) {
  const std::uint32_t wanted = to_epoll(events);
  const auto found = watched_.find(fd);
  if (found == watched_.end() || found->second != wanted) {
    epoll_event e{};
    e.events = wanted;
    e.data.fd = fd;
    const int act = found == watched_.end() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(epoll_.get(), act, fd, &e) != 0)
      ::epoll_ctl(epoll_.get(), act == EPOLL_CTL_ADD ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    watched_[fd] = wanted;
  }
  polled_.push_back(fd);
  return static_cast<int>(polled_.size()) - 1;
}

}  // namespace coracle::netstack
