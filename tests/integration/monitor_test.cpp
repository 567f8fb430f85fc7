// coracle-monitor through its protocol, with real containers.
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "tests/integration/monitor_harness.hpp"

namespace coracle::monitor {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Attach both_ways() {
  Attach a;
  a.in = a.out = a.err = true;
  return a;
}

class MonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = Harness::lacking(); !reason.empty()) GTEST_SKIP() << reason;
    h_ = std::make_unique<Harness>();
  }
  Harness& h() { return *h_; }
  void script(const std::string& text) { h().spec.process.args = {"/bin/sh", "-c", text}; }
  op::Signal signal(int number, bool all = false, const std::string& exec_id = "") {
    return {exec_id, number, all};
  }
  // A created container with one client attached from before its start.
  void create_attached(Stream& stream, Attach attach) {
    h().create_request.attach = {std::move(attach)};
    std::vector<UniqueFd> fds;
    fds.push_back(stream.theirs());
    h().create(std::move(fds));
  }

  std::unique_ptr<Harness> h_;
};

TEST_F(MonitorTest, RunsAContainerToItsEnd) {
  script("echo out; echo err >&2; exit 7");
  EXPECT_EQ(h().ask("hello").status, "");
  Stream stream;
  create_attached(stream, both_ways());
  const auto identity = json::from_text<Identity>(*read_file(h().dir() + "/run/monitor.json"));
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->monitor, *identify(h().monitor_pid()));
  EXPECT_TRUE(Pidfd::open(identity->init).has_value());
  const auto hello = h().ask("hello");
  EXPECT_EQ(hello.status, "created");
  EXPECT_EQ(hello.pid, identity->init.pid);
  h().start();

  const auto exit = h().event("exit", false);
  EXPECT_EQ(exit.code, 7);
  EXPECT_EQ(exit.exec_id, "");
  const auto record = h().exit_record();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->code, 7);
  EXPECT_EQ(record->finished_at, exit.time);
  EXPECT_FALSE(record->oom_killed);
  EXPECT_THAT(h().log(), HasSubstr(R"({"log":"out\n","stream":"stdout","time":")"));
  EXPECT_THAT(h().log(), HasSubstr(R"({"log":"err\n","stream":"stderr","time":")"));
  // Until the engine has said that it knows, the client's stream stays open.
  EXPECT_FALSE(h().event_within("attach_closed", milliseconds(100)));
  h().disconnect();  // counts as much as an acknowledgement
  const auto framed = stream.read();
  EXPECT_EQ(Stream::payload(framed, 1), "out\n");
  EXPECT_EQ(Stream::payload(framed, 2), "err\n");
  stream.close();
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
  EXPECT_FALSE(exists(h().socket_path()));
}

TEST_F(MonitorTest, WaitsForTheAcknowledgementAtMostTwoSeconds) {
  Stream stream;
  create_attached(stream, both_ways());
  const auto begin = std::chrono::steady_clock::now();
  h().start();
  h().event("exit", false);
  stream.read();
  stream.close();
  const auto waited = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(waited, milliseconds(kAckWait_ms));
  EXPECT_LT(waited,
            milliseconds(10 * kAckWait_ms));  // on a loaded machine the rest takes its time as well
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
}

TEST_F(MonitorTest, TellsHowASignalEndedIt) {
  script("exec sleep 100");
  h().create();
  h().start();
  EXPECT_EQ(h().ask("hello").status, "running");
  EXPECT_FALSE(h().ask(signal(SIGKILL)).error.has_value());
  EXPECT_EQ(h().event("exit").code, 128 + SIGKILL);
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
}

// Processes that fork without end, and one that sleeps.
std::string busy_tree() {
  return "i=0; while [ $i -lt 4 ]; do (while :; do /bin/true; done) & i=$((i+1)); done; "
         "sleep 1000 & echo up; while :; do (echo tick); sleep 0.01; done";
}

TEST_F(MonitorTest, PausesEveryProcessWhileTheyFork) {
  script(busy_tree());
  Stream stream;
  auto attach = both_ways();
  attach.raw = true;
  create_attached(stream, attach);
  h().start();
  stream.read("tick");
  EXPECT_TRUE(h().ask("unpause").error.has_value());
  const auto paused = h().ask("pause");
  ASSERT_FALSE(paused.error.has_value()) << paused.error->message;
  EXPECT_EQ(h().ask("hello").status, "paused");
  EXPECT_EQ(h().ask("pause").error->code, "conflict");
  // What was in the pipe then may still come; a process that goes on would end this never.
  auto before = h().log();
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(milliseconds(200));
    return std::exchange(before, h().log()) == before;
  }));
  EXPECT_EQ(h().exec("e1", {"/bin/true"}, std::nullopt).error->code, "conflict");

  // Another engine, later.
  h().disconnect();
  h().connect();
  EXPECT_EQ(h().ask("hello").status, "paused");
  const auto going = h().ask("unpause");
  ASSERT_FALSE(going.error.has_value()) << going.error->message;
  EXPECT_EQ(h().ask("hello").status, "running");
  EXPECT_TRUE(eventually([&] { return h().log() != before; }));
  ASSERT_FALSE(h().ask("pause").error.has_value());
  EXPECT_FALSE(h().ask(signal(SIGKILL)).error.has_value());
  EXPECT_EQ(h().event("exit").code, 128 + SIGKILL);
}

TEST_F(MonitorTest, KeepsOtherSignalsUntilUnpause) {
  script("trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.05; done");
  Stream stream;
  auto attach = both_ways();
  attach.raw = true;
  create_attached(stream, attach);
  h().start();
  stream.read("up");
  ASSERT_FALSE(h().ask("pause").error.has_value());
  EXPECT_FALSE(h().ask(signal(SIGCONT)).error.has_value());
  EXPECT_FALSE(h().ask(signal(SIGTERM)).error.has_value());
  EXPECT_FALSE(h().event_within("exit", milliseconds(200)));
  ASSERT_FALSE(h().ask("unpause").error.has_value());
  EXPECT_EQ(h().event("exit").code, 3);
}

// A shell with job control is told of no stop, and what was stopped before stays stopped.
TEST_F(MonitorTest, PausingIsNoJobControl) {
  h().spec.process.terminal = true;
  script("exec sh -im");
  Stream stream;
  auto attach = both_ways();
  attach.raw = true;
  create_attached(stream, attach);
  h().start();
  stream.read("# ");
  stream.send("sleep 900 & p=$!; kill -STOP $p; sleep 0.2; echo re''ady\n");
  stream.read("ready");
  // Behind what the shell says, at its prompt, of the job that it stopped itself.
  stream.send("echo se''cond\n");
  stream.read("second");
  stream.send("i=0; while [ $i -lt 8 ]; do sleep 0.1; i=$((i+1)); done; echo over $i\n");
  std::this_thread::sleep_for(milliseconds(250));
  ASSERT_FALSE(h().ask("pause").error.has_value());
  std::this_thread::sleep_for(milliseconds(150));
  ASSERT_FALSE(h().ask("unpause").error.has_value());
  const auto text = stream.read("over 8");
  EXPECT_THAT(text, ::testing::Not(HasSubstr("Stopped")));
  EXPECT_THAT(text, HasSubstr("over 8"));
  stream.send("cut -d' ' -f3 /proc/$p/stat; echo do''ne\n");
  EXPECT_THAT(stream.read("done"), HasSubstr("\nT\r"));
  EXPECT_FALSE(h().ask(signal(SIGKILL)).error.has_value());
  EXPECT_EQ(h().event("exit").code, 128 + SIGKILL);
}

TEST_F(MonitorTest, SignalsAllProcessesWhenAsked) {
  script(
      "trap 'echo one; exit 3' USR1; (trap 'echo two; exit' USR1; echo up; while :; do sleep 0.05; "
      "done) & "
      "while :; do sleep 0.05; done");
  Stream stream;
  auto attach = both_ways();
  attach.raw = true;
  create_attached(stream, attach);
  h().start();
  stream.read("up");
  EXPECT_FALSE(h().ask(signal(SIGUSR1, true)).error.has_value());
  EXPECT_EQ(h().event("exit").code, 3);
  EXPECT_THAT(h().log(), HasSubstr("one"));
}

TEST_F(MonitorTest, AFailedStartNamesTheReasonAndEnds) {
  h().spec.process.args = {"nonesuch"};
  Stream stream;
  create_attached(stream, both_ways());
  const auto answer = h().ask("start");
  ASSERT_TRUE(answer.error.has_value());
  EXPECT_EQ(answer.error->code, "not_found");
  EXPECT_EQ(answer.error->message, "exec: \"nonesuch\": executable file not found in $PATH");
  EXPECT_EQ(h().event("exit").code, 127);
  EXPECT_EQ(h().exit_record()->error, answer.error->message);
  EXPECT_EQ(stream.read(), "");
  stream.close();
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
}

TEST_F(MonitorTest, AFailedCreateLeavesNothing) {
  h().spec.mounts.push_back({"/x", "bind", "/nonexistent/source", {"rbind"}});
  ASSERT_TRUE(write_file_atomic(h().dir() + "/bundle/config.json", json::to_text(h().spec)));
  const auto answer = h().ask(op::Create{h().create_request});
  ASSERT_TRUE(answer.error.has_value());
  EXPECT_THAT(answer.error->message, HasSubstr("/nonexistent/source"));
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
  EXPECT_FALSE(exists(h().socket_path()));
  EXPECT_FALSE(h().exit_record().has_value());
}

TEST_F(MonitorTest, StopMonitorUndoesACreate) {
  const auto created = h().create();
  EXPECT_FALSE(h().ask("stop_monitor").error.has_value());
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
  EXPECT_FALSE(Pidfd::open(created.pid).has_value());
}

TEST_F(MonitorTest, GivesATerminalASizeAndDetaches) {
  script(
      "stty size; read line; stty size; trap 'exit 3' INT; echo got $line; "
      "while :; do sleep 0.05; done");
  h().spec.process.terminal = true;
  h().create_request.console = {40, 120};
  h().create_request.open_stdin = true;
  Stream stream;
  auto attach = both_ways();
  attach.detach_keys = {16, 17};
  create_attached(stream, attach);
  h().start();
  EXPECT_THAT(stream.read("120"), HasSubstr("40 120"));
  op::Resize resize;
  resize.size = {50, 132};
  EXPECT_FALSE(h().ask(resize).error.has_value());
  stream.send("hel");
  stream.send("lo\n");
  EXPECT_THAT(stream.read("got hello"), HasSubstr("50 132\r\n"));
  stream.send("\x10");
  stream.send("\x11");
  h().event("detached");
  stream.read();
  EXPECT_TRUE(stream.ended());
  h().event("attach_closed");
  // It runs on, and takes the next client.
  Stream second;
  op::Attach request{both_ways()};
  std::vector<UniqueFd> fds;
  fds.push_back(second.theirs());
  EXPECT_FALSE(h().ask(std::move(request), std::move(fds)).error.has_value());
  second.send("\x03");
  EXPECT_EQ(h().event("exit").code, 3);
  second.read();
  EXPECT_THAT(h().log(), HasSubstr(R"("stream":"stdout")"));
  EXPECT_THAT(h().log(), ::testing::Not(HasSubstr("stderr")));
}

TEST_F(MonitorTest, ATerminalThatIsClosedAndOpenedAgainGoesOn) {
  script("exec 0<&- 1>&- 2>&-; sleep 0.2; echo again >/dev/console; exit 4");
  h().spec.process.terminal = true;
  Stream stream;
  create_attached(stream, both_ways());
  h().start();
  EXPECT_EQ(h().event("exit").code, 4);
  EXPECT_EQ(stream.read(), "again\r\n");
}

TEST_F(MonitorTest, StdinOnceEndsWithItsClient) {
  script("cat; echo end");
  h().create_request.open_stdin = true;
  h().create_request.stdin_once = true;
  Stream stream;
  auto attach = both_ways();
  attach.leftover_base64 = "YWJj";
  create_attached(stream, attach);
  stream.send("def");
  stream.end_input();
  h().start();
  EXPECT_EQ(h().event("exit").code, 0);
  EXPECT_EQ(Stream::payload(stream.read(), 1), "abcdefend\n");
}

TEST_F(MonitorTest, KeepsStdinOpenForTheNextClientWithoutStdinOnce) {
  script("read a; read b; echo $a$b");
  h().create_request.open_stdin = true;
  Stream first;
  create_attached(first, both_ways());
  h().start();
  first.send("one\n");
  first.close();
  h().event("attach_closed");
  Stream second;
  op::Attach request{both_ways()};
  std::vector<UniqueFd> fds;
  fds.push_back(second.theirs());
  h().ask(std::move(request), std::move(fds));
  second.send("two\n");
  h().event("exit");
  EXPECT_EQ(Stream::payload(second.read(), 1), "onetwo\n");
}

TEST_F(MonitorTest, ExecPassesMegabytesUnchangedAndTellsItsEndFirst) {
  script("exec sleep 100");
  h().create();
  h().start();
  Stream stream;
  const auto answer = h().exec("e1", {"cat"}, both_ways(), stream.theirs());
  ASSERT_FALSE(answer.error.has_value()) << answer.error->message;
  EXPECT_GT(answer.pid, 0);
  EXPECT_EQ(h().ask("hello").execs.size(), 1U);
  constexpr std::size_t kSize = std::size_t{64} << 20;
  std::string data(kSize, '\0');
  std::uint32_t x = 1;
  for (auto& c : data) c = static_cast<char>((x = x * 1664525U + 1013904223U) >> 24U);
  std::string framed;
  {
    std::jthread writer([&] {
      stream.send(data);
      stream.end_input();
    });
    const auto begin = std::chrono::steady_clock::now();
    std::string buffer(std::size_t{1} << 20, '\0');
    framed.reserve(kSize + kSize / 1000);
    // The end of the stream comes only after the acknowledgement, the event before it.
    while (!h().event_within("exit", milliseconds(0))) {
      ssize_t n = 0;
      while ((n = ::recv(stream.fd().get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0)
        framed.append(buffer.data(), static_cast<std::size_t>(n));
      ASSERT_NE(n, 0) << "the stream has ended before the exit was told";
      ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
      std::this_thread::sleep_for(milliseconds(1));
    }
    const auto took = std::chrono::steady_clock::now() - begin;
    RecordProperty("cat_64_mib_ms", static_cast<int>(took / milliseconds(1)));
  }
  h().disconnect();  // counts as much as an acknowledgement
  framed += stream.read();
  EXPECT_TRUE(Stream::payload(framed, 1) == data) << "the bytes differ";
  EXPECT_EQ(Stream::payload(framed, 2), "");
  h().connect();
  // It is remembered for a while, for engines that come later.
  const auto execs = h().ask("hello").execs;
  ASSERT_EQ(execs.size(), 1U);
  EXPECT_FALSE(execs.front().running);
  EXPECT_NE(execs.front().ended.ns, 0);
}

TEST_F(MonitorTest, ExecTellsItsExitCodeAndItsFailure) {
  script("exec sleep 100");
  h().create();
  h().start();
  Stream stream;
  ASSERT_FALSE(h().exec("e1", {"sh", "-c", "sleep 50 & echo x; echo y >&2; exit 5"}, both_ways(),
                        stream.theirs())
                   .error.has_value());
  const auto exit = h().event("exit");
  EXPECT_EQ(exit.exec_id, "e1");
  EXPECT_EQ(exit.code, 5);
  // Its background process holds the pipes; the stream ends all the same.
  const auto framed = stream.read();
  EXPECT_EQ(Stream::payload(framed, 1), "x\n");
  EXPECT_EQ(Stream::payload(framed, 2), "y\n");

  Stream failing;
  const auto failed = h().exec("e2", {"nonesuch"}, both_ways(), failing.theirs());
  ASSERT_TRUE(failed.error.has_value());
  EXPECT_EQ(failed.error->code, "not_found");
  EXPECT_THAT(failed.error->message, StartsWith("exec: \"nonesuch\": executable file not found"));
  EXPECT_EQ(h().log(), "");
}

TEST_F(MonitorTest, ExecHasATerminalOfItsOwn) {
  script("exec sleep 100");
  h().create();
  h().start();
  Stream stream;
  auto attach = both_ways();
  attach.detach_keys = {1};
  ASSERT_FALSE(h().exec("t", {"sh"}, attach, stream.theirs(), true).error.has_value());
  op::Resize resize;
  resize.exec_id = "t";
  resize.size = {11, 22};
  EXPECT_FALSE(h().ask(resize).error.has_value());
  stream.send("stty size; exit 9\n");
  EXPECT_EQ(h().event("exit").code, 9);
  EXPECT_THAT(stream.read(), HasSubstr("\n11 22\r\n"));
}

TEST_F(MonitorTest, ASlowClientHoldsBackOutputButNeitherSignalsNorTheEnd) {
  script(
      "i=0; while [ $i -lt 200000 ]; do echo a line of output number $i; i=$((i+1)); done; sleep "
      "100");
  Stream stalled;
  create_attached(stalled, both_ways());
  h().start();
  // It stops when the client's buffers are full.
  std::string before;
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(milliseconds(100));
    return std::exchange(before, h().log()) == before &&
           before.find("number 2000\\n") != std::string::npos;
  }));
  EXPECT_THAT(before, ::testing::Not(HasSubstr("number 199999")));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(h().ask(signal(SIGKILL)).error.has_value());
  EXPECT_EQ(h().event("exit").code, 128 + SIGKILL);
  EXPECT_LT(std::chrono::steady_clock::now() - begin,
            std::chrono::seconds(10));  // at once is promised
  // What was written before the end is delivered, and is what the log has.
  const auto seen = Stream::payload(stalled.read(), 1);
  std::size_t lines = 0;
  for (const char c : h().log()) lines += c == '\n' ? 1U : 0U;
  std::size_t seen_lines = 0;
  for (const char c : seen) seen_lines += c == '\n' ? 1U : 0U;
  EXPECT_GT(seen_lines, 1000U);
  EXPECT_NEAR(static_cast<double>(seen_lines), static_cast<double>(lines), 1.0);
}

TEST_F(MonitorTest, OutlivesItsEngineAndTellsTheNextOne) {
  script("echo before; read line; echo after; exit 6");
  h().create_request.open_stdin = true;
  Stream stream;
  create_attached(stream, both_ways());
  h().start();
  stream.read("before");
  h().disconnect();
  ASSERT_EQ(::kill(h().monitor_pid(), SIGTERM), 0);
  ASSERT_EQ(::kill(h().monitor_pid(), SIGHUP), 0);
  EXPECT_FALSE(h().monitor_ends_within(milliseconds(100)));
  h().connect();
  EXPECT_EQ(h().ask("hello").status, "running");
  stream.send("\n");
  const auto exit = h().event("exit", false);
  EXPECT_EQ(exit.code, 6);
  // A second engine that comes before the acknowledgement is told as well.
  h().connect();
  const auto hello = h().ask("hello");
  EXPECT_EQ(hello.status, "stopped");
  EXPECT_EQ(hello.code, 6);
  EXPECT_EQ(h().event("exit").n, exit.n);
  EXPECT_EQ(Stream::payload(stream.read(), 1), "after\n");
  stream.close();
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
}

TEST_F(MonitorTest, EndsWithoutAnEngineAndLeavesTheRecord) {
  script("read line; exit 8");
  h().create_request.open_stdin = true;
  h().create_request.stdin_once = true;
  Stream stream;
  create_attached(stream, both_ways());
  h().start();
  h().disconnect();
  stream.send("x\n");
  stream.read();
  EXPECT_TRUE(stream.ended());
  stream.close();
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
  EXPECT_EQ(h().exit_record()->code, 8);
}

TEST_F(MonitorTest, EndsWhenItsEngineGoesBeforeItAskedForAnything) {
  h().disconnect();
  EXPECT_TRUE(h().monitor_ends_within(kPatience));
}

TEST_F(MonitorTest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(h().ask("dance").error->code, "unsupported");
  EXPECT_EQ(h().ask("create").error->code, "invalid_argument");
}

TEST_F(MonitorTest, WaitsInLittleMemory) {
  script("exec sleep 100");
  h().create();
  h().start();
  const auto value = [&](const std::string& key) {
    const auto text = *read_file(fmt::format("/proc/{}/smaps_rollup", h().monitor_pid()));
    return std::stoi(text.substr(text.find(key) + key.size()));
  };
  // It gives back what the start needed once it is idle.
  EXPECT_TRUE(eventually([&] { return value("Anonymous:") < 300; }));
  RecordProperty("anonymous_kib", value("Anonymous:"));
  RecordProperty("pss_kib", value("Pss:"));
  // The program's own pages are shared by all monitors; these are not.
  EXPECT_LT(value("Anonymous:"), 300);
}

}  // namespace
}  // namespace coracle::monitor
