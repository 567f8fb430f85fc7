#include "engine/base/async/async.hpp"

#include <atomic>
#include <csignal>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/defer.hpp"
#include "engine/base/process/wait.hpp"

namespace coracle {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Coro<void> lock_taker(asio::io_context& io, AsyncMutex& mutex, std::vector<int>& order, int n) {
  const auto lock = co_await mutex.lock();
  order.push_back(n);
  co_await sleep_for(io, 1ms);
  order.push_back(n);
}

TEST(AsyncMutex, IsHeldByOneAtATimeInOrder) {
  asio::io_context io;
  Scope scope(io);
  AsyncMutex mutex(io);
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) scope.start("taker", lock_taker(io, mutex, order, i));
  io.run();
  EXPECT_THAT(order, ElementsAre(0, 0, 1, 1, 2, 2));
  EXPECT_FALSE(mutex.busy());
}

Coro<void> waiter(OneShot<int>& shot, std::vector<int>& got) {
  const bool set = co_await shot.wait();
  got.push_back(set ? shot.value() : -1);
}

TEST(OneShot, IsSetOnceForAllWhoWait) {
  asio::io_context io;
  Scope scope(io);
  OneShot<int> shot(io);
  std::vector<int> got;
  for (int i = 0; i < 2; ++i) scope.start("waiter", waiter(shot, got));
  asio::post(io, [&] {
    shot.set(7);
    shot.set(8);
  });
  io.run();
  EXPECT_THAT(got, ElementsAre(7, 7));
  // Whoever comes later does not wait.
  io.restart();
  scope.start("late", waiter(shot, got));
  io.run();
  EXPECT_THAT(got, ElementsAre(7, 7, 7));
}

TEST(OneShot, ACancelledWaiterIsToldSo) {
  asio::io_context io;
  Scope scope(io);
  OneShot<int> shot(io);
  std::vector<int> got;
  scope.start("waiter", waiter(shot, got));
  io.poll();
  scope.cancel();
  io.restart();
  io.run();
  EXPECT_THAT(got, ElementsAre(-1));
}

Coro<void> await_child(asio::io_context& io, const Pidfd& child, bool& in_time, bool& in_the_end) {
  in_time = co_await wait_until_ended(io, child, 10ms);
  (void)child.send_signal(SIGKILL);
  in_the_end = co_await wait_until_ended(io, child, 1h);
}

TEST(WaitUntilEnded, IsToldByThePidfdOrByTheLimit) {
  SpawnOptions options;
  options.program = "/bin/sleep";
  options.argv = {"sleep", "3600"};
  auto child = spawn(options);
  ASSERT_TRUE(child) << child.error().message;
  asio::io_context io;
  Scope scope(io);
  bool in_time = true, in_the_end = false;
  scope.start("await", await_child(io, *child, in_time, in_the_end));
  io.run();
  EXPECT_FALSE(in_time);
  EXPECT_TRUE(in_the_end);
  (void)child->wait();
}

TEST(Defer, IsDoneHoweverTheScopeIsLeftUnlessReleased) {
  int done = 0;
  {
    const Defer first([&] { ++done; });
    Defer second([&] { done += 10; });
    second.release();
  }
  EXPECT_EQ(1, done);
}

Coro<void> sleeper(asio::io_context& io, bool& ended) {
  co_await sleep_for(io, 1h);
  ended = true;
}
Coro<void> closer(Scope& scope, bool& closed) {
  co_await scope.close();
  closed = true;
}

TEST(Scope, ClosingEndsItsCoroutines) {
  asio::io_context io;
  Scope scope(io);
  Scope own(io);
  bool ended = false;
  bool closed = false;
  scope.start("sleeper", sleeper(io, ended));
  own.start("closer", closer(scope, closed));
  io.run_for(60s);
  EXPECT_TRUE(ended);
  EXPECT_TRUE(closed);
  EXPECT_EQ(scope.running(), 0U);
}

Coro<void> worker_user(Workers& workers, Result<int>& out) {
  auto job = []() -> Result<int> { return 42; };
  out = co_await workers.run(std::move(job));
}

TEST(Workers, AnswerOnTheLoop) {
  asio::io_context io;
  Workers workers(io, 2);
  Scope scope(io);
  Result<int> got = fail(Errc::internal, "none");
  scope.start("user", worker_user(workers, got));
  io.run_for(60s);
  EXPECT_EQ(got, 42);
}

std::string negative_size() { return std::string(static_cast<std::size_t>(-5), 'x'); }

Coro<void> thrower(asio::io_context& io, Workers& workers, std::vector<Error>& out) {
  auto in_worker = []() -> Result<std::string> { return negative_size(); };
  auto a = co_await workers.run(std::move(in_worker));
  out.push_back(a.error());
  auto in_thread = []() -> Result<> { throw std::bad_alloc(); };
  auto b = co_await run_on_thread(io, std::move(in_thread));
  out.push_back(b.error());
  auto unknown = []() -> Result<> { throw 1; };  // NOLINT
  auto c = co_await workers.run(std::move(unknown));
  out.push_back(c.error());
  auto no_result = []() -> int { throw std::runtime_error("plain"); };
  try {
    co_await workers.run(std::move(no_result));
  } catch (const std::runtime_error& e) {
    out.push_back(Error{Errc::conflict, 0, e.what()});
  }
}

TEST(Jobs, AnExceptionIsAnAnswerAndEndsNothing) {
  asio::io_context io;
  Workers workers(io, 1);
  Scope scope(io);
  std::vector<Error> got;
  scope.start("thrower", thrower(io, workers, got));
  io.run_for(60s);
  ASSERT_EQ(got.size(), 4U);
  EXPECT_EQ(got[0].code, Errc::internal);
  EXPECT_THAT(got[0].message, testing::HasSubstr("exception: "));
  EXPECT_THAT(got[1].message, testing::HasSubstr("bad_alloc"));
  EXPECT_EQ(got[2].code, Errc::internal);
  EXPECT_EQ(got[3].message, "plain");
}

Coro<void> stoppable(asio::io_context& io, Workers& workers, std::atomic<int>& running,
                     std::atomic<int>& stopped) {
  auto job = [&running, &stopped](const StopFlag& stop) -> Result<> {
    ++running;
    while (!stop) std::this_thread::sleep_for(1ms);
    ++stopped;
    return fail(Errc::unavailable, "stopped");
  };
  auto other = job;
  if (running == 0) {
    auto r = co_await workers.run(std::move(job));
    EXPECT_FALSE(r);
  } else {
    auto r = co_await run_on_thread(io, std::move(other));
    EXPECT_FALSE(r);
  }
}

TEST(Jobs, AStoppableOneEndsWithItsWaiter) {
  asio::io_context io;
  Workers workers(io, 1);
  Scope scope(io);
  std::atomic<int> running = 0;
  std::atomic<int> stopped = 0;
  scope.start("on a worker", stoppable(io, workers, running, stopped));
  while (running < 1) io.run_for(1ms);
  scope.start("on a thread", stoppable(io, workers, running, stopped));
  while (running < 2) io.run_for(1ms);
  EXPECT_EQ(stopped, 0);
  scope.cancel();
  io.run_for(60s);
  EXPECT_EQ(stopped, 2);
  EXPECT_EQ(scope.running(), 0U);
}

Coro<void> signal_waiter(Signal& signal, std::vector<bool>& got) {
  got.push_back(co_await signal.wait_for(1ms));
  got.push_back(co_await signal.wait());
}
// Once the waiter's first wait is over, and so the second begun.
Coro<void> notifier(asio::io_context& io, Signal& signal, std::vector<bool>& got) {
  while (got.empty()) co_await sleep_for(io, 1ms);
  signal.notify_all();
}

TEST(Signal, WakesItsWaitersAndTimesOut) {
  asio::io_context io;
  Scope scope(io);
  Signal signal(io);
  std::vector<bool> got;
  scope.start("waiter", signal_waiter(signal, got));
  scope.start("notifier", notifier(io, signal, got));
  io.run_for(60s);
  EXPECT_THAT(got, ElementsAre(false, true));
}

// Threads that wait until they are let go.
struct Held {
  asio::io_context io;
  Scope scope{io};
  std::atomic<bool> go = false;
  std::atomic<std::size_t> inside = 0;
  std::size_t done = 0, refused = 0;

  // Its scope is closed before the threads' flag goes.
  ~Held() {
    go = true;
    io.restart();
    io.run();
  }
  void wait_for_inside(std::size_t n) {
    while (inside != n) io.run_for(1ms);
  }
};
Coro<void> hold(Held& h, ThreadOwner owner) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto job = [&h]() -> Result<> {
    ++h.inside;
    while (!h.go) std::this_thread::sleep_for(1ms);
    --h.inside;
    return {};
  };
  const auto held = co_await run_on_thread(h.io, std::move(job), std::move(owner));
  ++(held ? h.done : h.refused);
}

TEST(ThreadPlaces, NobodyHasMoreThanAShareAndTheRestGoesOn) {
  Held h;
  const auto share = ThreadPlaces::kPeers.each;
  for (std::size_t i = 0; i < share + 5; ++i) h.scope.start("a", hold(h, {Lane::peers, "a"}));
  h.wait_for_inside(share);
  const auto& places = ThreadPlaces::of(h.io);
  while (places.waiting(Lane::peers) != 5U) h.io.run_for(1ms);
  h.scope.start("b", hold(h, {Lane::peers, "b"}));
  h.scope.start("c", hold(h, {Lane::trees, "a"}));
  h.wait_for_inside(share + 2);
  h.go = true;
  h.io.run();
  EXPECT_EQ(h.done, share + 7);
  EXPECT_EQ(places.taken(Lane::peers) + places.taken(Lane::trees), 0U);
}

TEST(ThreadPlaces, TheirNumberIsBounded) {
  Held h;
  const auto all = ThreadPlaces::kTrees.all;
  for (std::size_t i = 0; i < all + 3; ++i)
    h.scope.start("one", hold(h, {Lane::trees, std::to_string(i)}));
  h.wait_for_inside(all);
  h.io.poll();
  EXPECT_EQ(ThreadPlaces::of(h.io).waiting(Lane::trees), 3U);
  EXPECT_EQ(h.inside, all);
  h.go = true;
  h.io.run();
  EXPECT_EQ(h.done, all + 3);
}

TEST(ThreadPlaces, WhoWaitsForOneCanLeave) {
  Held h;
  const auto share = ThreadPlaces::kTrees.each;
  for (std::size_t i = 0; i < share; ++i) h.scope.start("a", hold(h, {Lane::trees, "a"}));
  h.wait_for_inside(share);
  Scope impatient(h.io);
  impatient.start("late", hold(h, {Lane::trees, "a"}));
  while (ThreadPlaces::of(h.io).waiting(Lane::trees) == 0) h.io.run_for(1ms);
  impatient.cancel();
  while (impatient.running() > 0) h.io.run_for(1ms);
  EXPECT_EQ(h.refused, 1U);
  EXPECT_EQ(ThreadPlaces::of(h.io).waiting(Lane::trees), 0U);
  EXPECT_EQ(h.inside, share);
}

}  // namespace
}  // namespace coracle
