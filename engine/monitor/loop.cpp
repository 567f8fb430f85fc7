#include "engine/monitor/loop.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <malloc.h>

namespace coracle::monitor {
namespace {

constexpr std::size_t kScratch = 64 * 1024;  // a whole pipe
constexpr int kQuietAfter_ms = 500;
using Clock = std::chrono::steady_clock;

}  // namespace

Loop::Watch::Watch(Watch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)),
      id_(other.id_),
      fd_(other.fd_),
      events_(other.events_),
      in_epoll_(other.in_epoll_) {}

Loop::Watch& Loop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    loop_ = std::exchange(other.loop_, nullptr);
    id_ = other.id_;
    fd_ = other.fd_;
    events_ = other.events_;
    in_epoll_ = other.in_epoll_;
  }
  return *this;
}

void Loop::Watch::change(std::uint32_t events) {
  if (loop_ == nullptr || (in_epoll_ && events == events_)) return;
  epoll_event e{};
  e.events = events;
  e.data.u64 = id_;
  ::epoll_ctl(loop_->epoll_.get(), in_epoll_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd_, &e);
  events_ = events;
  in_epoll_ = true;
}

void Loop::Watch::pause() {
  if (loop_ == nullptr || !in_epoll_) return;
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  in_epoll_ = false;
}

void Loop::Watch::reset() {
  if (loop_ == nullptr) return;
  pause();
  loop_->handlers_.erase(id_);
  loop_ = nullptr;
}

Loop::~Loop() {
  if (scratch_ != nullptr) ::munmap(scratch_, kScratch);
}

Result<> Loop::open() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return sys_error("make an epoll descriptor");
  void* memory =
      ::mmap(nullptr, kScratch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return sys_error("map a buffer");
  scratch_ = static_cast<char*>(memory);
  return {};
}

Result<Loop::Watch> Loop::watch(const UniqueFd& fd, std::uint32_t events, Handler handler) {
  Watch w;
  w.id_ = next_id_++;
  w.fd_ = fd.get();
  w.events_ = events;
  epoll_event e{};
  e.events = events;
  e.data.u64 = w.id_;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &e) != 0)
    return sys_error("watch a descriptor");
  w.loop_ = this;
  w.in_epoll_ = true;
  handlers_.emplace(w.id_, std::make_shared<Handler>(std::move(handler)));
  return w;
}

Loop::TimerId Loop::after(std::chrono::milliseconds time, std::function<void()> action) {
  const TimerId id = next_id_++;
  timers_.emplace(std::pair(Clock::now() + time, id), std::move(action));
  return id;
}

void Loop::cancel(TimerId& timer) {
  if (timer == 0) return;
  const auto found = std::find_if(timers_.begin(), timers_.end(),
                                  [&](const auto& t) { return t.first.second == timer; });
  if (found != timers_.end()) timers_.erase(found);
  timer = 0;
}

void Loop::defer(std::function<void()> action) { deferred_.push_back(std::move(action)); }

std::span<char> Loop::scratch() { return {scratch_, kScratch}; }

int Loop::timeout_ms() const {
  if (!deferred_.empty()) return 0;
  int ms = busy_ ? kQuietAfter_ms : -1;
  if (!timers_.empty()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
    const int timer_ms = static_cast<int>(std::max<std::int64_t>(0, left.count()));
    ms = ms < 0 ? timer_ms : std::min(ms, timer_ms);
  }
  return ms;
}

void Loop::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= Clock::now() && !stopped_) {
    const auto action = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    action();
  }
}

void Loop::run_deferred() {
  while (!deferred_.empty()) {
    const auto now = std::exchange(deferred_, {});
    for (const auto& action : now) action();
  }
}

void Loop::go_quiet() {
  busy_ = false;
  if (quiet_) quiet_();
  ::madvise(scratch_, kScratch, MADV_DONTNEED);
  ::malloc_trim(0);
}

Result<> Loop::run() {
  std::array<epoll_event, 16> events{};
  while (!stopped_) {
    const int n =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
    if (n < 0 && errno != EINTR) return sys_error("wait for events");
    if (n == 0 && busy_ && timers_.empty() && deferred_.empty()) go_quiet();
    if (n > 0) busy_ = true;
    for (int i = 0; i < n && !stopped_; ++i) {
      const auto& e = events.at(static_cast<std::size_t>(i));
      const auto found = handlers_.find(e.data.u64);
      if (found == handlers_.end()) continue;  // forgotten by a handler before it
      const auto handler = found->second;
      (*handler)(e.events);
      run_deferred();
    }
    run_timers();
    run_deferred();
  }
  return {};
}

}  // namespace coracle::monitor
