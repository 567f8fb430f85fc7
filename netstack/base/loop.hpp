// The event loop of coracle-netstack's main thread: epoll(7), timers, and work handed in by other
// threads. Plain callbacks, no coroutine: a relay is two descriptors and a few flags, and thousands
// of them may stand idle.
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

namespace coracle::netstack {

// How listening sockets are served: so many connections a turn, and a pause when there is no
// descriptor for another.
constexpr int kAcceptBatch = 64;
constexpr std::chrono::milliseconds kNoDescriptorPause{100};

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using OnEvents = std::function<void(std::uint32_t events)>;
  using OnTime = std::function<void()>;

 private:
  struct Entry {
    int fd = -1;
    OnEvents handler;
    bool dead = false;
  };
  using TimerKey = std::pair<Clock::time_point, std::uint64_t>;

 public:
  // Watches a descriptor while it lives. Drop it before the descriptor is closed.
  class Watch {
   public:
    Watch() = default;
    Watch(Loop* loop, Entry* entry) : loop_(loop), entry_(entry) {}
    Watch(Watch&& o) noexcept
        : loop_(std::exchange(o.loop_, nullptr)), entry_(std::exchange(o.entry_, nullptr)) {}
    Watch& operator=(Watch&& o) noexcept {
      if (this != &o) {
        reset();
        loop_ = std::exchange(o.loop_, nullptr);
        entry_ = std::exchange(o.entry_, nullptr);
      }
      return *this;
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { reset(); }
    void reset();
    // Other events from now on (0: none but errors).
    void set(std::uint32_t events);
    explicit operator bool() const { return entry_ != nullptr; }

   private:
    Loop* loop_ = nullptr;
    Entry* entry_ = nullptr;
  };

  // Runs its function once, unless it is dropped before.
  class Timer {
   public:
    Timer() = default;
    Timer(Loop* loop, TimerKey key) : loop_(loop), key_(key) {}
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

   private:
    Loop* loop_ = nullptr;
    TimerKey key_;
  };

  static Result<std::unique_ptr<Loop>> make();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  //   events  EPOLLIN, EPOLLOUT, EPOLLET, … of epoll_ctl(2)
  //   errors  unavailable (ENOSPC, ENOMEM)
  Result<Watch> watch(const UniqueFd& fd, std::uint32_t events, OnEvents handler);
  Timer after(std::chrono::milliseconds delay, OnTime function);
  // Runs it after the events at hand: for work that gives way to others.
  void defer(OnTime function) { deferred_.push_back(std::move(function)); }
  // The same from any thread.
  void post(OnTime function);

  // Runs until stop().
  Result<> run();
  void stop() { stopped_ = true; }

 private:
  Loop() = default;
  void run_posted();
  void run_timers();
  [[nodiscard]] int timeout_ms() const;

  UniqueFd epoll_;
  UniqueFd wake_;  // eventfd
  Watch wake_watch_;
  bool stopped_ = false;
  std::vector<Entry*> graveyard_;  // freed when no event at hand can point to them
  std::map<TimerKey, OnTime> timers_;
  std::uint64_t next_timer_ = 0;
  std::vector<OnTime> deferred_;
  std::mutex mutex_;  // guards posted_
  std::vector<OnTime> posted_;
};

}  // namespace coracle::netstack
