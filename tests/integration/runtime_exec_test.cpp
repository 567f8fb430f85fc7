// exec: further processes in a running container.
#include <unistd.h>

#include <gmock/gmock.h>

#include "engine/base/file.hpp"
#include "engine/runtime/join.hpp"
#include "tests/integration/container_fixture.hpp"

namespace coracle::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Join : public ContainerTest {};

TEST_F(Join, RunsBesideTheFirstProcess) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  const auto o =
      exec("cat /proc/1/comm; hostname; ls /sys/class/net; readlink /proc/self/cwd; exit 3");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "sleep\nbox\nlo\n/\n");
  EXPECT_EQ(o.code, 3);
}

TEST_F(Join, HasTheContainersPrivilegesAndNoMore) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  const auto o = exec("grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status; ls /proc/self/fd");
  EXPECT_EQ(o.output,
            "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n0\n1\n2\n3\n");
}

TEST_F(Join, HasATerminalOfTheContainersDevpts) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  auto process = spec_.process;
  process.terminal = true;
  process.args = {"sh", "-c", "tty; stty size"};
  process.console_size = oci::Box{25, 90};
  const auto o = exec(process);
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "/dev/pts/0\r\n25 90\r\n");
}

TEST_F(Join, RunsAsTheNamedUser) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  auto process = spec_.process;
  process.user.username = "dev:staff";
  process.capabilities = oci::Capabilities{default_capabilities(), {}, {}, {}, {}};
  process.args = {"sh", "-c", "id -u; id -g; echo $HOME"};
  EXPECT_EQ(exec(process).output, "1000\n50\n/home/dev\n");
}

TEST_F(Join, SpeaksDockersWords) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  auto process = spec_.process;
  process.args = {"nothing"};
  EXPECT_EQ(exec(process).error, "exec: \"nothing\": executable file not found in $PATH");
  process.args = {"true"};
  process.cwd = "/missing";
  const auto o = exec(process);
  EXPECT_EQ(o.error,
            "chdir to cwd (\"/missing\") set in config.json failed: no such file or directory");
}

TEST_F(Join, EntersAUserNamespaceOfTheContainersOwn) {
  spec_.linux.namespaces.push_back({"user", ""});
  spec_.linux.uid_mappings = {{0, 1, 1000}};
  spec_.linux.gid_mappings = {{0, 1, 1000}};
  if (dir_.empty()) return;
  ASSERT_EQ(::chown((dir_ + "/image").c_str(), 1, 1), 0);  // mount points are made in it
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  const auto o = exec("id -u; cat /proc/self/uid_map; grep CapEff /proc/self/status");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "0\n         0          1       1000\nCapEff:\t00000000a80425fb\n");
}

TEST_F(Join, CannotBeReachedByTheContainerThroughProc) {
  // A first process that looks at every other one as soon as it is seen, and says what it could
  // open.
  spec_.process.args = {"sh", "-c",
                        "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || readlink $p/exe "
                        ">> /seen; done; done"};
  start_sleeper_with_args();
  if (HasFatalFailure() || IsSkipped()) return;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(exec("true").code, 0);
  const auto seen = read_file(dir_ + "/image/seen").value_or("");
  EXPECT_THAT(seen, HasSubstr("/bin/busybox\n"));  // the loop works
  EXPECT_THAT(seen, Not(HasSubstr("runtime_integration_test")));
}

TEST_F(Join, FindsThatTheContainerHasEnded) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  ASSERT_TRUE(running_.at(0).init().send_signal(9));
  ASSERT_TRUE(running_.at(0).init().wait());
  EXPECT_NE(exec("true").error, "");
  running_.clear();
}

}  // namespace
}  // namespace coracle::test
