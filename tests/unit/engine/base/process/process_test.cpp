#include "engine/base/process/process.hpp"

#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace coracle {
namespace {

SpawnOptions shell(const std::string& script) {
  SpawnOptions o;
  o.program = "/bin/sh";
  o.argv = {"sh", "-c", script};
  return o;
}

TEST(Spawn, TellsHowAProcessEnded) {
  EXPECT_EQ(spawn(shell("exit 7"))->wait()->code, 7);
  EXPECT_EQ(spawn(shell("kill -9 $$"))->wait()->code, 137);
}

TEST(Spawn, MapsDescriptorsAlsoWhenNumbersCross) {
  auto one = make_pipe();
  auto two = make_pipe();
  auto o = shell("echo one >&4; echo two >&3");
  o.fds = {{one->write.get(), 4}, {two->write.get(), 3}};
  auto child = spawn(o);
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(child->wait()->code, 0);
  one->write.reset();
  two->write.reset();
  EXPECT_EQ(read_all(one->read, 100), "one\n");
  EXPECT_EQ(read_all(two->read, 100), "two\n");
}

TEST(Spawn, AMissingProgramIsNotFound) {
  SpawnOptions o;
  o.program = "/no/such/program";
  o.argv = {"x"};
  EXPECT_EQ(spawn(o).error().code, Errc::not_found);
}

TEST(Pidfd, KnowsAProcessFromItsSuccessor) {
  auto child = spawn(shell("sleep 100"));
  ASSERT_TRUE(child);
  auto who = identify(child->pid());
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_TRUE(Pidfd::open(*who));
  auto other = *who;
  other.start_ticks += 1;
  EXPECT_EQ(Pidfd::open(other).error().code, Errc::not_found);
  other = *who;
  other.boot_id = "another boot";
  EXPECT_EQ(Pidfd::open(other).error().code, Errc::not_found);
  EXPECT_FALSE(child->ended());
  ASSERT_TRUE(child->send_signal(SIGKILL));
  EXPECT_EQ(child->wait()->code, 137);
  EXPECT_EQ(child->send_signal(SIGKILL).error().code, Errc::not_found);
}

}  // namespace
}  // namespace coracle
