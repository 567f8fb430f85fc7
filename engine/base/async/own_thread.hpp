// Threads of their own, for work that may wait for somebody else (a client that reads or sends an
// archive as slowly as it likes, a file system that answers late), that is as long as a container
// or an image made it, or that changes what belongs to a thread (its mount namespace). It takes no
// place among the Workers.
//
// Their number is bounded, in two lanes, so that clients that stall do not hold up who only looks;
// in a lane nobody has more than a share. Whoever finds no place waits: first come, first served,
// but one whose share is used up lets others pass. A wait ends with its coroutine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <boost/asio/execution_context.hpp>

#include "engine/base/async/async.hpp"

namespace coracle {

enum class Lane : std::uint8_t {
  peers,  // moves bytes to or from a client
  trees,  // walks files that a container made
};

// Whose work it is: a container's id, the name of an operation. Constructors, since it is written
// inside co_await expressions, where g++ 12 destroys a temporary aggregate twice.
struct ThreadOwner {
  ThreadOwner(Lane l, std::string n) : lane(l), name(std::move(n)) {}
  Lane lane;
  std::string name;
};

// The places of one loop: a service of its io_context, so that the bound is one for all of it.
class ThreadPlaces : public asio::execution_context::service {
 public:
  using key_type = ThreadPlaces;
  inline static asio::execution_context::id id;  // asio's key of the service

  struct Bound {
    std::size_t all = 0, each = 0;
  };
  static constexpr Bound kPeers{64, 16}, kTrees{16, 4};

  explicit ThreadPlaces(asio::execution_context& io);
  static ThreadPlaces& of(asio::io_context& io) { return asio::use_service<ThreadPlaces>(io); }

  // Given back when it is dropped.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), owner_(std::move(other.owner_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (from_ != nullptr) from_->leave(owner_);
    }

   private:
    friend class ThreadPlaces;
    Place(ThreadPlaces* from, ThreadOwner owner) : from_(from), owner_(std::move(owner)) {}
    ThreadPlaces* from_ = nullptr;
    ThreadOwner owner_{Lane::peers, ""};
  };
  //   errors  unavailable: the waiting coroutine was cancelled
  static Task<Place> take(asio::io_context& io, ThreadOwner owner);

  [[nodiscard]] std::size_t taken(Lane lane) const { return lanes_.at(lane).taken; }
  [[nodiscard]] std::size_t waiting(Lane lane) const { return lanes_.at(lane).waiting.size(); }

 private:
  struct Waiting {
    Waiting(asio::io_context& io, ThreadOwner o) : owner(std::move(o)), has_place(io) {}
    ThreadOwner owner;
    OneShot<> has_place;
  };
  struct LaneState {
    Bound bound;
    std::size_t taken = 0;
    std::map<std::string, std::size_t> by_owner;
    std::deque<std::shared_ptr<Waiting>> waiting;
  };
  void shutdown() override;
  [[nodiscard]] static bool has_room(const LaneState& lane, const std::string& owner);
  void leave(const ThreadOwner& owner);

  std::map<Lane, LaneState> lanes_;
  bool down_ = false;  // the loop is being destroyed, and its coroutines with it
};

// Calls a function that returns a Result; an exception that leaves it is Errc::internal. For the
// two sides of work that a second thread shares.
template <class F>
auto caught(F&& function) noexcept -> decltype(function()) {
  try {
    return function();
  } catch (...) {
    return std::unexpected(detail::error_of(std::current_exception()));
  }
}

// As Workers::run, on a thread of its own. The function returns a Result.
//   errors  unavailable: no more threads
template <class F>
auto run_on_thread(asio::io_context& io, [[maybe_unused]] ThreadPlaces::Place place, F function)
    -> Coro<typename detail::Job<F>::R> {
  static_assert(detail::IsResult<typename detail::Job<F>::R>::value);
  auto job = std::make_shared<detail::Job<F>>(io, std::move(function));
  auto work = asio::make_work_guard(io);
  std::thread thread;
  try {
    thread = std::thread([job, work]() mutable { job->execute(); });
  } catch (const std::system_error& e) {
    co_return std::unexpected(make_sys_error(e.code().value(), "start a thread"));
  }
  auto result = co_await job->wait();
  thread.join();
  co_return result;
}

// The same once there is a place.   errors  unavailable: cancelled while it waited for one
template <class F>
auto run_on_thread(asio::io_context& io, F function, ThreadOwner owner)
    -> Coro<typename detail::Job<F>::R> {
  auto place = co_await ThreadPlaces::take(io, std::move(owner));
  if (!place) co_return std::unexpected(place.error());
  co_return co_await run_on_thread(io, *std::move(place), std::move(function));
}

template <class F>
auto run_on_thread(asio::io_context& io, F function) -> Coro<typename detail::Job<F>::R> {
  ThreadOwner nobody(Lane::peers, "");
  co_return co_await run_on_thread(io, std::move(function), std::move(nobody));
}

}  // namespace coracle
