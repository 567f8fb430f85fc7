// exec: further processes in a running container.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "engine/base/file.hpp"
#include "engine/runtime/join.hpp"
#include "tests/integration/container_fixture.hpp"

namespace coracle::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Join : public ContainerTest {
 protected:
  // Does it again and again until the first process has written `word` to /seen: so it looks, and
  // fast enough. What it has written.
  std::string seen_while(const std::function<void()>& act, const std::string& word) {
    constexpr int kAtLeast = 20;
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string seen;
    for (int i = 0; i < kAtLeast || seen.find(word) == std::string::npos; ++i) {
      act();
      seen = read_file(dir_ + "/image/seen").value_or("");
      if (std::chrono::steady_clock::now() > until) break;
    }
    EXPECT_THAT(seen, HasSubstr(word));
    return seen;
  }
};

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
  const auto seen = seen_while([&] { EXPECT_EQ(exec("true").code, 0); }, "/bin/busybox\n");
  EXPECT_THAT(seen, Not(HasSubstr("runtime_integration_test")));
}

// Every name that /proc has for a descriptor of the process that looks it up.
std::vector<std::string> names_of_descriptor(int fd) {
  std::vector<std::string> out;
  for (const char* directory : {"/proc/self/fd", "/proc/thread-self/fd", "/dev/fd"})
    out.push_back(fmt::format("{}/{}", directory, fd));
  return out;
}

TEST_F(Join, LooksItsProgramUpWithNoDescriptorOpen) {
  // The interpreter of a script is looked up by the kernel, in execve(2).
  for (int fd = 3; fd < 64; ++fd) {
    int n = 0;
    for (const auto& name : names_of_descriptor(fd))
      add_file(fmt::format("/script-{}-{}", fd, n++), "#!" + name + "\n", 0755);
  }
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  auto process = spec_.process;
  for (int fd = 3; fd < 64; ++fd) {
    int n = 0;
    for (const auto& name : names_of_descriptor(fd)) {
      for (const auto& program : {name, fmt::format("/script-{}-{}", fd, n)}) {
        process.args = {program};
        const auto o = exec(process);
        EXPECT_EQ(o.error, fmt::format("exec: \"{}\": no such file or directory", program));
        EXPECT_EQ(o.errc, Errc::not_found) << program;
      }
      ++n;
    }
  }
}

TEST_F(Join, HasNoDescriptorOpenAsAnotherUserOrWithAWorkingDirectory) {
  start_sleeper();
  if (HasFatalFailure() || IsSkipped()) return;
  for (int fd = 3; fd < 64; ++fd) {
    auto process = spec_.process;
    process.args = {fmt::format("/proc/self/fd/{}", fd)};
    process.user.username = "dev";
    EXPECT_EQ(exec(process).errc, Errc::not_found) << fd;
    process.args = {"true"};
    process.cwd = fmt::format("/proc/self/fd/{}", fd);
    EXPECT_THAT(exec(process).error, HasSubstr("no such file or directory")) << fd;
  }
}

// A first process that may trace others, and looks at each as soon as it is seen.
constexpr const char* kLookAtOthers =
    "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || { readlink $p/root; readlink "
    "$p/cwd; "
    "for f in $p/fd/*; do [ -L $f ] && echo fd ${f##*/} $(readlink $f); done; } >> /seen 2>&1; "
    "done; "
    "done";

// What kLookAtOthers has written: roots and working directories, and descriptors. Allowed are those
// that are gone between two looks, and `kinds`.
void expect_nothing_of_the_host(const std::string& seen, const std::vector<std::string>& kinds) {
  std::istringstream lines(seen);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("fd ")) {
      EXPECT_EQ(line, "/");
      continue;
    }
    int number = -1;
    std::string word, target;
    std::istringstream(line) >> word >> number >> target;
    const bool known =
        number < 3 || target.empty() ||
        std::ranges::any_of(kinds, [&](const auto& k) { return target.starts_with(k); });
    EXPECT_TRUE(known) << line;
  }
}

TEST_F(Join, HoldsNothingOfTheHostThatAContainerWithPtraceCouldTake) {
  auto& caps = *spec_.process.capabilities;
  for (auto* set : {&caps.bounding, &caps.effective, &caps.permitted})
    set->push_back("CAP_SYS_PTRACE");
  spec_.process.args = {"sh", "-c", kLookAtOthers};
  start_sleeper_with_args();
  if (HasFatalFailure() || IsSkipped()) return;
  auto process = spec_.process;
  process.args = {"true"};
  const auto seen = seen_while([&] { EXPECT_EQ(exec(process).code, 0); }, "fd 1 pipe:");
  expect_nothing_of_the_host(seen, {});
}

TEST_F(Join, SharesAPidNamespaceAndShowsNothingOfTheHostInItAtBirth) {
  auto& caps = *spec_.process.capabilities;
  for (auto* set : {&caps.bounding, &caps.effective, &caps.permitted})
    set->push_back("CAP_SYS_PTRACE");
  spec_.process.args = {"sh", "-c", kLookAtOthers};
  start_sleeper_with_args();
  if (HasFatalFailure() || IsSkipped()) return;
  for (auto& n : spec_.linux.namespaces)
    if (n.type == "pid") n.path = fmt::format("/proc/{}/ns/pid", running_.at(0).init().pid());
  const auto start = [&] {
    const auto o = run("test $$ != 1 && readlink /proc/1/exe && readlink /proc/self/root");
    EXPECT_EQ(o.error, "");
    EXPECT_EQ(o.output, "/bin/busybox\n/\n");  // its procfs shows the other container's
  };
  // The pipe that its "go" comes by, and what the maker of its procfs has.
  expect_nothing_of_the_host(seen_while(start, "fd 1 pipe:"),
                             {"pipe:", "socket:", "anon_inode:[fscontext]"});
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
