#include "engine/container/layer_use.hpp"

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using namespace std::chrono_literals;

struct Uses {
  asio::io_context io;
  LayerUses uses{io};
  Scope scope{io};
  std::optional<Result<>> work, start;
  std::optional<bool> ended;
};

Task<> sleeps(asio::io_context& io, std::chrono::milliseconds time) {
  asio::steady_timer timer(io, time);
  const auto [ec] = co_await timer.async_wait(kToken);
  if (ec) co_return fail(Errc::unavailable, "given up");
  co_return Result<>{};
}
Coro<void> use(Uses& u, LayerUsePtr mine, std::chrono::milliseconds time) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto work = sleeps(u.io, time);
  u.work = co_await run_use(u.io, u.uses, std::move(mine), std::move(work));
}
Coro<void> remove(Uses& u) { u.ended = co_await u.uses.end_all("it is being removed"); }
Coro<void> start(Uses& u) { u.start = co_await u.uses.make_way("it was started"); }

TEST(LayerUses, ARemovalEndsThemAndTellsWhy) {
  Uses u;
  auto one = u.uses.begin();
  one->pins = false;
  u.scope.start("use", use(u, std::move(one), 1h));
  u.scope.start("remove", remove(u));
  u.io.run();
  EXPECT_EQ(u.ended, true);
  ASSERT_TRUE(u.work && !*u.work);
  EXPECT_EQ(u.work->error().code, Errc::conflict);
  EXPECT_EQ(u.work->error().message, "it is being removed");
}

TEST(LayerUses, ARemovalDoesNotWaitForOneThatHangs) {
  Uses u;
  const auto hangs = u.uses.begin();
  u.scope.start("remove", remove(u));
  // Not until there is no work: nobody tells the signal that it was waited for in vain.
  while (!u.ended) u.io.run_one();
  EXPECT_EQ(u.ended, false);
}

TEST(LayerUses, OneEndsWithItsOwnWaiter) {
  Uses u;
  Scope client(u.io);
  client.start("use", use(u, u.uses.begin(), 1h));
  u.io.poll();
  client.cancel();
  u.io.run();
  ASSERT_TRUE(u.work && !*u.work);
  EXPECT_EQ(u.work->error().code, Errc::unavailable);
  u.io.restart();
  u.scope.start("remove", remove(u));
  u.io.run();
  EXPECT_EQ(u.ended, true);
}

TEST(LayerUses, AStartPassesOneThatDoesNotPinTheLayer) {
  Uses u;
  const auto reads = u.uses.begin();
  reads->pins = false;
  u.scope.start("start", start(u));
  u.io.run();
  ASSERT_TRUE(u.start);
  EXPECT_TRUE(*u.start);
}

TEST(LayerUses, AStartWaitsForACopyThatMoves) {
  Uses u;
  auto copy = u.uses.begin();
  auto pair = make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair && write_all(pair->b, "more"));
  copy->body = std::move(pair->a);
  u.scope.start("use", use(u, std::move(copy), LayerUses::kStallLimit + 500ms));
  u.scope.start("start", start(u));
  u.io.run();
  ASSERT_TRUE(u.work && u.start);
  EXPECT_TRUE(*u.work);
  EXPECT_TRUE(*u.start);
}

TEST(LayerUses, AStartEndsACopyThatWaitsForItsClient) {
  Uses u;
  auto copy = u.uses.begin();
  auto pair = make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  copy->body = std::move(pair->a);
  u.scope.start("use", use(u, std::move(copy), 1h));
  u.scope.start("start", start(u));
  u.io.run();
  ASSERT_TRUE(u.work && u.start);
  EXPECT_TRUE(*u.start);
  EXPECT_EQ(u.work->error().message, "it was started");
}

}  // namespace
}  // namespace coracle
