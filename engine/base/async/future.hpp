// A task that was started and is asked for later: so two run side by side, and what a client began
// is carried to its end when the client is gone.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "engine/base/async/async.hpp"
#include "engine/base/log.hpp"
#include "engine/base/result.hpp"

namespace coracle {

template <class T = void>
class Future {
 public:
  // Starts it in the scope; it runs on when this object or its awaiter is gone.
  Future(asio::io_context& io, Scope& scope, const char* what, Task<T> task)
      : result_(std::make_shared<OneShot<Result<T>>>(io)) {
    scope.start(what, run(result_, std::move(task)));
  }

  // The result, once. errors: the task's own; unavailable when the awaiting coroutine is cancelled.
  Task<T> get() { return wait(result_); }
  [[nodiscard]] bool done() const { return result_->is_set(); }

 private:
  using Shared = std::shared_ptr<OneShot<Result<T>>>;

  static Coro<void> run(Shared result, Task<T> task) {
    try {
      result->set(co_await std::move(task));
    } catch (const std::exception& e) {
      log::error("task ended by an exception reason={}", e.what());
      result->set(fail(Errc::internal, "a defect in coracle: {}", e.what()));
    }
  }

  static Task<T> wait(Shared result) {
    const bool set = co_await result->wait();
    if (!set) co_return fail(Errc::unavailable, "the request was given up");
    co_return std::move(result->value());
  }

  Shared result_;
};

}  // namespace coracle
