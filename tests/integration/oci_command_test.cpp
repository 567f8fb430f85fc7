// coracle-monitor as an OCI runtime: its command line on bundles, as other people's tools call it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/fd.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "engine/spec/oci.hpp"

namespace coracle {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ran {
  int code = -1;
  std::string output;  // stdout and stderr
};

Ran shell(const std::string& command) {
  Ran r;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return r;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) r.output += static_cast<char>(c);
  r.code = WEXITSTATUS(::pclose(pipe));
  return r;
}

class OciCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() == 0) GTEST_SKIP() << "run as an unprivileged user";
    if (!exists("/bin/busybox")) GTEST_SKIP() << "no /bin/busybox (busybox-static)";
    if (shell("unshare --user --map-root-user --mount true").code != 0)
      GTEST_SKIP() << "no user namespaces for this user";
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    ASSERT_EQ(shell("mkdir -p " + dir_ + "/b/rootfs/bin && cp /bin/busybox " + dir_ +
                    "/b/rootfs/bin/ && ln -s busybox " + dir_ +
                    "/b/rootfs/bin/sh && ln -s busybox " + dir_ + "/b/rootfs/bin/sleep")
                  .code,
              0);
    monitor_ = *find_helper("coracle-monitor") + " --root " + dir_ + "/root ";
    // What `crun spec --rootless` gives: a user namespace without mappings.
    spec_.process.env = {"PATH=/bin"};
    spec_.root = {"rootfs", true};
    spec_.hostname = "test";
    spec_.mounts = {{"/proc", "proc", "proc", {}}, {"/dev", "tmpfs", "tmpfs", {"mode=755"}}};
    for (const char* type : {"pid", "network", "ipc", "uts", "user", "mount"})
      spec_.linux.namespaces.push_back({type, ""});
    script("echo hello; exec sleep 100");
  }
  void TearDown() override {
    if (monitor_.empty()) return;
    run("delete --force c");
    (void)remove_tree(dir_);
  }
  Ran run(const std::string& command) const { return shell(monitor_ + command); }
  std::string bundle() const { return " --bundle " + dir_ + "/b "; }
  void script(const std::string& text) {
    spec_.process.args = {"sh", "-c", text};
    write_spec();
  }
  void write_spec() const {
    ASSERT_TRUE(write_file_atomic(dir_ + "/b/config.json", json::to_text(spec_)).has_value());
  }
  oci::State state() const {
    const auto text = run("state c");
    const auto state = json::from_text<oci::State>(text.output);
    EXPECT_TRUE(state.has_value()) << text.output;
    return state ? *state : oci::State{};
  }

  std::string dir_ = "/tmp/oci_command_XXXXXX";
  std::string monitor_;
  oci::Spec spec_;
};

TEST_F(OciCommandTest, LeadsAContainerThroughItsLife) {
  const std::string out = dir_ + "/out";
  spec_.annotations = {{"k", "v"}};
  write_spec();
  ASSERT_EQ(run("create" + bundle() + "--pid-file " + dir_ + "/pid c >" + out).output, "");
  auto s = state();
  EXPECT_EQ(s.status, "created");
  EXPECT_EQ(s.annotations.at("k"), "v");
  EXPECT_EQ(s.bundle, dir_ + "/b");
  EXPECT_EQ(std::to_string(s.pid), *read_file(dir_ + "/pid"));
  EXPECT_EQ(*read_file(out), "");

  EXPECT_EQ(run("start c").code, 0);
  EXPECT_EQ(state().status, "running");
  EXPECT_THAT(run("start c").output, HasSubstr("cannot start a container in the running state"));
  EXPECT_THAT(run("create" + bundle() + "c").output, HasSubstr("exists already"));
  EXPECT_THAT(run("delete c").output, HasSubstr("not stopped"));
  EXPECT_EQ(state().status, "running");

  EXPECT_EQ(run("kill c KILL").code, 0);
  for (int i = 0; i < 6000 && state().status != "stopped"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(state().status, "stopped");
  EXPECT_EQ(*read_file(out), "hello\n");
  EXPECT_THAT(run("kill c").output, HasSubstr("not running"));
  EXPECT_EQ(run("delete c").code, 0);
  EXPECT_THAT(run("state c").output, HasSubstr("does not exist"));
  EXPECT_EQ(run("delete c").code, 1);
  EXPECT_EQ(run("delete --force c").code, 0);
}

TEST_F(OciCommandTest, RunAnswersTheExitStatus) {
  script("echo in $(hostname); exit 6");
  const auto r = run("run" + bundle() + "c </dev/null");
  EXPECT_EQ(r.code, 6);
  EXPECT_EQ(r.output, "in test\n");
  EXPECT_EQ(run("state c").code, 1);
}

TEST_F(OciCommandTest, AStartThatFailsNamesTheReason) {
  spec_.process.args = {"nonesuch"};
  write_spec();
  ASSERT_EQ(run("create" + bundle() + "c </dev/null >/dev/null").code, 0);
  const auto r = run("start c");
  EXPECT_EQ(r.code, 1);
  EXPECT_THAT(r.output, HasSubstr("executable file not found in $PATH"));
  EXPECT_EQ(state().status, "stopped");
}

TEST_F(OciCommandTest, DeletesACreatedContainer) {
  ASSERT_EQ(run("create" + bundle() + "c </dev/null >/dev/null").code, 0);
  const auto pid = state().pid;
  EXPECT_EQ(run("delete c").code, 0);
  EXPECT_FALSE(exists("/proc/" + std::to_string(pid) + "/root/bin"));
}

TEST_F(OciCommandTest, RefusesWhatCannotBeDone) {
  EXPECT_THAT(run("create" + bundle() + "../c").output, HasSubstr("invalid container id"));
  EXPECT_THAT(run("create --bundle /nonexistent c").output, HasSubstr("/nonexistent"));
  EXPECT_THAT(run("dance c").output, HasSubstr("not a known command"));
  EXPECT_THAT(run("start c").output, HasSubstr("does not exist"));
  spec_.process.terminal = true;
  write_spec();
  EXPECT_THAT(run("create" + bundle() + "c").output, HasSubstr("--console-socket"));
  spec_.process.terminal = false;
  spec_.hooks.emplace();
  spec_.hooks->poststop.push_back({"/bin/true", {}, {}, 0});
  write_spec();
  EXPECT_THAT(run("create" + bundle() + "c").output, HasSubstr("hooks are not supported"));
  spec_.hooks.reset();
  spec_.process.cwd = std::string("/bin\0x", 6);
  write_spec();
  EXPECT_THAT(run("create" + bundle() + "c").output, HasSubstr("a string holds a NUL"));
  EXPECT_EQ(run("state c").code, 1);  // nothing is left of them
  EXPECT_THAT(run("--version").output, HasSubstr("spec: 1.2.0"));
}

// What its own first process shows of it in /proc is not a way to its file (CVE-2019-5736).
TEST_F(OciCommandTest, CannotBeWrittenByWhatItRuns) {
  ASSERT_EQ(
      shell("mkdir " + dir_ + "/b/rootfs/b && mkfifo " + dir_ + "/b/rootfs/b/config.json").code, 0);
  spec_.mounts.push_back({"/r", "tmpfs", "tmpfs", {}});
  spec_.process.args = {"/proc/self/exe", "--root", "/r", "run", "--bundle", "/b", "id"};
  write_spec();
  ASSERT_EQ(shell("mkdir -p " + dir_ + "/b/rootfs/r " + dir_ + "/b/rootfs/proc").code, 0);
  ASSERT_EQ(run("create" + bundle() + "c </dev/null >/dev/null").code, 0);
  ASSERT_EQ(run("start c").code, 0);
  const std::string exe = "/proc/" + std::to_string(state().pid) + "/exe";
  struct stat ours {
  }, theirs{};
  ASSERT_EQ(::stat(find_helper("coracle-monitor")->c_str(), &ours), 0);
  ASSERT_EQ(::stat(exe.c_str(), &theirs), 0);
  EXPECT_TRUE(ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
  const UniqueFd program(::open(exe.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(program);
  const int seals = ::fcntl(program.get(), F_GET_SEALS);
  EXPECT_EQ(seals & F_SEAL_WRITE, F_SEAL_WRITE) << seals;
}

TEST_F(OciCommandTest, BelievesNothingThatOthersMayHaveWritten) {
  ASSERT_EQ(run("create" + bundle() + "c </dev/null >/dev/null").code, 0);
  // Another user's folder, with the record of a process of ours: it is not signalled.
  const std::string theirs = dir_ + "/theirs";
  const auto made = shell("chmod 755 " + dir_ + " && mkdir " + theirs + " && cp -r " + dir_ +
                          "/root/c " + theirs + "/ && chmod -R a+rX " + theirs +
                          " && unshare --map-auto --map-root-user chown -R 7:7 " + theirs);
  if (made.code != 0) GTEST_SKIP() << "no range of subordinate ids: " << made.output;
  for (const char* command : {"kill c KILL", "delete --force c", "state c", "start c",
                              "create --bundle /b d", "run --bundle /b d"}) {
    const auto r = shell(*find_helper("coracle-monitor") + " --root " + theirs + " " + command);
    EXPECT_EQ(r.code, 1) << command;
    EXPECT_THAT(r.output, HasSubstr("belongs to uid")) << command;
  }
  EXPECT_EQ(state().status, "created");
  // The one without --root is our own as well, and not a name in /tmp that others can take first.
  const auto r = shell("env -u XDG_RUNTIME_DIR " + *find_helper("coracle-monitor") + " state none");
  EXPECT_THAT(r.output, HasSubstr("does not exist"));
  EXPECT_EQ(
      shell("XDG_RUNTIME_DIR=" + theirs + " " + *find_helper("coracle-monitor") + " kill c KILL")
          .code,
      1);
  EXPECT_EQ(shell("unshare --map-auto --map-root-user rm -r " + theirs).code, 0);
}

TEST_F(OciCommandTest, TakesItsFolderFromOthers) {
  ASSERT_EQ(shell("mkdir -m 777 " + dir_ + "/root").code, 0);
  ASSERT_EQ(run("create" + bundle() + "c </dev/null >/dev/null").code, 0);
  struct stat st {};
  ASSERT_EQ(::stat((dir_ + "/root").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0700U);
}

TEST_F(OciCommandTest, RunsWhatCrunSpecWrites) {
  if (shell("crun --version").code != 0) GTEST_SKIP() << "no crun";
  ASSERT_EQ(shell("cd " + dir_ +
                  "/b && rm config.json && crun spec --rootless && "
                  "sed -i 's/\"terminal\": true/\"terminal\": false/' config.json")
                .code,
            0);
  const auto r = shell("echo 'echo $((40+2))' | " + monitor_ + "run" + bundle() + "c");
  EXPECT_EQ(r.code, 0);
  EXPECT_EQ(r.output, "42\n");
}

}  // namespace
}  // namespace coracle
