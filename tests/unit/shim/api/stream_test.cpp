// wait, attach, exec, logs: early heads, hijacking, half-close, clients that leave.
#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class Streams : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ContainerView web;
    web.id = std::string(64, 'a');
    engine().containers().all["web"] = web;
  }
};

TEST_F(Streams, WaitSendsItsHeadOnceItIsArmed) {
  auto client = connect();
  client.send("POST /containers/web/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
  EXPECT_TRUE(engine().containers().waiter_armed);
  engine().happenings.happen();
  client.half_close();
  EXPECT_NE(client.read_to_end().find("{\"StatusCode\":7}"), std::string::npos);
}

TEST_F(Streams, AClientThatLeavesEndsItsWaitLogsAndEvents) {
  engine().streams().log_entries = {{false, Time{1}, "a line\n", {}}};
  for (const char* request :
       {"POST /containers/web/wait HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    auto client = connect();
    client.send(request);
    EXPECT_EQ(client.read(true).status, 200);
    client.close();
    EXPECT_TRUE(eventually([&] { return connections() == 0; })) << request;
    EXPECT_EQ(engine().happenings.streams_open, 0) << request;
  }
}

TEST_F(Streams, AClientThatHalfClosesStillGetsItsAnswer) {
  auto client = connect();
  client.send("POST /containers/web/wait HTTP/1.1\r\nHost: x\r\n\r\n");
  client.half_close();
  EXPECT_EQ(client.read(true).status, 200);
  // Nothing is awaited: it must have no effect.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(engine().happenings.cancelled);
  engine().happenings.happen();
  EXPECT_NE(client.read_to_end().find("StatusCode"), std::string::npos);
}

TEST_F(Streams, AttachUpgradesAndHandsTheLeftoverOver) {
  auto client = connect();
  client.send(
      "POST /v1.42/containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
      "Content-Type: text/plain\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ");
  const auto head = client.read(true);
  EXPECT_EQ(head.status, 101);
  EXPECT_EQ(head.headers.at("content-type"), "application/vnd.docker.multiplexed-stream");
  EXPECT_EQ(head.headers.at("upgrade"), "tcp");
  EXPECT_FALSE(head.headers.contains("content-length"));
  EXPECT_FALSE(head.headers.contains("transfer-encoding"));
  client.send("late");
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "echo:early late");
}

TEST_F(Streams, WithoutUpgradeAttachAnswers200AndStreams) {
  auto client = connect();
  client.send("POST /containers/web/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto head = client.read(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_FALSE(head.headers.contains("transfer-encoding"));
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "echo:");
}

TEST_F(Streams, AnErrorBeforeTheUpgradeIsPlainHttp) {
  const auto answer = ask("POST", "/containers/nobody/attach?stream=1", "",
                          "Connection: Upgrade\r\nUpgrade: tcp\r\n");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.message(), "No such container: nobody");
}

TEST_F(Streams, ExecStartReadsItsBodyAndKeepsWhatFollows) {
  auto client = connect();
  const std::string body = R"({"Detach":false,"Tty":false})";
  client.send(
      "POST /v1.41/exec/exec-ls/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body + "stdin");
  const auto head = client.read(true);
  EXPECT_EQ(head.status, 101);
  EXPECT_EQ(head.headers.at("content-type"), "application/vnd.docker.raw-stream");
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "echo:stdin");
}

// exec-ls was made without a terminal: what counts is how it is started.
TEST_F(Streams, AnExecIsFramedAsItsStartAsks) {
  for (const auto& [body, type, tty] :
       std::initializer_list<std::tuple<std::string, std::string, bool>>{
           {"{}", "application/vnd.docker.multiplexed-stream", false},
           {R"({"Tty":false,"ConsoleSize":[3,4]})", "application/vnd.docker.multiplexed-stream",
            false},
           {R"({"tty":true,"ConsoleSize":[3,4]})", "application/vnd.docker.raw-stream", true}}) {
    auto client = connect();
    client.send(
        "POST /exec/exec-ls/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_EQ(client.read(true).headers.at("content-type"), type) << body;
    client.half_close();
    EXPECT_EQ(client.read_to_end(), "echo:");
    EXPECT_EQ(engine().execs().how.tty, tty) << body;
    // A size is one of a terminal.
    EXPECT_EQ(engine().execs().how.console_size.size(), tty ? 2U : 0U) << body;
  }
}

TEST_F(Streams, ASizeIsToldInDockersWords) {
  for (const char* target : {"/containers/web/resize", "/exec/exec-ls/resize"}) {
    for (const auto& [query, said] : std::initializer_list<std::pair<std::string, std::string>>{
             {"", R"(height "": invalid syntax)"},
             {"w=100", R"(height "": invalid syntax)"},
             {"h=&w=100", R"(height "": invalid syntax)"},
             {"h=100", R"(width "": invalid syntax)"},
             {"h=not-a-number&w=100", R"(height "not-a-number": invalid syntax)"},
             {"h=1.5&w=100", R"(height "1.5": invalid syntax)"},
             {"h=0x10&w=100", R"(height "0x10": invalid syntax)"},
             {"h=%2B10&w=100", R"(height "+10": invalid syntax)"},
             {"h=%2010&w=100", R"(height " 10": invalid syntax)"},
             {"h=-&w=100", R"(height "-": invalid syntax)"},
             {"h=--1&w=100", R"(height "--1": invalid syntax)"},
             {"h=100&w=-100", R"(width "-100": value out of range)"},
             {"h=4294967296&w=1", R"(height "4294967296": value out of range)"},
             {"h=1&w=99999999999999999999999",
              R"(width "99999999999999999999999": value out of range)"}}) {
      const auto answer = ask("POST", std::string(target) + "?" + query);
      EXPECT_EQ(answer.status, 400) << query;
      EXPECT_EQ(answer.message(), "invalid resize " + said) << query;
    }
  }
  EXPECT_EQ(ask("POST", "/containers/web/resize?h=4294967295&w=0").status, 200);
  EXPECT_EQ(engine().streams().last, "resize web 65535 0");
}

TEST_F(Streams, LogsAreFramedAndPrefixed) {
  engine().streams().log_entries = {{false, Time{1'000'000'005}, "out\n", {"a=1", "b=2"}},
                                    {true, Time{2'000'000'000}, "err\n", {}}};
  const auto plain = ask("GET", "/v1.41/containers/web/logs?stdout=1&stderr=1&tail=5&since=3.5");
  EXPECT_EQ(plain.body, std::string("\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n", 24));
  EXPECT_EQ(plain.headers.at("content-type"), "application/vnd.docker.raw-stream");
  EXPECT_EQ(engine().streams().last_logs.tail, 5u);
  EXPECT_EQ(engine().streams().last_logs.since.ns, 3'500'000'000);
  EXPECT_TRUE(plain.whole);
  engine().streams().log_tty = true;
  const auto tty =
      ask("GET", "/containers/web/logs?stdout=1&timestamps=1&details=1&tail=garbage").body;
  EXPECT_EQ(tty,
            "1970-01-01T00:00:01.000000005Z a=1,b=2 out\n"
            "1970-01-01T00:00:02.000000000Z  err\n");
  EXPECT_EQ(engine().streams().last_logs.tail, std::nullopt);
}

TEST_F(Streams, TheTimesOfLogsReachFromTheBeginningToTheEnd) {
  const auto asked = [&](const std::string& query) {
    EXPECT_EQ(ask("GET", "/containers/web/logs?stdout=1&" + query).status, 200) << query;
    return engine().streams().last_logs;
  };
  EXPECT_EQ(asked("since=&until=").since.ns, 0);
  EXPECT_EQ(asked("since=0&until=0").since.ns, 1);
  EXPECT_EQ(asked("since=0&until=0").until.ns, 0);
  EXPECT_GT(asked("until=99999999999999").until.ns, 9'000'000'000'000'000'000);
  EXPECT_LT(asked("since=-9223372036854775807").since.ns, -9'000'000'000'000'000'000);
  EXPECT_EQ(asked("tail=%2B5").tail, 5U);
  EXPECT_EQ(asked("tail=-5").tail, std::nullopt);
  EXPECT_EQ(asked("tail=99999999999999999999").tail, std::nullopt);
}

TEST_F(Streams, AFollowerThatDoesNotReadHoldsBackNobody) {
  engine().streams().log_entries =
      std::vector<LogEntry>(2000, LogEntry{false, Time{1}, std::string(1000, 'x') + "\n", {}});
  auto lazy = connect();
  lazy.send("GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(lazy.read(true).status, 200);
  EXPECT_EQ(ask("GET", "/_ping").body, "OK");
  // The fixture shuts the server down while this client still does not read.
}

TEST_F(Streams, ShutdownEndsStreams) {
  auto client = connect();
  client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
}

}  // namespace
}  // namespace coracle::test
