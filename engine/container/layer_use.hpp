// Who is at work on a container's files besides the container itself: copies, exports, commits.
// They hold no lock, since they last as long as their client likes: they are listed here, and
// whoever needs the layer asks them to end.
//
//   removal  ends all of them, and then waits at most for kEndLimit
//   start    waits for those that pin the layer (have it mounted so that it cannot be mounted a
//            second time: copies in, and whoever joined their mounts) as long as they move; one
//            that waits for its client for kStallLimit is ended, and after kStartLimit all are
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/async/future.hpp"
#include "engine/base/fd.hpp"

namespace coracle {

struct LayerUse {
  explicit LayerUse(asio::io_context& io) : scope(io) {}
  // Of a copy in, a second descriptor of what its client sends: nothing to be read there means that
  // it waits for the client.
  UniqueFd body;
  // Set by the thread that works, when it can no longer be in the way of a start.
  std::atomic<bool> pins = true;
  std::string ended_because;  // not empty: it was asked to end
  Scope scope;                // of the work: cancelling it ends it
};
using LayerUsePtr = std::shared_ptr<LayerUse>;

class LayerUses {
 public:
  static constexpr std::chrono::milliseconds kEndLimit{1000};
  static constexpr std::chrono::milliseconds kStallLimit{1000};
  static constexpr std::chrono::milliseconds kStartLimit{10'000};

  explicit LayerUses(asio::io_context& io) : io_(io), changed_(io) {}

  // On the list as long as somebody holds it, or until it is taken off.
  LayerUsePtr begin();
  void end(const LayerUsePtr& use);

  // False when some have not ended in time: their thread hangs in a file system.
  Coro<bool> end_all(std::string reason);
  //   errors  conflict: one does not end
  Task<> make_way(std::string reason);

 private:
  [[nodiscard]] std::vector<LayerUsePtr> all();
  asio::io_context& io_;
  std::list<std::weak_ptr<LayerUse>> uses_;
  Signal changed_;
};

// Runs the work of a use, and takes it off the list. The work is cancelled with the awaiting
// coroutine (the client has left) and when it is asked to end; it has ended when this returns.
//   errors  the work's; conflict with the reason why it was asked to end
template <class T>
Task<T> run_use(asio::io_context& io, LayerUses& uses, LayerUsePtr use, Task<T> work) {
  Future<T> later(io, use->scope, "work on a layer", std::move(work));
  auto result = co_await later.get();
  if (!later.done()) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await use->scope.close();
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    result = co_await later.get();
  }
  uses.end(use);
  if (!result && !use->ended_because.empty())
    co_return fail(Errc::conflict, "{}", use->ended_because);
  co_return result;
}

}  // namespace coracle
