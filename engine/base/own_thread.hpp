// A thread of its own for work that waits for somebody else (a client that reads or sends an
// archive as slowly as it likes), or that changes what belongs to a thread (its mount namespace):
// it takes no place among the Workers.
#pragma once

#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/base/async.hpp"

namespace coracle {

// As Workers::run.   errors  unavailable: no more threads, where the function returns a Result
template <class F>
auto run_on_thread(asio::io_context& io, F function) -> Coro<typename detail::Job<F>::R> {
  auto job = std::make_shared<detail::Job<F>>(io, std::move(function));
  auto work = asio::make_work_guard(io);
  std::thread thread;
  try {
    thread = std::thread([job, work]() mutable { job->execute(); });
  } catch (const std::system_error& e) {
    if constexpr (detail::IsResult<typename detail::Job<F>::R>::value) {
      co_return std::unexpected(make_sys_error(e.code().value(), "start a thread"));
    } else {
      throw;
    }
  }
  auto result = co_await job->wait();
  thread.join();
  co_return result;
}

}  // namespace coracle
