#include "netstack/base/loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace coracle::netstack {

void Loop::Watch::reset() {
  if (entry_ == nullptr) return;
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, entry_->fd, nullptr);
  entry_->dead = true;
  loop_->graveyard_.push_back(entry_);
  entry_ = nullptr;
}

void Loop::Watch::set(std::uint32_t events) {
  if (entry_ == nullptr) return;
  epoll_event e{};
  e.events = events;
  e.data.ptr = entry_;
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, entry_->fd, &e);
}

void Loop::Timer::reset() {
  if (loop_ != nullptr) loop_->timers_.erase(key_);
  loop_ = nullptr;
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
  // Functions may own watches and timers of this loop.
  deferred_.clear();
  posted_.clear();
  auto timers = std::move(timers_);
  timers.clear();
  wake_watch_.reset();
  for (auto* e : graveyard_) delete e;
}

Result<Loop::Watch> Loop::watch(const UniqueFd& fd, std::uint32_t events, OnEvents handler) {
  auto entry = std::make_unique<Entry>(Entry{fd.get(), std::move(handler)});
  epoll_event e{};
  e.events = events;
  e.data.ptr = entry.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &e) != 0)
    return sys_error("watch a descriptor");
  return Watch(this, entry.release());
}

Loop::Timer Loop::after(std::chrono::milliseconds delay, OnTime function) {
  const TimerKey key{Clock::now() + delay, ++next_timer_};
  timers_.emplace(key, std::move(function));
  return Timer(this, key);
}

void Loop::post(OnTime function) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
  }
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) wakes the loop as well.
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

void Loop::run_posted() {
  std::vector<OnTime> now;
  {
    const std::lock_guard lock(mutex_);
    now.swap(posted_);
  }
  for (auto& f : now) f();
}

void Loop::run_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto first = timers_.extract(timers_.begin());
    first.mapped()();
  }
}

int Loop::timeout_ms() const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - Clock::now();
  if (left <= Clock::duration::zero()) return 0;
  // Rounded up: waking before the time would spin.
  constexpr std::int64_t kLongest = 60'000;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(ms, kLongest));
}

Result<> Loop::run() {
  std::array<epoll_event, 128> events{};
  while (!stopped_) {
    const int n =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
    if (n < 0 && errno != EINTR) return sys_error("wait for events");
    for (int i = 0; i < n; ++i) {
      const auto& e = events[static_cast<std::size_t>(i)];
      auto* entry = static_cast<Entry*>(e.data.ptr);
      if (!entry->dead) entry->handler(e.events);
    }
    run_timers();
    std::vector<OnTime> now;
    now.swap(deferred_);
    for (auto& f : now) f();
    // A handler may have dropped its own watch: its entry lived until here. Freeing one may run
    // destructors that drop others.
    while (!graveyard_.empty()) {
      auto* dead = graveyard_.back();
      graveyard_.pop_back();
      delete dead;
    }
  }
  return {};
}

}  // namespace coracle::netstack
