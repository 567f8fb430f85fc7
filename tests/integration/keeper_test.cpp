// The keeper with real namespaces. Each test has its own exec root and its own folder of programs,
// so that coracle-netstack is absent or a stand-in.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/idmap.hpp"
#include "engine/rootless/protocol.hpp"
#include "netstack/protocol.hpp"
#include "tests/integration/keeper_probe.hpp"

namespace coracle::rootless {
namespace {

namespace fs = std::filesystem;
using test::Seen;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

// Longer than anything takes on any machine; a promise about time itself has a limit of its own,
// ten times what is promised.
constexpr std::chrono::milliseconds kPatience = 60s;

bool eventually(std::chrono::milliseconds limit, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

std::string link_of(const std::string& path) {
  std::error_code none;
  return fs::read_symlink(path, none).string();
}

// A running keeper_probe: a stand-in for coracled.
class Probe {
 public:
  Probe(const std::vector<std::string>& command, const std::string& path) {
    auto in = make_pipe().value();
    auto out = make_pipe().value();
    SpawnOptions options;
    options.program = command.front();
    options.argv = command;
    options.inherit_env = false;
    options.env = {"PATH=" + path, "HOME=/tmp"};
    options.fds = {{in.read.get(), STDIN_FILENO}, {out.write.get(), STDOUT_FILENO}};
    process_ = spawn(options).value();
    stdin_ = std::move(in.write);
    stdout_ = std::move(out.read);
  }
  ~Probe() {
    if (process_) leave();
  }
  Probe(Probe&&) = default;
  Probe& operator=(Probe&&) = delete;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  Seen seen() {
    std::string line;
    std::array<char, 4096> buffer{};
    while (!line.ends_with('\n')) {
      const auto n = read_some(stdout_, buffer).value();
      if (n == 0) break;
      line.append(buffer.data(), n);
    }
    return json::from_text<Seen>(line).value();
  }
  [[nodiscard]] ProcessIdentity identity() const { return identify(process_.pid()).value(); }
  void leave() {
    stdin_.reset();
    (void)process_.wait();
    process_ = Pidfd();
  }
  void kill() {
    ASSERT_TRUE(process_.send_signal(SIGKILL));
    (void)process_.wait();
    process_ = Pidfd();
  }

 private:
  Pidfd process_;
  UniqueFd stdin_, stdout_;
};

class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() == 0) GTEST_SKIP() << "run it as an unprivileged user: root needs no keeper";
    std::string name = "/tmp/keeper-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    root_ = dir_ + "/run";
    fs::create_directory(dir_ + "/bin");
    const auto here = executable_dir().value();
    for (const char* program : {"keeper_probe", kKeeperProgram})
      fs::copy_file(here + "/" + program, dir_ + "/bin/" + program);
  }
  void TearDown() override {
    if (dir_.empty()) return;
    // Every probe has left: the keepers end and take their files with them, or this test has found
    // a leak. Only then the folder goes: a keeper that still unlinks would be in remove_all's way.
    for (const auto& root : {root_, dir_ + "/other"}) {
      for (const char* name :
           {kRecordName, kSocketName, kGuestSocketName, kNetstackRecordName, netstack::kSocketName})
        EXPECT_TRUE(eventually(kPatience, [&] { return !exists(root + "/" + name); }))
            << root << "/" << name;
    }
    fs::remove_all(dir_);
  }
  Probe enter(const std::string& root, const std::string& path = kPath) {
    return Probe({dir_ + "/bin/keeper_probe", root}, path);
  }
  Probe enter() { return enter(root_); }
  // The keeper of an exec root, by what it wrote.
  static ProcessIdentity keeper_of(const std::string& root) {
    const auto text = read_file(root + "/keeper.json").value();
    return json::from_text<KeeperRecord>(text).value().identity;
  }
  void write_program(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms(0755));
  }
  void require_ranges() {
    if (ranges_of(current_caller(), IdKind::user).empty()) {
      skip_ = true;
      GTEST_SKIP() << "this user has no range in /etc/subuid";
    }
  }
  static constexpr const char* kPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  std::string dir_, root_;
  bool skip_ = false;
};

// "         0       2003          1\n…" as a map.
IdMap parse_map(const std::string& text) {
  IdMap map;
  std::istringstream in(text);
  IdMapping m;
  while (in >> m.inside >> m.outside >> m.count) map.push_back(m);
  return map;
}

TEST_F(KeeperTest, MapsTheCallerAndTheRangesAndLeavesTheHostsNetwork) {
  require_ranges();
  if (skip_) return;
  auto daemon = enter();
  const auto seen = daemon.seen();
  ASSERT_EQ(seen.error, "");
  EXPECT_FALSE(seen.one_id);
  EXPECT_THAT(seen.warnings, IsEmpty());
  const auto who = current_caller();
  EXPECT_EQ(parse_map(seen.uid_map), make_id_map(who.uid, ranges_of(who, IdKind::user)));
  EXPECT_EQ(parse_map(seen.gid_map), make_id_map(who.gid, ranges_of(who, IdKind::group)));
  EXPECT_EQ(seen.uid, 0U);
  EXPECT_EQ(seen.gid, 0U);
  EXPECT_EQ(seen.groups, ::getgroups(0, nullptr));
  EXPECT_NE(seen.user, link_of("/proc/self/ns/user"));
  EXPECT_NE(seen.mount, link_of("/proc/self/ns/mnt"));
  EXPECT_EQ(seen.net, link_of("/proc/self/ns/net"));
  EXPECT_EQ(seen.directory, fs::current_path().string());
}

TEST_F(KeeperTest, IsJoinedByTheNextDaemonAndEndsWithTheLastLifeline) {
  auto first = enter();
  const auto seen = first.seen();
  ASSERT_EQ(seen.error, "");
  const auto keeper = Pidfd::open(keeper_of(root_)).value();
  auto second = enter();
  const auto again = second.seen();
  ASSERT_EQ(again.error, "");
  EXPECT_EQ(again.user, seen.user);
  EXPECT_EQ(again.mount, seen.mount);
  first.kill();
  std::this_thread::sleep_for(200ms);  // for an end all the same; nothing is awaited
  EXPECT_FALSE(keeper.ended());
  second.leave();
  EXPECT_TRUE(eventually(kPatience, [&] { return keeper.ended(); }));
  for (const char* name : {kRecordName, kSocketName, kBridgeName})
    EXPECT_FALSE(exists(root_ + "/" + name)) << name;
}

TEST_F(KeeperTest, IsOneForTwoDaemonsThatStartAtOnce) {
  for (int round = 0; round < 5; ++round) {
    auto a = enter();
    auto b = enter();
    auto c = enter();
    const auto seen = a.seen();
    ASSERT_EQ(seen.error, "");
    EXPECT_EQ(b.seen().user, seen.user);
    EXPECT_EQ(c.seen().user, seen.user);
    // The next round starts while this keeper is ending.
  }
}

TEST_F(KeeperTest, LivesBesideTheKeeperOfAnotherExecRoot) {
  auto one = enter();
  auto other = enter(dir_ + "/other");
  const auto seen = one.seen();
  const auto else_where = other.seen();
  ASSERT_EQ(seen.error + else_where.error, "");
  EXPECT_NE(seen.user, else_where.user);
  EXPECT_NE(keeper_of(root_), keeper_of(dir_ + "/other"));
}

TEST_F(KeeperTest, IsReplacedInTheSameNamespacesWhileAMonitorLives) {
  auto monitor = enter();  // a stand-in for one: it is inside, and holds the lifeline
  const auto seen = monitor.seen();
  ASSERT_EQ(seen.error, "");
  fs::create_directories(root_ + "/containers/c1");
  ASSERT_TRUE(write_file_atomic(root_ + "/containers/c1/monitor.json",
                                "{\"monitor\":" + json::to_text(monitor.identity()) + "}"));
  for (int i = 0; i < 3; ++i) {
    const auto killed = keeper_of(root_);
    ASSERT_TRUE(Pidfd::open(killed).value().send_signal(SIGKILL));
    auto daemon = enter();
    const auto again = daemon.seen();
    ASSERT_EQ(again.error, "");
    EXPECT_THAT(again.warnings, IsEmpty());
    EXPECT_EQ(again.user, seen.user);
    EXPECT_EQ(again.mount, seen.mount);
    EXPECT_EQ(again.net, seen.net);
    EXPECT_EQ(again.uid_map, seen.uid_map);
    EXPECT_EQ(again.directory, seen.directory);
    EXPECT_NE(keeper_of(root_), killed);
  }
  // The lifeline is the same one, and a keeper that took over holds no end of its own.
  const auto last = Pidfd::open(keeper_of(root_)).value();
  std::this_thread::sleep_for(200ms);  // for an end all the same; nothing is awaited
  EXPECT_FALSE(last.ended());
  monitor.leave();
  EXPECT_TRUE(eventually(kPatience, [&] { return last.ended(); }));
}

TEST_F(KeeperTest, IsReplacedWhenItWasKilled) {
  auto first = enter();
  const auto seen = first.seen();
  ASSERT_EQ(seen.error, "");
  ASSERT_TRUE(Pidfd::open(keeper_of(root_)).value().send_signal(SIGKILL));
  auto second = enter();
  const auto again = second.seen();
  ASSERT_EQ(again.error, "");
  EXPECT_NE(again.user, seen.user);
}

TEST_F(KeeperTest, IsNotTakenForAnotherProcessWithItsNumber) {
  fs::create_directory(root_);
  auto who = identify(::getpid()).value();
  who.start_ticks += 1;  // the number is in use, by somebody else: us
  ASSERT_TRUE(write_file_atomic(root_ + "/keeper.json",
                                json::to_text(KeeperRecord{who, kKeeperVersion, 0, {}})));
  auto daemon = enter();
  EXPECT_EQ(daemon.seen().error, "");
  EXPECT_NE(keeper_of(root_).pid, ::getpid());
}

TEST_F(KeeperTest, GetsOverADamagedRecord) {
  fs::create_directory(root_);
  std::ofstream(root_ + "/keeper.json") << "{\"identity\": [";
  auto daemon = enter();
  EXPECT_EQ(daemon.seen().error, "");
}

TEST_F(KeeperTest, DoesNotEndWithATerminal) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto who = keeper_of(root_);
  const auto keeper = Pidfd::open(who).value();
  EXPECT_EQ(::getsid(who.pid), who.pid);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT}) ASSERT_TRUE(keeper.send_signal(signal));
  std::this_thread::sleep_for(200ms);  // for an end all the same; nothing is awaited
  EXPECT_FALSE(keeper.ended());
}

TEST_F(KeeperTest, EndsInOrderWhenAskedTo) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto keeper = Pidfd::open(keeper_of(root_)).value();
  ASSERT_TRUE(keeper.send_signal(SIGTERM));
  EXPECT_TRUE(eventually(kPatience, [&] { return keeper.ended(); }));
  EXPECT_FALSE(exists(root_ + "/keeper.json"));
}

TEST_F(KeeperTest, MapsOneIdWithoutTheHelpersAndSaysHowToGetThem) {
  require_ranges();
  if (skip_) return;
  auto daemon = enter(root_, "/nonexistent");
  const auto seen = daemon.seen();
  ASSERT_EQ(seen.error, "");
  EXPECT_TRUE(seen.one_id);
  EXPECT_THAT(seen.warnings, ElementsAre(HasSubstr("the package uidmap")));
  EXPECT_EQ(parse_map(seen.uid_map), make_id_map(::getuid(), {}));
  EXPECT_EQ(parse_map(seen.gid_map), make_id_map(::getgid(), {}));
  EXPECT_EQ(seen.uid, 0U);
  auto next = enter();
  const auto again = next.seen();
  EXPECT_EQ(again.user, seen.user);
  EXPECT_TRUE(again.one_id);
  EXPECT_EQ(again.warnings, seen.warnings);
}

TEST_F(KeeperTest, MapsOneIdWhenAHelperRefusesAndPassesItsReasonOn) {
  require_ranges();
  if (skip_) return;
  // newuidmap writes its map, then newgidmap refuses.
  write_program(dir_ + "/bin/newgidmap", "#!/bin/sh\necho 'newgidmap: not today' >&2\nexit 1\n");
  auto daemon = enter(root_, dir_ + "/bin:" + kPath);
  const auto seen = daemon.seen();
  ASSERT_EQ(seen.error, "");
  EXPECT_TRUE(seen.one_id);
  EXPECT_THAT(seen.warnings, ElementsAre(HasSubstr("newgidmap: not today")));
  EXPECT_EQ(parse_map(seen.uid_map), make_id_map(::getuid(), {}));
}

TEST_F(KeeperTest, NamesTheSysctlThatForbidsUserNamespaces) {
  // Inside a user namespace the limit can be set without root.
  const std::string script =
      "echo 0 > /proc/sys/user/max_user_namespaces && exec " + dir_ + "/bin/keeper_probe " + root_;
  Probe daemon({"unshare", "-Ur", "sh", "-c", script}, kPath);
  EXPECT_THAT(daemon.seen().error, HasSubstr("sysctl -w user.max_user_namespaces="));
}

TEST_F(KeeperTest, RefusesAnExecRootOfAnotherUser) {
  auto daemon = enter("/usr");
  EXPECT_THAT(daemon.seen().error, HasSubstr("/usr belongs to uid 0"));
}

// A netstack that lists the vault, writes what it got to standin.log, puts one more entry with a
// listening socket, and waits.
constexpr const char* kStandIn = R"(#!/usr/bin/env python3
import json, os, socket, sys
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
vault = socket.socket(fileno=int(args["--vault-fd"]))
def send(message, fds=[]):
    socket.send_fds(vault, [b"T" + json.dumps(message).encode()], fds)
def receive():
    data, fds, _, _ = socket.recv_fds(vault, 70000, 32)
    return json.loads(data[1:]), fds
send({"op": "list"})
got = []
while True:
    entry, fds = receive()
    if entry.get("end"): break
    port = socket.socket(fileno=fds[0]).getsockname()[1]
    got.append(entry["name"] + ":" + entry["data"] + ":" + str(port))
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
name = "entry%d" % len(got)
bridge = os.stat(int(args["--bridge-netns-fd"])).st_ino
send({"op": "put", "name": name, "data": str(os.getpid())}, [listener.fileno()])
port = listener.getsockname()[1]
with open(args["--exec-root"] + "/standin.log", "a") as log:
    log.write(json.dumps({"pid": os.getpid(), "uid": os.getuid(), "got": got, "port": port,
        "net": os.readlink("/proc/self/ns/net"), "bridge": "net:[%d]" % bridge}) + "\n")
while vault.recv(1): pass
)";

struct StandIn {
  std::int32_t pid = 0;
  std::uint32_t uid = 1;
  std::vector<std::string> got;
  std::uint32_t port = 0;
  std::string net, bridge;
};
void describe(auto& field, StandIn& s) {
  field("pid", s.pid)("uid", s.uid)("got", s.got)("port", s.port)("net", s.net)("bridge", s.bridge);
}

class NetstackTest : public KeeperTest {
 protected:
  void SetUp() override {
    KeeperTest::SetUp();
    if (IsSkipped()) return;
    write_program(dir_ + "/bin/coracle-netstack", kStandIn);
  }
  // What the n-th netstack (from 1) wrote.
  StandIn wait_for(std::size_t n, std::chrono::milliseconds limit = kPatience) {
    std::vector<std::string> lines;
    const bool came = eventually(limit, [&] {
      lines.clear();
      std::ifstream in(root_ + "/standin.log");
      for (std::string line; std::getline(in, line);) lines.push_back(line);
      return lines.size() >= n;
    });
    EXPECT_TRUE(came) << "netstack " << n << " did not come; "
                      << read_file(root_ + "/netstack.log").value_or("no netstack.log");
    return came ? json::from_text<StandIn>(lines[n - 1]).value() : StandIn{};
  }
};

TEST_F(NetstackTest, RunsInTheUserNamespaceAndTheHostsNetworkWithTheBridgesAtHand) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto netstack = wait_for(1);
  EXPECT_EQ(netstack.uid, 0U);
  EXPECT_EQ(netstack.net, link_of("/proc/self/ns/net"));
  EXPECT_NE(netstack.bridge, netstack.net);
}

TEST_F(NetstackTest, IsStartedAgainWithinASecondAndGivenItsVault) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto first = wait_for(1);
  ::kill(first.pid, SIGKILL);
  const auto second = wait_for(2, 10s);
  EXPECT_THAT(second.got, ElementsAre("entry0:" + std::to_string(first.pid) + ":" +
                                      std::to_string(first.port)));
  EXPECT_EQ(second.bridge, first.bridge);
  ::kill(second.pid, SIGKILL);
  EXPECT_EQ(wait_for(3, 10s).got.size(), 2U);
}

TEST_F(NetstackTest, EndsWithItsKeeper) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto netstack = Pidfd::open(wait_for(1).pid).value();
  daemon.leave();
  EXPECT_TRUE(eventually(kPatience, [&] { return netstack.ended(); }));
}

TEST_F(NetstackTest, OfAKilledKeeperMakesRoomForTheNextOne) {
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto netstack = Pidfd::open(wait_for(1).pid).value();
  // Stopped: it does not notice the keeper's end by itself.
  ASSERT_TRUE(netstack.send_signal(SIGSTOP));
  ASSERT_TRUE(Pidfd::open(keeper_of(root_)).value().send_signal(SIGKILL));
  auto next = enter();
  ASSERT_EQ(next.seen().error, "");
  EXPECT_TRUE(eventually(kPatience, [&] { return netstack.ended(); }));
  EXPECT_THAT(wait_for(2).got, IsEmpty());
}

TEST_F(NetstackTest, OfAKeeperThatWasReplacedHasTheSameBridge) {
  auto monitor = enter();
  ASSERT_EQ(monitor.seen().error, "");
  fs::create_directories(root_ + "/containers/c1");
  ASSERT_TRUE(write_file_atomic(root_ + "/containers/c1/monitor.json",
                                "{\"monitor\":" + json::to_text(monitor.identity()) + "}"));
  const auto first = wait_for(1);
  // This one cannot be taken over: it does not listen.
  ASSERT_TRUE(Pidfd::open(keeper_of(root_)).value().send_signal(SIGKILL));
  auto daemon = enter();
  ASSERT_EQ(daemon.seen().error, "");
  const auto second = wait_for(2);
  EXPECT_EQ(second.bridge, first.bridge);
  EXPECT_THAT(second.got, IsEmpty());
}

}  // namespace
}  // namespace coracle::rootless
