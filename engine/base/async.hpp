// Coroutines: one thread and one io_context a process. Anything may have changed after a co_await.
// g++ 12 destroys twice a temporary aggregate, or a lambda with owning captures, written inside a
// co_await expression: name it first.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

namespace asio = boost::asio;

template <class T = void>
using Task = asio::awaitable<Result<T>>;
template <class T>
using Coro = asio::awaitable<T>;  // for what cannot fail

// Boost's operations answer (error_code, …) instead of throwing.
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// Owns coroutines: what is started here ends at the latest with close(), which cancels all of them.
// An exception that leaves one is a bug: logged as an error.
class Scope {
 public:
  explicit Scope(asio::io_context& io) : io_(io), state_(std::make_shared<State>()) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { cancel(); }

  // Starts it; it runs until its first suspension on the next turn of the loop. `what` names it in
  // the log.
  void start(const char* what, Coro<void> coroutine);
  // Asks every coroutine to end (terminal cancellation of what it awaits).
  void cancel();
  // Waits until all have ended.
  Coro<void> close();
  [[nodiscard]] std::size_t running() const { return state_->signals.size(); }

 private:
  struct State {
    std::list<asio::cancellation_signal> signals;
    std::vector<asio::steady_timer*> waiters;
  };
  asio::io_context& io_;
  std::shared_ptr<State> state_;
};

// One at a time: `const auto turn = co_await turns.take();` holds the turn while `turn` lives.
// First come, first served. The Turns must outlive its waiters (keep the owner by shared_ptr).
class Turns {
 public:
  class Turn {
   public:
    Turn() = default;
    explicit Turn(Turns* owner) : owner_(owner) {}
    Turn(Turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      if (owner_ != nullptr) owner_->pass_on();
    }

   private:
    Turns* owner_ = nullptr;
  };
  explicit Turns(asio::io_context& io) : io_(io) {}
  Coro<Turn> take();
  [[nodiscard]] bool busy() const { return busy_; }

 private:
  void pass_on();
  asio::io_context& io_;
  bool busy_ = false;
  std::deque<std::shared_ptr<asio::steady_timer>> waiting_;
};

// A thing that happens once, or again and again: waiters sleep until notify_all().
class Signal {
 public:
  explicit Signal(asio::io_context& io) : timer_(io, asio::steady_timer::time_point::max()) {}
  void notify_all() { timer_.cancel(); }
  // Returns at the next notify_all(), or when the awaiting coroutine is cancelled (then false).
  Coro<bool> wait();
  // The same, or after `limit`: false when the time is over or the coroutine was cancelled.
  Coro<bool> wait_for(std::chrono::milliseconds limit);

 private:
  asio::steady_timer timer_;
};

// Threads for slow file work and hashing. `run` moves a function there, and answers on the loop.
class Workers {
 public:
  Workers(asio::io_context& io, std::size_t threads) : io_(io), pool_(threads) {}
  ~Workers() {
    pool_.stop();
    pool_.join();
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // `auto job = [values] { … }; auto r = co_await workers.run(std::move(job));` The function takes
  // values, returns Result<T>, and touches nothing of the loop's. Not cancellable: it runs to its
  // end.
  template <class F>
  auto run(F function) -> Coro<std::invoke_result_t<F>>;

 private:
  asio::io_context& io_;
  asio::thread_pool pool_;
};

// Awaits that a descriptor is readable or writable (or has failed). The descriptor stays the
// caller's. errors: operation cancelled
Task<> wait_readable(asio::io_context& io, const UniqueFd& fd);
Task<> wait_writable(asio::io_context& io, const UniqueFd& fd);
Coro<void> sleep_for(asio::io_context& io, std::chrono::milliseconds time);

template <class F>
auto Workers::run(F function) -> Coro<std::invoke_result_t<F>> {
  using R = std::invoke_result_t<F>;
  struct Shared {
    explicit Shared(asio::io_context& io, F f)
        : done(io, asio::steady_timer::time_point::max()), function(std::move(f)) {}
    asio::steady_timer done;
    F function;
    std::optional<R> result;
    bool done_on_loop = false;  // `result` belongs to the thread until the loop has been told
  };
  auto shared = std::make_shared<Shared>(io_, std::move(function));
  auto work = asio::make_work_guard(io_);
  asio::post(pool_, [shared, work, &io = io_]() mutable {
    shared->result.emplace(shared->function());
    asio::post(io, [shared] {
      shared->done_on_loop = true;
      shared->done.cancel();
    });
  });
  // The result is what counts, not why the timer ended: a cancelled waiter stays until the thread
  // is done.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  while (!shared->done_on_loop) co_await shared->done.async_wait(kToken);
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return std::move(*shared->result);
}

}  // namespace coracle
