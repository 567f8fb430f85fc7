#include "engine/base/async.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Coro<void> turn_taker(asio::io_context& io, Turns& turns, std::vector<int>& order, int n) {
  const auto turn = co_await turns.take();
  order.push_back(n);
  co_await sleep_for(io, 1ms);
  order.push_back(n);
}

TEST(Turns, AreTakenOneAtATimeInOrder) {
  asio::io_context io;
  Scope scope(io);
  Turns turns(io);
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) scope.start("taker", turn_taker(io, turns, order, i));
  io.run();
  EXPECT_THAT(order, ElementsAre(0, 0, 1, 1, 2, 2));
  EXPECT_FALSE(turns.busy());
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
  io.run_for(2s);
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
  io.run_for(5s);
  EXPECT_EQ(got, 42);
}

Coro<void> signal_waiter(Signal& signal, std::vector<bool>& got) {
  got.push_back(co_await signal.wait_for(1ms));
  got.push_back(co_await signal.wait());
}
Coro<void> notifier(asio::io_context& io, Signal& signal) {
  co_await sleep_for(io, 50ms);
  signal.notify_all();
}

TEST(Signal, WakesItsWaitersAndTimesOut) {
  asio::io_context io;
  Scope scope(io);
  Signal signal(io);
  std::vector<bool> got;
  scope.start("waiter", signal_waiter(signal, got));
  scope.start("notifier", notifier(io, signal));
  io.run_for(5s);
  EXPECT_THAT(got, ElementsAre(false, true));
}

}  // namespace
}  // namespace coracle
