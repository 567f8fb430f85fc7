#include "engine/base/process/descendants.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "engine/base/process/process.hpp"

namespace coracle {
namespace {

TEST(Descendants, AreAllBelowAProcessParentsFirst) {
  auto out = make_pipe();
  SpawnOptions o;
  o.program = "/bin/sh";
  o.argv = {"sh", "-c", "(sleep 100 & echo; wait) & echo; wait"};
  o.fds = {{out->write.get(), STDOUT_FILENO}};
  const auto child = spawn(o);
  ASSERT_TRUE(child);
  for (int lines = 0; lines < 2;) {
    char c = 0;
    ASSERT_EQ(read_some(out->read, {&c, 1}).value_or(0), 1U);
    if (c == '\n') ++lines;
  }
  const auto ours = descendants(::getpid(), "");
  ASSERT_GE(ours.size(), 3U);
  EXPECT_NE(std::ranges::find(ours, child->pid()), ours.end());
  const auto below = descendants(child->pid(), "");
  ASSERT_EQ(below.size(), 2U);
  EXPECT_EQ(descendants(below.front(), ""), std::vector<pid_t>{below.back()});
  // A program that is passed over, with what it has started.
  EXPECT_EQ(descendants(::getpid(), "/bin/sh"), std::vector<pid_t>{});
  for (auto pid = below.rbegin(); pid != below.rend(); ++pid) ::kill(*pid, SIGKILL);
  (void)child->wait();
  EXPECT_EQ(descendants(child->pid(), ""), std::vector<pid_t>{});
}

}  // namespace
}  // namespace coracle
