#include "engine/base/epoll_loop.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace coracle {
namespace {

using std::chrono::milliseconds;

class EpollLoop : public ::testing::Test {
 protected:
  // A descriptor that is readable until take() has read it.
  struct Ready {
    Pipe pipe = *make_pipe();
    Loop::Watch watch;
    Ready() { EXPECT_TRUE(write_all(pipe.write, "x")); }
    void take() {
      char byte = 0;
      EXPECT_TRUE(read_some(pipe.read, {&byte, 1}));
    }
  };
  void watch(Ready& what, Loop::OnEvents handler) {
    what.watch = *loop_->watch(what.pipe.read, EPOLLIN, std::move(handler));
  }
  void run_for(milliseconds time) {
    const auto end = loop_->after(time, [this] { loop_->stop(); });
    EXPECT_TRUE(loop_->run());
  }

  std::unique_ptr<Loop> loop_ = *Loop::make();
  std::vector<std::string> seen_;
};

TEST_F(EpollLoop, AHandlerThatDropsItsWatchKeepsWhatItHasCaptured) {
  Ready ready;
  auto owned = std::make_shared<std::string>("captured");
  const std::weak_ptr<std::string> alive = owned;
  watch(ready, [&, owned = std::move(owned)](std::uint32_t) {
    ready.watch.reset();
    EXPECT_FALSE(ready.watch);
    seen_.push_back(*owned);
    // Still there in what runs in the same turn.
    loop_->defer([&] { EXPECT_FALSE(alive.expired()); });
  });
  run_for(milliseconds(20));
  EXPECT_EQ(seen_, std::vector<std::string>{"captured"});
  EXPECT_TRUE(alive.expired());
}

TEST_F(EpollLoop, AHandlerMayDestroyTheObjectThatItBelongsTo) {
  struct Connection {
    Ready ready;
    Loop::Timer limit;
    std::string name = "connection";
  };
  auto connection = std::make_unique<Connection>();
  connection->limit = loop_->after(milliseconds(1), [&] { seen_.emplace_back("limit"); });
  watch(connection->ready, [&](std::uint32_t) {
    seen_.push_back(connection->name);
    connection.reset();
  });
  run_for(milliseconds(20));
  EXPECT_EQ(seen_, std::vector<std::string>{"connection"});
}

TEST_F(EpollLoop, AWatchThatAnotherHandlerDroppedHearsNothingMore) {
  Ready a, b;
  const auto drop_both = [&](const char* name) {
    return [&, name](std::uint32_t) {
      seen_.emplace_back(name);
      a.watch.reset();
      b.watch.reset();
    };
  };
  watch(a, drop_both("one"));
  watch(b, drop_both("one"));
  run_for(milliseconds(20));
  EXPECT_EQ(seen_, std::vector<std::string>{"one"});
}

TEST_F(EpollLoop, ADroppedWatchIsNotTakenForOneOfTheSameDescriptorNumber) {
  auto a = std::make_unique<Ready>();
  Ready b;
  std::unique_ptr<Ready> successor;
  int calls = 0;
  const auto replace = [&](std::uint32_t) {
    if (++calls > 1) return;
    b.watch.reset();
    a.reset();
    // Gets the descriptor that was closed; nothing is to be read from it.
    successor = std::make_unique<Ready>();
    successor->take();
    watch(*successor, [&](std::uint32_t) { seen_.emplace_back("successor"); });
  };
  watch(*a, replace);
  watch(b, replace);
  run_for(milliseconds(20));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(EpollLoop, APausedWatchIsNotToldOfAHangUpUntilItIsChanged) {
  Ready ready;
  watch(ready, [&](std::uint32_t events) {
    seen_.emplace_back((events & EPOLLHUP) != 0 ? "hang-up" : "input");
    ready.watch.reset();
  });
  ready.watch.change(0);
  ready.pipe.write.reset();
  ready.watch.pause();
  ready.watch.pause();
  auto later = loop_->after(milliseconds(10), [&] {
    EXPECT_TRUE(seen_.empty());
    ready.watch.change(0);
  });
  run_for(milliseconds(30));
  EXPECT_EQ(seen_, std::vector<std::string>{"hang-up"});
}

TEST_F(EpollLoop, ChangeWithOtherEventsSilencesAndWakes) {
  Ready ready;
  watch(ready, [&](std::uint32_t) {
    seen_.emplace_back("input");
    ready.watch.change(0);
  });
  const auto again = loop_->after(milliseconds(10), [&] { ready.watch.change(EPOLLIN); });
  run_for(milliseconds(30));
  EXPECT_EQ(seen_, (std::vector<std::string>{"input", "input"}));
}

TEST_F(EpollLoop, TimersRunInTheOrderOfTheirTime) {
  const auto later = loop_->after(milliseconds(5), [&] { seen_.emplace_back("later"); });
  const auto sooner = loop_->after(milliseconds(1), [&] { seen_.emplace_back("sooner"); });
  auto dropped = loop_->after(milliseconds(3), [&] { seen_.emplace_back("dropped"); });
  EXPECT_TRUE(dropped.pending());
  dropped.reset();
  EXPECT_FALSE(dropped.pending());
  run_for(milliseconds(20));
  EXPECT_EQ(seen_, (std::vector<std::string>{"sooner", "later"}));
  EXPECT_FALSE(later.pending());
}

TEST_F(EpollLoop, ATimerMayDropItselfAndStartItselfAgainInItsAction) {
  Loop::Timer timer;
  Loop::Action act = [&, owned = std::make_shared<std::string>("act")] {
    EXPECT_FALSE(timer.pending());
    timer.reset();
    seen_.push_back(*owned);
    if (seen_.size() < 3) timer = loop_->after(milliseconds(0), act);
  };
  timer = loop_->after(milliseconds(0), act);
  run_for(milliseconds(20));
  EXPECT_EQ(seen_.size(), 3U);
}

TEST_F(EpollLoop, ATimerWhoseActionOwnsOthersTakesThemWithIt) {
  const auto owner = [&](milliseconds delay) {
    auto owned = std::make_shared<Loop::Timer>(
        loop_->after(delay + milliseconds(1), [&] { seen_.emplace_back("owned"); }));
    return loop_->after(delay, [owned] {});
  };
  auto dropped = owner(milliseconds(1));
  dropped.reset();
  run_for(milliseconds(10));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(EpollLoop, WhatIsDeferredRunsBeforeTheNextHandler) {
  Ready a, b;
  const auto handler = [&](Ready& ready) {
    return [&](std::uint32_t) {
      ready.watch.reset();
      loop_->defer([&] {
        seen_.emplace_back("deferred");
        loop_->defer([&] { seen_.emplace_back("by that"); });
      });
      seen_.emplace_back("handler");
    };
  };
  watch(a, handler(a));
  watch(b, handler(b));
  run_for(milliseconds(10));
  EXPECT_EQ(seen_, (std::vector<std::string>{"handler", "deferred", "by that", "handler",
                                             "deferred", "by that"}));
}

TEST_F(EpollLoop, ATimerWithoutADelayGivesWayToTheEventsAtHand) {
  Ready a, b;
  Loop::Timer turn;
  const auto handler = [&](Ready& ready) {
    return [&](std::uint32_t) {
      ready.watch.reset();
      turn = loop_->after(milliseconds(0), [&] { seen_.emplace_back("turn"); });
      seen_.emplace_back("handler");
    };
  };
  watch(a, handler(a));
  watch(b, handler(b));
  run_for(milliseconds(10));
  EXPECT_EQ(seen_, (std::vector<std::string>{"handler", "handler", "turn"}));
}

TEST_F(EpollLoop, StopRunsNothingButWhatWasDeferred) {
  Ready a, b;
  const auto handler = [&](std::uint32_t) {
    loop_->stop();
    loop_->defer([&] { seen_.emplace_back("deferred"); });
  };
  watch(a, handler);
  watch(b, handler);
  const auto timer = loop_->after(milliseconds(0), [&] { seen_.emplace_back("timer"); });
  EXPECT_TRUE(loop_->run());
  EXPECT_EQ(seen_, std::vector<std::string>{"deferred"});
}

TEST_F(EpollLoop, TakesWorkFromOtherThreadsInItsOrder) {
  std::thread other([&] {
    loop_->post([&] { seen_.emplace_back("first"); });
    loop_->post([&] { seen_.emplace_back("second"); });
    loop_->post([&] { loop_->stop(); });
  });
  EXPECT_TRUE(loop_->run());
  other.join();
  EXPECT_EQ(seen_, (std::vector<std::string>{"first", "second"}));
}

TEST_F(EpollLoop, SaysThatItIsQuietOnceAfterEachBurst) {
  int quiet = 0;
  Ready ready;
  loop_->on_quiet([&] {
    if (++quiet == 2) return loop_->stop();
    EXPECT_TRUE(write_all(ready.pipe.write, "x"));
  });
  int inputs = 0;
  watch(ready, [&](std::uint32_t) {
    ready.take();
    ++inputs;
  });
  const auto start = Loop::Clock::now();
  EXPECT_TRUE(loop_->run());
  EXPECT_EQ(inputs, 2);
  EXPECT_GE(Loop::Clock::now() - start, milliseconds(2 * 500));
}

TEST_F(EpollLoop, EndsWithFunctionsLeftThatOwnItsWatchesAndTimers) {
  const auto holder = [&] {
    auto held = std::make_shared<std::pair<Ready, Loop::Timer>>();
    watch(held->first, [](std::uint32_t) {});
    held->second = loop_->after(milliseconds(1), [] {});
    return [held] {};
  };
  loop_->defer(holder());
  loop_->post(holder());
  loop_->on_quiet(holder());
  // Whose timer is owned by the action itself.
  auto own = std::make_shared<Loop::Timer>();
  *own = loop_->after(milliseconds(1), [own, hold = holder()] {});
  own.reset();
  loop_.reset();
}

}  // namespace
}  // namespace coracle
