// Coroutines: one thread and one io_context a process. Anything may have changed after a co_await.
// g++ 12 destroys twice a temporary aggregate, or a lambda with owning captures, written inside a
// co_await expression: name it first.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

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

// Set once, and waited for by any number of coroutines. On the loop's thread; it must outlive its
// waiters (keep it by shared_ptr).
template <class T = std::monostate>
class OneShot {
 public:
  explicit OneShot(asio::io_context& io) : set_(io, asio::steady_timer::time_point::max()) {}
  // The first value stays.
  void set(T value = {}) {
    if (!value_) value_.emplace(std::move(value));
    set_.cancel();
  }
  [[nodiscard]] bool is_set() const { return value_.has_value(); }
  // Once it is set.
  [[nodiscard]] T& value() { return *value_; }
  // false: the waiting coroutine was cancelled before it was set. It may wait again.
  Coro<bool> wait() {
    while (!value_) {
      co_await set_.async_wait(kToken);
      if (value_) break;
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) co_return false;
    }
    co_return true;
  }

 private:
  asio::steady_timer set_;
  std::optional<T> value_;
};

// One at a time: `const auto lock = co_await mutex.lock();` holds the lock while `lock` lives.
// First come, first served. The AsyncMutex must outlive its waiters (keep the owner by shared_ptr).
class AsyncMutex {
 public:
  class Lock {
   public:
    Lock() = default;
    explicit Lock(AsyncMutex* owner) : owner_(owner) {}
    Lock(Lock&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
      if (owner_ != nullptr) owner_->pass_on();
    }

   private:
    AsyncMutex* owner_ = nullptr;
  };
  explicit AsyncMutex(asio::io_context& io) : io_(io) {}
  Coro<Lock> lock();
  [[nodiscard]] bool busy() const { return busy_; }

 private:
  void pass_on();
  asio::io_context& io_;
  bool busy_ = false;
  std::deque<std::shared_ptr<OneShot<>>> waiting_;
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

// Set when nobody waits for a job's result any more: the job ends at its next step. Any thread.
using StopFlag = std::atomic<bool>;

namespace detail {

template <class R>
struct IsResult : std::false_type {};
template <class T>
struct IsResult<Result<T>> : std::true_type {};

// The error that stands for an exception which left a job: Errc::internal with its reason.
Error error_of(const std::exception_ptr& exception) noexcept;

// A function that runs on another thread, and the coroutine that waits for it on the loop.
template <class F>
class Job : public std::enable_shared_from_this<Job<F>> {
  static constexpr bool kStoppable = std::is_invocable_v<F&, const StopFlag&>;
  static auto call(F& f, [[maybe_unused]] const StopFlag& stop) {
    if constexpr (kStoppable) {
      return f(stop);
    } else {
      return f();
    }
  }

 public:
  using R = decltype(call(std::declval<F&>(), std::declval<const StopFlag&>()));

  Job(asio::io_context& io, F f) : io_(io), done_(io), function_(std::move(f)) {}

  // On the other thread, once. No exception leaves it.
  void execute() noexcept {
    try {
      result_.emplace(call(function_, stop_));
    } catch (...) {
      if constexpr (IsResult<R>::value) {
        result_.emplace(std::unexpected(error_of(std::current_exception())));
      } else {
        exception_ = std::current_exception();
      }
    }
    asio::post(io_, [self = this->shared_from_this()] { self->done_.set(); });
  }

  // On the loop, once: the result, or the exception where R cannot say it. A cancelled waiter stays
  // until the thread is done, after it has told a stoppable function to stop.
  Coro<R> wait() {
    if constexpr (!kStoppable)
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    bool done = co_await done_.wait();
    if (!done) {
      stop_ = true;
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      done = co_await done_.wait();
    }
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    if (exception_) std::rethrow_exception(exception_);
    co_return std::move(*result_);
  }

 private:
  asio::io_context& io_;
  OneShot<> done_;
  F function_;
  StopFlag stop_ = false;
  std::optional<R> result_;  // with the next, the thread's until the loop has been told
  std::exception_ptr exception_;
};

}  // namespace detail

// Threads for slow file work and hashing. `run` moves a function there, and answers on the loop.
// Nothing that waits for a peer (a client, a registry, a container) runs here: run_on_thread.
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
  // values, returns Result<T>, and touches nothing of the loop's. It runs to its end; one that
  // takes a `const StopFlag&` may end earlier when its waiter has been cancelled. An exception that
  // leaves it is Errc::internal with its reason; where it returns no Result, the waiter gets it.
  template <class F>
  auto run(F function) -> Coro<typename detail::Job<F>::R>;

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
auto Workers::run(F function) -> Coro<typename detail::Job<F>::R> {
  auto job = std::make_shared<detail::Job<F>>(io_, std::move(function));
  auto work = asio::make_work_guard(io_);
  asio::post(pool_, [job, work]() mutable { job->execute(); });
  co_return co_await job->wait();
}

}  // namespace coracle
