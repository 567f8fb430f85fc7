// A thread for what the main thread cannot do: it lives in another network namespace (they belong
// to threads, and from a user's own namespace there is no way back to the host's), and may wait for
// the kernel's RTNL lock while the main thread goes on relaying. One function at a time, in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "engine/base/result.hpp"

namespace coracle::netstack {

class Worker {
 public:
  //   name  at most 15 characters, for ps(1)
  explicit Worker(const std::string& name);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(std::function<void()> function);
  // Runs it there and waits for its result.
  template <class F>
  auto call(F function) -> std::invoke_result_t<F> {
    using R = std::invoke_result_t<F>;
    auto task = std::make_shared<std::packaged_task<R()>>(std::move(function));
    auto result = task->get_future();
    post([task] { (*task)(); });
    return result.get();
  }

 private:
  void run();

  std::mutex mutex_;  // guards queue_ and stopped_
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace coracle::netstack
