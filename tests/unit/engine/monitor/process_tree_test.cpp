// Who is signalled: by numbers that belong to others, a walk's answer must not lead to them.
#include "engine/monitor/process_tree.hpp"

#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/process/descendants.hpp"

namespace coracle::monitor {
namespace {

struct Child {
  Pidfd top, init;
};

class ProcessTreeTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const auto& p : {&child_.init, &child_.top, &stranger_}) {
      if (*p) (void)p->send_signal(SIGKILL);
    }
    for (const auto& p : {&child_.top, &stranger_})
      if (*p) (void)p->wait();
  }
  // A first process, by way of unshare: with --pid it is unshare's child.
  void start(const std::vector<std::string>& flags) {
    auto out = make_pipe();
    SpawnOptions o;
    o.program = "unshare";
    o.argv = {"unshare", "--user", "--map-root-user", "--mount"};
    o.argv.insert(o.argv.end(), flags.begin(), flags.end());
    for (const char* word : {"sh", "-c", "sleep 300 >/dev/null & echo; wait"})
      o.argv.emplace_back(word);
    o.fds = {{out->write.get(), STDOUT_FILENO}};
    auto top = spawn(o);
    ASSERT_TRUE(top);
    out->write.reset();
    child_.top = *std::move(top);
    char c = 0;
    if (read_some(out->read, {&c, 1}).value_or(0) != 1) GTEST_SKIP() << "no user namespaces here";
    const bool own = !flags.empty();
    const auto init = own ? descendants(child_.top.pid(), "").front() : child_.top.pid();
    child_.init = *Pidfd::open(init);
    auto tree = ProcessTree::of(child_.init, own, "");
    ASSERT_TRUE(tree) << tree.error().message;
    tree_ = *std::move(tree);
    SpawnOptions other;
    other.program = "sleep";
    other.argv = {"sleep", "300"};
    stranger_ = *spawn(other);
  }
  Child child_;
  Pidfd stranger_;
  ProcessTree tree_;
};

TEST_F(ProcessTreeTest, OfAPidNamespaceOfItsOwnTakesNobodyOutsideOfIt) {
  start({"--pid", "--fork"});
  if (IsSkipped()) return;
  const auto all = tree_.all();
  EXPECT_EQ(all.size(), 2U);
  for (const pid_t pid : all) EXPECT_TRUE(tree_.open(pid));
  for (const pid_t pid : {stranger_.pid(), child_.top.pid(), ::getpid()}) {
    EXPECT_EQ(tree_.open(pid).error().code, Errc::not_found);
    EXPECT_FALSE(tree_.send(pid, SIGKILL));
  }
  EXPECT_FALSE(stranger_.ended());
  EXPECT_TRUE(tree_.signal_all(child_.init, SIGKILL));
  (void)child_.top.wait();
  child_.top = {};
  EXPECT_TRUE(tree_.all().empty());
  EXPECT_FALSE(stranger_.ended());
}

TEST_F(ProcessTreeTest, WithoutOneTakesDescendantsAndWhoIsInTheOtherNamespaces) {
  start({});
  if (IsSkipped()) return;
  // Its own descendants are the test's as well here, and so is the stranger: what is asked is that
  // of a number that has come to be somebody else's.
  EXPECT_TRUE(tree_.open(child_.init.pid()));
  EXPECT_FALSE(tree_.open(1));
  EXPECT_FALSE(tree_.open(::getpid()));
  EXPECT_FALSE(tree_.open(::getppid()));
  int reaped = 0;
  EXPECT_TRUE(tree_.kill_rest(std::chrono::seconds(10), [&] { ++reaped; }));
  EXPECT_GT(reaped, 0);
  EXPECT_TRUE(child_.init.ended());
}

}  // namespace
}  // namespace coracle::monitor
