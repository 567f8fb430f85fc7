#include "engine/base/process/members.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "engine/base/process/descendants.hpp"

namespace coracle {
namespace {

using namespace std::chrono_literals;

// A shell in namespaces of its own (of mounts and of the host's name, and the user namespace that
// allows them); its number is its own before it says so.
class Members : public ::testing::Test {
 protected:
  void SetUp() override {
    SpawnOptions probe;
    probe.program = "unshare";
    probe.argv = {"unshare", "--user", "--map-root-user", "--mount", "--uts", "true"};
    const auto tried = spawn(probe);
    if (!tried || tried->wait()->code != 0) GTEST_SKIP() << "no user namespaces for this user";
  }
  void TearDown() override {
    if (namespaces_.empty()) return;
    EXPECT_TRUE(namespaces_.end_members(10s));
    if (shell_) (void)shell_.wait();
  }
  void start(const std::string& script) {
    auto out = make_pipe();
    SpawnOptions o;
    o.program = "unshare";
    o.argv = {"unshare",
              "--user",
              "--map-root-user",
              "--mount",
              "--uts",
              "sh",
              "-c",
              script + "\necho; exec sleep 300"};
    o.fds = {{out->write.get(), STDOUT_FILENO}};
    auto process = spawn(o);
    ASSERT_TRUE(process);
    shell_ = *std::move(process);
    char c = 0;
    ASSERT_EQ(read_some(out->read, {&c, 1}).value_or(0), 1U);
    auto found = OwnNamespaces::of(shell_);
    ASSERT_TRUE(found) << found.error().message;
    namespaces_ = *std::move(found);
    ASSERT_FALSE(namespaces_.empty());
  }
  Pidfd shell_;
  OwnNamespaces namespaces_;
};

TEST_F(Members, AreFoundThoughTheyHaveLeftTheTree) {
  start("(setsid sleep 300 >/dev/null &)");
  const auto all = namespaces_.members();
  EXPECT_EQ(all.size(), 2U);
  EXPECT_NE(std::ranges::find(all, shell_.pid()), all.end());
  for (const pid_t pid : all) {
    EXPECT_TRUE(namespaces_.open(pid));
    EXPECT_EQ(is_descendant(pid, ::getpid(), ""), pid == shell_.pid());
  }
  EXPECT_TRUE(namespaces_.end_members(10s));
  EXPECT_TRUE(namespaces_.members().empty());
}

TEST_F(Members, AreEndedThoughTheyForkAllTheTime) {
  start("f() { sleep 0.01; f & }; for i in 1 2 3 4; do f >/dev/null & done");
  EXPECT_TRUE(namespaces_.end_members(10s));
  std::this_thread::sleep_for(50ms);  // one that was missed would have its successor by now
  EXPECT_TRUE(namespaces_.members().empty());
}

TEST_F(Members, AreNotThoseOfOthersWhateverTheNumber) {
  start(":");
  SpawnOptions o;
  o.program = "sleep";
  o.argv = {"sleep", "300"};
  const auto stranger = spawn(o);
  ASSERT_TRUE(stranger);
  EXPECT_EQ(namespaces_.open(stranger->pid()).error().code, Errc::not_found);
  EXPECT_EQ(namespaces_.open(::getpid()).error().code, Errc::not_found);
  EXPECT_TRUE(namespaces_.end_members(10s));
  EXPECT_FALSE(stranger->ended());
  // One whose parent has taken its end has no number.
  (void)stranger->send_signal(SIGKILL);
  (void)stranger->wait();
  EXPECT_EQ(namespaces_.open(stranger->pid()).error().code, Errc::not_found);
}

TEST_F(Members, OfOurOwnNamespacesAreNotTaken) {
  std::vector<UniqueFd> files;
  files.emplace_back(::dup(0));
  EXPECT_EQ(OwnNamespaces::from(std::move(files)).error().code, Errc::invalid_argument);
  const auto self = OwnNamespaces::of(*Pidfd::open(::getpid()));
  ASSERT_TRUE(self);
  EXPECT_TRUE(self->empty());
  EXPECT_TRUE(self->members().empty());
}

TEST(IsDescendant, AsksTheParentsUpwards) {
  auto out = make_pipe();
  SpawnOptions o;
  o.program = "/bin/sh";
  o.argv = {"sh", "-c", "(sleep 300 & echo; wait) & wait"};
  o.fds = {{out->write.get(), STDOUT_FILENO}};
  const auto child = spawn(o);
  ASSERT_TRUE(child);
  char c = 0;
  ASSERT_EQ(read_some(out->read, {&c, 1}).value_or(0), 1U);
  const auto below = descendants(::getpid(), "");
  ASSERT_EQ(below.size(), 3U);
  for (const pid_t pid : below) {
    EXPECT_TRUE(is_descendant(pid, ::getpid(), ""));
    EXPECT_FALSE(is_descendant(pid, ::getpid(), "/bin/sh"));
  }
  EXPECT_FALSE(is_descendant(::getpid(), child->pid(), ""));
  EXPECT_FALSE(is_descendant(1, ::getpid(), ""));
  for (auto pid = below.rbegin(); pid != below.rend(); ++pid) ::kill(*pid, SIGKILL);
  (void)child->wait();
  EXPECT_FALSE(is_descendant(below.back(), ::getpid(), ""));
}

}  // namespace
}  // namespace coracle
