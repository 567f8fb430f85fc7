#include "engine/base/epoll_loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

namespace coracle {
namespace {

constexpr int kQuietAfter_ms = 500;

}  // namespace

void Loop::Drop::operator()(Entry* entry) const {
  Loop& loop = entry->loop;
  if (entry->in_epoll) ::epoll_ctl(loop.epoll_.get(), EPOLL_CTL_DEL, entry->fd, nullptr);
  entry->dropped = true;
  loop.dropped_.emplace_back(entry);
}

void Loop::Watch::change(std::uint32_t events) {
  if (!entry_ || (entry_->in_epoll && events == entry_->events)) return;
  epoll_event e{};
  e.events = events;
  e.data.ptr = entry_.get();
  const int act = entry_->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ::epoll_ctl(entry_->loop.epoll_.get(), act, entry_->fd, &e);
  entry_->events = events;
  entry_->in_epoll = true;
}

void Loop::Watch::pause() {
  if (!entry_ || !entry_->in_epoll) return;
  ::epoll_ctl(entry_->loop.epoll_.get(), EPOLL_CTL_DEL, entry_->fd, nullptr);
  entry_->in_epoll = false;
}

void Loop::Timer::reset() {
  if (loop_ == nullptr) return;
  // Out of the map before it is destroyed: the action may own other timers.
  const auto gone = std::exchange(loop_, nullptr)->timers_.extract(key_);
}

Result<std::unique_ptr<Loop>> Loop::make() {
  std::unique_ptr<Loop> loop(new Loop);
  loop->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_) return sys_error("make an epoll descriptor");
  loop->wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_) return sys_error("make an eventfd");
  TRY(loop->wake_watch_, loop->watch(loop->wake_, EPOLLIN, [l = loop.get()](std::uint32_t) {
    std::uint64_t count = 0;
    if (::read(l->wake_.get(), &count, sizeof count) > 0) l->run_posted();
  }));
  return loop;
}

Loop::~Loop() {
  // Actions may own watches and timers of this loop.
  deferred_.clear();
  posted_.clear();
  quiet_ = nullptr;
  auto timers = std::move(timers_);
  timers.clear();
  wake_watch_.reset();
  free_dropped();
}

Result<Loop::Watch> Loop::watch(const UniqueFd& fd, std::uint32_t events, OnEvents handler) {
  auto entry = std::make_unique<Entry>(*this, fd.get(), events, std::move(handler));
  epoll_event e{};
  e.events = events;
  e.data.ptr = entry.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &e) != 0)
    return sys_error("watch a descriptor");
  return Watch(std::unique_ptr<Entry, Drop>(entry.release()));
}

Loop::Timer Loop::after(std::chrono::milliseconds delay, Action action) {
  const TimerKey key{Clock::now() + delay, ++last_timer_};
  timers_.emplace(key, std::move(action));
  return Timer(this, key);
}

void Loop::post(Action action) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(action));
  }
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) wakes the loop as well.
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

void Loop::run_posted() {
  std::vector<Action> now;
  {
    const std::lock_guard lock(mutex_);
    now.swap(posted_);
  }
  for (const auto& action : now) {
    if (stopped_) return;
    action();
    run_deferred();
  }
}

void Loop::run_timers() {
  // Those that an action starts wait for the next turn, also without a delay.
  const auto now = Clock::now();
  while (!stopped_ && !timers_.empty() && timers_.begin()->first.first <= now) {
    const auto first = timers_.extract(timers_.begin());
    first.mapped()();
    run_deferred();
  }
}

void Loop::run_deferred() {
  while (!deferred_.empty()) {
    const auto now = std::exchange(deferred_, {});
    for (const auto& action : now) action();
  }
}

void Loop::free_dropped() {
  // Freeing one may run destructors that drop others.
  while (!dropped_.empty()) {
    const auto last = std::move(dropped_.back());
    dropped_.pop_back();
  }
}

int Loop::timeout_ms() const {
  if (!deferred_.empty()) return 0;
  const int quiet_ms = quiet_ && busy_ ? kQuietAfter_ms : -1;
  if (timers_.empty()) return quiet_ms;
  // Rounded up: waking before the time would spin.
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  const std::int64_t most = quiet_ms < 0 ? std::numeric_limits<int>::max() : quiet_ms;
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, most));
}

Result<> Loop::run() {
  std::array<epoll_event, 128> events{};
  while (!stopped_) {
    const int n =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
    if (n < 0 && errno != EINTR) return sys_error("wait for events");
    if (n > 0) busy_ = true;
    if (n == 0 && quiet_ && busy_ && timers_.empty() && deferred_.empty()) {
      busy_ = false;
      quiet_();
    }
    for (int i = 0; i < n && !stopped_; ++i) {
      const auto& e = events[static_cast<std::size_t>(i)];
      auto* entry = static_cast<Entry*>(e.data.ptr);
      if (!entry->dropped) entry->handler(e.events);
      run_deferred();
    }
    run_timers();
    run_deferred();
    free_dropped();
  }
  return {};
}

}  // namespace coracle
