// A task that was started and is asked for later: so two run side by side, and what a client began
// is carried to its end when the client is gone.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "engine/base/async.hpp"
#include "engine/base/log.hpp"

namespace coracle {

template <class T = void>
class Later {
 public:
  // Starts it in the scope; it runs on when this object or its awaiter is gone.
  Later(asio::io_context& io, Scope& scope, const char* what, Task<T> task)
      : shared_(std::make_shared<Shared>(io)) {
    scope.start(what, run(shared_, std::move(task)));
  }

  // The result, once. errors: the task's own; unavailable when the awaiting coroutine is cancelled.
  Task<T> get() { return wait(shared_); }
  [[nodiscard]] bool done() const { return shared_->result.has_value(); }

 private:
  struct Shared {
    explicit Shared(asio::io_context& io) : done(io, asio::steady_timer::time_point::max()) {}
    asio::steady_timer done;
    std::optional<Result<T>> result;
  };

  static Coro<void> run(std::shared_ptr<Shared> shared, Task<T> task) {
    try {
      shared->result.emplace(co_await std::move(task));
    } catch (const std::exception& e) {
      log::error("task ended by an exception reason={}", e.what());
      shared->result.emplace(fail(Errc::internal, "a defect in coracle: {}", e.what()));
    }
    shared->done.cancel();
  }

  static Task<T> wait(std::shared_ptr<Shared> shared) {
    while (!shared->result) {
      co_await shared->done.async_wait(kToken);
      const auto state = co_await asio::this_coro::cancellation_state;
      if (!shared->result && state.cancelled() != asio::cancellation_type::none)
        co_return fail(Errc::unavailable, "the request was given up");
    }
    co_return std::move(*shared->result);
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace coracle
