// The engine's end: requests over a connection that breaks, and errors as they were meant.
#include <unistd.h>

#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "netstack/client.hpp"
#include "tests/integration/netstack_harness.hpp"

namespace coracle::netstack::test {
namespace {

template <class T>
Result<T> run(asio::io_context& io, Task<T> task) {
  std::optional<Result<T>> result;
  asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& e, Result<T> r) {
    if (e) std::rethrow_exception(e);
    result = std::move(r);
  });
  io.restart();
  while (!result && io.run_one_for(std::chrono::seconds(60)) != 0) {
  }
  if (!result) return fail(Errc::internal, "no result");
  return *std::move(result);
}

TEST(Client, AttachesAndFindsASuccessor) {
  auto made = Room::make();
  if (!made) GTEST_SKIP() << made.error().message;
  auto& room = **made;
  ASSERT_TRUE(room.start_netstack());
  asio::io_context io;
  Client client(io, room.socket());
  const auto bridge = run(io, client.bridge());
  ASSERT_TRUE(bridge) << bridge.error().message;
  EXPECT_EQ(bridge->mtu, 65520U);
  AttachRequest request;
  request.container_id = id_of("aa");
  request.ports.push_back({"tcp", 80, "127.0.0.1", 0, 0});
  auto first = run(io, client.attach(request));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->netns);
  AttachRequest other;
  other.container_id = id_of("bb");
  other.ports.push_back({"tcp", 80, "127.0.0.1", first->endpoint.ports[0].host_port, 0});
  const auto taken = run(io, client.attach(other));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::conflict);
  EXPECT_NE(taken.error().message.find("port is already allocated"), std::string::npos);

  room.kill_netstack();
  std::promise<void> done;
  std::thread restart([&] {
    ::usleep(200'000);  // chance: the request is made while nobody listens
    EXPECT_TRUE(room.start_netstack());
    // It dies with the thread that started it: PR_SET_PDEATHSIG, see prctl(2).
    done.get_future().wait();
  });
  const auto again = run(io, client.attach(request));
  EXPECT_TRUE(again) << again.error().message;
  if (again) {
    EXPECT_EQ(again->endpoint.endpoint_id, first->endpoint.endpoint_id);
  }
  EXPECT_EQ(run(io, client.list())->size(), 1U);
  EXPECT_TRUE(run(io, client.detach(id_of("aa"))));
  EXPECT_EQ(run(io, client.list())->size(), 0U);
  done.set_value();
  restart.join();
}

TEST(Client, SaysWhenNobodyAnswers) {
  asio::io_context io;
  Client client(io, "/tmp/no-such-netstack.sock");
  const auto start = std::chrono::steady_clock::now();
  const auto listed = run(io, client.list());
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, Errc::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(60));  // it gives up after five
}

}  // namespace
}  // namespace coracle::netstack::test
