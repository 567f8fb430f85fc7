// A thread of its own for work that waits for somebody else (a client that reads or sends an
// archive as slowly as it likes), or that changes what belongs to a thread (its mount namespace):
// it takes no place among the Workers.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "engine/base/async.hpp"

namespace coracle {

// As Workers::run: takes values, returns Result<T>, touches nothing of the loop's, runs to its end.
template <class F>
auto run_on_thread(asio::io_context& io, F function) -> Coro<std::invoke_result_t<F>> {
  using R = std::invoke_result_t<F>;
  struct Shared {
    explicit Shared(asio::io_context& i, F f)
        : done(i, asio::steady_timer::time_point::max()), function(std::move(f)) {}
    asio::steady_timer done;
    F function;
    std::optional<R> result;
    bool done_on_loop = false;  // `result` belongs to the thread until the loop has been told
  };
  auto shared = std::make_shared<Shared>(io, std::move(function));
  auto work = asio::make_work_guard(io);
  std::thread thread([shared, work, &io]() mutable {
    shared->result.emplace(shared->function());
    asio::post(io, [shared] {
      shared->done_on_loop = true;
      shared->done.cancel();
    });
  });
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  while (!shared->done_on_loop) co_await shared->done.async_wait(kToken);
  thread.join();
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return std::move(*shared->result);
}

}  // namespace coracle
