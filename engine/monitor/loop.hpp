// The monitor's event loop: epoll, timers, children. One thread, nothing else: the monitor waits
// for days in a few hundred kilobytes, so there is no Asio here.
//
// Handlers run one after the other and must not block. Inside a handler any Watch may be destroyed,
// its own too; what a handler's own object needs until it returns is passed to defer().
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

class Loop {
 public:
  using Handler = std::function<void(std::uint32_t events)>;  // EPOLL*
  using TimerId = std::uint64_t;                              // 0: none

  // A descriptor's place in the loop. Destroyed before the descriptor is closed: others may hold
  // the same open file, and epoll would go on reporting it. See epoll(7).
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept;
    Watch& operator=(Watch&& other) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { reset(); }
    // EPOLLHUP and EPOLLERR are reported always, also with 0.
    void change(std::uint32_t events);
    // Takes it out of epoll, so that not even EPOLLHUP is reported, until change().
    void pause();
    void reset();
    explicit operator bool() const { return loop_ != nullptr; }

   private:
    friend class Loop;
    Loop* loop_ = nullptr;
    std::uint64_t id_ = 0;
    int fd_ = -1;
    std::uint32_t events_ = 0;
    bool in_epoll_ = false;
  };

  Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();
  Result<> open();

  Result<Watch> watch(const UniqueFd& fd, std::uint32_t events, Handler handler);
  TimerId after(std::chrono::milliseconds time, std::function<void()> action);
  void cancel(TimerId& timer);
  // Runs after the handler that is running now.
  void defer(std::function<void()> action);
  // Runs once the loop has been quiet for a while: the moment to give memory back.
  void on_quiet(std::function<void()> action) { quiet_ = std::move(action); }

  // One buffer for whoever reads just now; its contents last until the next read. Its memory goes
  // back to the kernel when the loop is quiet.
  std::span<char> scratch();

  // Until stop().
  Result<> run();
  void stop() { stopped_ = true; }

 private:
  [[nodiscard]] int timeout_ms() const;
  void run_timers();
  void run_deferred();
  void go_quiet();

  UniqueFd epoll_;
  std::uint64_t next_id_ = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<Handler>> handlers_;
  std::map<std::pair<std::chrono::steady_clock::time_point, TimerId>, std::function<void()>>
      timers_;
  std::vector<std::function<void()>> deferred_;
  std::function<void()> quiet_;
  char* scratch_ = nullptr;
  bool busy_ = true;  // since the loop was last quiet
  bool stopped_ = false;
};

}  // namespace coracle::monitor
