#include "engine/events.hpp"

#include <limits>

#include <boost/asio/detached.hpp>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"

namespace coracle {
namespace {

Event event(const std::string& action, std::int64_t ns) {
  Event e;
  e.type = "container";
  e.action = action;
  e.actor_id = "abcdef";
  e.attributes = {{"name", "web"}, {"image", "alpine:3"}, {"k", "v"}};
  e.time = Time{ns};
  return e;
}

TEST(Events, FiltersSelectAsDockers) {
  const auto e = event("exec_create: sh -c true", 1);
  EXPECT_TRUE(event_matches(e, {{"event", {"exec_create"}}}));
  EXPECT_FALSE(event_matches(e, {{"event", {"exec"}}}));
  EXPECT_TRUE(event_matches(e, {{"type", {"container"}}, {"container", {"web"}}}));
  EXPECT_TRUE(event_matches(e, {{"container", {"abc"}}}));
  EXPECT_FALSE(event_matches(e, {{"container", {"other"}}}));
  EXPECT_TRUE(event_matches(e, {{"image", {"alpine"}}}));
  EXPECT_TRUE(event_matches(e, {{"label", {"k=v", "k"}}}));
  EXPECT_FALSE(event_matches(e, {{"label", {"k=w"}}}));
  EXPECT_FALSE(event_matches(e, {{"type", {"image"}}}));
  EXPECT_EQ(check_filter_keys({{"odd", {}}}, kEventFilterKeys).error().message,
            "invalid filter 'odd'");
}

class EventFile : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/coracle-events-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    root_ = path;
  }
  void TearDown() override { (void)remove_tree(root_); }

  // What a listener gets until the stream ends.
  std::vector<std::string> replay(EventLog& log, Time since, Time until) {
    std::vector<std::string> actions;
    auto stream = log.listen(since, until, {});
    EXPECT_TRUE(stream);
    asio::co_spawn(io_, drain(**stream, actions), asio::detached);
    io_.restart();
    io_.run();
    return actions;
  }
  static Coro<void> drain(EventStream& stream, std::vector<std::string>& into) {
    for (;;) {
      auto e = co_await stream.next();
      if (!e || !*e) co_return;
      into.push_back((*e)->action);
    }
  }
  asio::io_context io_;
  std::string root_;
};

TEST_F(EventFile, SinceWorksOverARestart) {
  EventLog::open(io_, root_)->add(event("create", 10));
  {
    auto log = EventLog::open(io_, root_);
    log->add(event("start", 20));
    log->add(event("die", 30));
  }
  auto log = EventLog::open(io_, root_);
  EXPECT_EQ(replay(*log, Time{20}, Time{30}), (std::vector<std::string>{"start", "die"}));
  EXPECT_EQ(replay(*log, Time{1}, Time{15}), (std::vector<std::string>{"create"}));
  EXPECT_EQ(log->listeners(), 0U);
}

TEST_F(EventFile, AnEndBeforeAllTimeIsOne) {
  auto log = EventLog::open(io_, root_);
  log->add(event("create", 10));
  for (const Time until : {Time{1}, Time{std::numeric_limits<std::int64_t>::min()}, Time{-1}})
    for (const Time since : {Time{}, Time{1}})
      EXPECT_TRUE(replay(*log, since, until).empty()) << until.ns << " " << since.ns;
}

TEST_F(EventFile, ManyEventsTakeBoundedRoomAndADamagedLineCostsItself) {
  {
    auto log = EventLog::open(io_, root_);
    for (std::size_t i = 0; i < kEventsKept * 2 + 10; ++i)
      log->add(event("e" + std::to_string(i), static_cast<std::int64_t>(i + 1)));
  }
  ASSERT_TRUE(write_file_atomic(root_ + "/events.jsonl",
                                "not json\n" + *read_file(root_ + "/events.jsonl")));
  auto log = EventLog::open(io_, root_);
  const auto all = replay(*log, Time{1}, Time{1'000'000});
  EXPECT_EQ(all.size(), kEventsKept);
  EXPECT_EQ(all.back(), "e" + std::to_string(kEventsKept * 2 + 9));
}

std::size_t bytes_in(const std::string& root) {
  std::size_t sum = 0;
  for (const char* name : {"/events.jsonl", "/events.jsonl.1"})
    if (const auto text = read_file(root + name)) sum += text->size();
  return sum;
}

TEST_F(EventFile, ExecsDoNotPushOutWhatElseHappened) {
  auto log = EventLog::open(io_, root_);
  std::int64_t at = 0;
  log->add(event("create", ++at));
  for (std::size_t i = 0; i < kEventsKept * 2; ++i) log->add(event("exec_create: x", ++at));
  log->add(event("start", ++at));
  for (std::size_t i = 0; i < kEventsKept * 2; ++i)
    log->add(event("exec_die" + std::to_string(i), ++at));
  const auto all = replay(*log, Time{1}, Time{at});
  EXPECT_EQ(all.size(), kExecEventsKept + 2);
  EXPECT_EQ(all[0], "create");
  EXPECT_EQ(all[1], "start");
  EXPECT_EQ(all.back(), "exec_die" + std::to_string(kEventsKept * 2 - 1));
}

TEST_F(EventFile, TheTwoKindsComeInTheirOrder) {
  auto log = EventLog::open(io_, root_);
  const std::vector<std::string> actions{"create", "exec_create: a", "exec_start: a",
                                         "start",  "exec_die",       "die"};
  for (std::size_t i = 0; i < actions.size(); ++i)
    log->add(event(actions[i], static_cast<std::int64_t>(i + 1)));
  EXPECT_EQ(replay(*log, Time{1}, Time{100}), actions);
}

TEST_F(EventFile, CommandLinesAreNotWritten) {
  EventLog::open(io_, root_)->add(event("exec_create: login --password hunter2", 1));
  {
    auto log = EventLog::open(io_, root_);
    log->add(event("start", 2));
    log->add(event("exec_start: login --password hunter2", 3));
    EXPECT_EQ(replay(*log, Time{1}, Time{100}).size(), 2U);
  }
  EXPECT_EQ(read_file(root_ + "/events.jsonl")->find("hunter2"), std::string::npos);
  EXPECT_EQ(replay(*EventLog::open(io_, root_), Time{1}, Time{100}),
            std::vector<std::string>{"start"});
}

TEST_F(EventFile, CommandLinesThatAnOlderVersionWroteAreTakenAway) {
  std::string old;
  for (const auto& e :
       {event("create", 1), event("exec_create: login hunter2", 2), event("die", 3)})
    old += json::to_text(e) + "\n";
  for (const char* name : {"/events.jsonl.1", "/events.jsonl"})
    ASSERT_TRUE(write_file_atomic(root_ + name, old));
  EXPECT_EQ(replay(*EventLog::open(io_, root_), Time{1}, Time{100}),
            (std::vector<std::string>{"create", "die", "create", "die"}));
  EXPECT_EQ(read_file(root_ + "/events.jsonl")->find("hunter2"), std::string::npos);
  EXPECT_FALSE(read_file(root_ + "/events.jsonl.1"));
  EXPECT_EQ(replay(*EventLog::open(io_, root_), Time{1}, Time{100}).size(), 4U);
}

// An image's labels are attributes of every event of its containers.
TEST_F(EventFile, LongLabelsTakeBoundedRoomAndTheNewestIsAlwaysThere) {
  auto log = EventLog::open(io_, root_);
  for (int i = 0; i < 200; ++i) {
    auto e = event("start", i + 1);
    e.attributes["label"] = std::string(200'000, 'x');
    log->add(std::move(e));
  }
  EXPECT_LE(replay(*log, Time{1}, Time{1000}).size(), kEventBytesKept / 200'000);
  EXPECT_LE(bytes_in(root_), 2 * (kEventBytesKept + kLongestEventWritten));
  const auto before = bytes_in(root_);
  auto e = event("huge", 1001);
  e.attributes["label"] = std::string(kEventBytesKept * 2, 'x');
  log->add(std::move(e));
  EXPECT_EQ(replay(*log, Time{1}, Time{2000}), std::vector<std::string>{"huge"});
  EXPECT_EQ(bytes_in(root_), before);
}

}  // namespace
}  // namespace coracle
