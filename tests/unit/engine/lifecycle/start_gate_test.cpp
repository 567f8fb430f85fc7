#include "engine/lifecycle/start_gate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

struct Seen {
  std::vector<int> order;
  std::size_t most = 0;
};

Coro<void> starter(asio::io_context& io, StartGate& gate, Seen& seen, int n) {
  const auto pass = co_await gate.enter();
  seen.order.push_back(n);
  seen.most = std::max(seen.most, gate.inside());
  co_await sleep_for(io, 1ms);
}

TEST(StartGate, LetsInSoManyAtATimeInOrder) {
  asio::io_context io;
  Scope scope(io);
  StartGate gate(io, 2, 1h);
  Seen seen;
  for (int i = 0; i < 7; ++i) scope.start("starter", starter(io, gate, seen, i));
  io.run();
  EXPECT_THAT(seen.order, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(seen.most, 2U);
  EXPECT_EQ(gate.inside(), 0U);
}

Coro<void> hanging(asio::io_context& io, StartGate& gate) {
  const auto pass = co_await gate.enter();
  co_await sleep_for(io, 1h);
}

TEST(StartGate, LetsInWhoHasWaitedBesideOneThatHangs) {
  asio::io_context io;
  Scope scope(io);
  Scope hung(io);
  StartGate gate(io, 1, 10ms);
  Seen seen;
  hung.start("hanging", hanging(io, gate));
  for (int i = 0; i < 2; ++i) scope.start("starter", starter(io, gate, seen, i));
  while (seen.order.size() < 2) io.run_one();
  EXPECT_THAT(seen.order, ElementsAre(0, 1));
  hung.cancel();
  io.run();
  EXPECT_EQ(gate.inside(), 0U);
}

TEST(StartGate, GivesThePassOfACancelledWaiterOn) {
  asio::io_context io;
  Scope first(io);
  Scope given_up(io);
  Scope last(io);
  StartGate gate(io, 1, 1h);
  Seen seen;
  first.start("starter", starter(io, gate, seen, 0));
  given_up.start("starter", starter(io, gate, seen, 1));
  last.start("starter", starter(io, gate, seen, 2));
  io.poll();
  given_up.cancel();
  io.run();
  EXPECT_THAT(seen.order, ElementsAre(0, 1, 2));
  EXPECT_EQ(gate.inside(), 0U);
}

}  // namespace
}  // namespace coracle
