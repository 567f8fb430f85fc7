// The event loop of coracle-monitor and of coracle-netstack's main thread: epoll(7), timers, and
// work that is put off or handed in by other threads. Plain callbacks, no Asio and no coroutine
// (docs/decisions/0080-event-loops.md): a monitor waits for days in a few hundred kilobytes, and a
// relay of netstack's is two descriptors and a few flags.
//
// A turn: the handlers of what is ready, one after the other, each followed by what it deferred;
// then the timers that are due. None of them may block.
//
// Inside any of these functions every Watch and Timer may be dropped, its own too. A dropped one is
// not called again, also when its event is at hand already. The function of a dropped watch, with
// all that it has captured, lives until the turn ends, that of a timer until it returns. The object
// that owns them is not kept by that: who destroys it inside of one of its functions passes it to
// defer().
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using OnEvents = std::function<void(std::uint32_t events)>;  // EPOLL*
  using Action = std::function<void()>;

 private:
  struct Entry {
    Loop& loop;
    int fd;
    std::uint32_t events;
    OnEvents handler;
    bool in_epoll = true;
    bool dropped = false;
  };
  // Entries are freed when no event at hand can point to them.
  struct Drop {
    void operator()(Entry* entry) const;
  };
  using TimerKey = std::pair<Clock::time_point, std::uint64_t>;

 public:
  // Watches a descriptor while it lives. Dropped before the descriptor is closed: others may hold
  // the same open file, and epoll would go on reporting it. See epoll(7).
  class Watch {
   public:
    Watch() = default;
    // Other events from now on. EPOLLHUP and EPOLLERR are reported always, also with 0.
    void change(std::uint32_t events);
    // Takes it out of epoll, so that not even EPOLLHUP is reported, until change().
    void pause();
    void reset() { entry_.reset(); }
    explicit operator bool() const { return entry_ != nullptr; }

   private:
    friend class Loop;
    explicit Watch(std::unique_ptr<Entry, Drop> entry) : entry_(std::move(entry)) {}
    std::unique_ptr<Entry, Drop> entry_;
  };

  // Runs its action once, unless it is dropped before.
  class Timer {
   public:
    Timer() = default;
    Timer(Timer&& o) noexcept : loop_(std::exchange(o.loop_, nullptr)), key_(o.key_) {}
    Timer& operator=(Timer&& o) noexcept {
      if (this != &o) {
        reset();
        loop_ = std::exchange(o.loop_, nullptr);
        key_ = o.key_;
      }
      return *this;
    }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { reset(); }
    void reset();
    // It is still to run: no longer so inside its action.
    [[nodiscard]] bool pending() const { return loop_ != nullptr && loop_->timers_.contains(key_); }

   private:
    friend class Loop;
    Timer(Loop* loop, TimerKey key) : loop_(loop), key_(key) {}
    Loop* loop_ = nullptr;
    TimerKey key_;
  };

  // Outlives its watches and timers.
  static Result<std::unique_ptr<Loop>> make();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  //   events  EPOLLIN, EPOLLOUT, EPOLLET, … of epoll_ctl(2)
  //   errors  unavailable (ENOSPC), internal (ENOMEM)
  Result<Watch> watch(const UniqueFd& fd, std::uint32_t events, OnEvents handler);
  // With no delay it runs after the events at hand: for work that gives way to others.
  [[nodiscard]] Timer after(std::chrono::milliseconds delay, Action action);
  // Runs it after the function that is running now, before any other.
  void defer(Action action) { deferred_.push_back(std::move(action)); }
  // Runs it on the loop's thread. May be called from any.
  void post(Action action);
  // Runs it each time the loop has had nothing to do for a while: the moment to give memory back.
  void on_quiet(Action action) { quiet_ = std::move(action); }

  // Runs until stop(): what was deferred still runs after it, and nothing else.
  Result<> run();
  void stop() { stopped_ = true; }

 private:
  Loop() = default;
  void run_posted();
  void run_timers();
  void run_deferred();
  void free_dropped();
  [[nodiscard]] int timeout_ms() const;

  UniqueFd epoll_;
  UniqueFd wake_;  // eventfd
  Watch wake_watch_;
  bool stopped_ = false;
  std::vector<std::unique_ptr<Entry>> dropped_;
  std::map<TimerKey, Action> timers_;
  std::uint64_t last_timer_ = 0;
  std::vector<Action> deferred_;
  Action quiet_;
  bool busy_ = true;  // since the loop was last quiet
  std::mutex mutex_;  // guards posted_
  std::vector<Action> posted_;
};

}  // namespace coracle
