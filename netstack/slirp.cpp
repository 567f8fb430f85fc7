#include "netstack/slirp.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <slirp/libslirp.h>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr int kFramesATurn = 64;
constexpr std::chrono::milliseconds kOldClock{500};
constexpr std::size_t kLongestFrame = 65536 + 64;

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
in_addr net_order(std::uint32_t value) {
  in_addr a{};
  a.s_addr = htonl(value);
  return a;
}

}  // namespace

struct SlirpStack::Timer {
  SlirpTimerCb function = nullptr;
  void* argument = nullptr;
  Loop::Timer running;
};

struct SlirpStack::Callbacks {
  static SlirpStack& self(void* opaque) { return *static_cast<SlirpStack*>(opaque); }
  static std::int64_t now_ns() {
    return std::chrono::nanoseconds(Loop::Clock::now().time_since_epoch()).count();
  }

  static ssize_t send_packet(const void* data, std::size_t size, void* opaque) {
    // A full queue loses it, as a wire would.
    return ::write(self(opaque).uplink_.get(), data, size);
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
  static void register_poll_fd(int, void*) {}
  // It closes the descriptor next: another may get its number.
  static void unregister_poll_fd(int fd, void* opaque) {
    auto& s = self(opaque);
    if (s.watched_.erase(fd) != 0) ::epoll_ctl(s.epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    s.ready_.erase(fd);
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

Result<std::unique_ptr<SlirpStack>> SlirpStack::make(Loop& loop, UniqueFd uplink,
                                                     const Settings& settings) {
  std::unique_ptr<SlirpStack> stack(new SlirpStack(loop, std::move(uplink)));
  stack->frame_.resize(kLongestFrame);
  stack->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!stack->epoll_) return sys_error("make an epoll descriptor");
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
  stack->slirp_ = slirp_new(&config, &kCallbacks, stack.get());
  if (stack->slirp_ == nullptr) return fail(Errc::internal, "start libslirp");
  auto* s = stack.get();
  TRY(s->uplink_watch_, loop.watch(s->uplink_, EPOLLIN, [s](std::uint32_t) { s->read_uplink(); }));
  TRY(s->epoll_watch_, loop.watch(s->epoll_, EPOLLIN, [s](std::uint32_t) { s->on_ready(); }));
  return stack;
}

SlirpStack::~SlirpStack() {
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

void SlirpStack::read_uplink() {
  bool fed = false;
  for (int i = 0; i < kFramesATurn; ++i) {
    const ssize_t n = ::read(uplink_.get(), frame_.data(), frame_.size());
    if (n <= 0) break;
    const auto frame = std::span<const std::uint8_t>(frame_).first(static_cast<std::size_t>(n));
    if (filter_ && filter_(frame)) continue;
    // libslirp reads the clock only in a turn: after a quiet time a new flow would be born expired.
    if (Loop::Clock::now() - last_turn_ > kOldClock) turn();
    slirp_input(slirp_, frame.data(), static_cast<int>(n));
    fed = true;
  }
  if (fed) turn();
}

void SlirpStack::on_ready() {
  std::array<epoll_event, 64> events{};
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < n; ++i) {
    const auto& e = events[static_cast<std::size_t>(i)];
    ready_[e.data.fd] = e.events;
  }
  turn();
}

void SlirpStack::turn() {
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

int SlirpStack::add_poll(int fd, int events) {
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
