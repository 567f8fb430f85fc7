// A container's start against the real kernel: namespaces, mounts, privileges, errors.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>

#include "engine/base/file.hpp"
#include "engine/runtime/launch.hpp"
#include "tests/integration/container_fixture.hpp"
#include "tests/integration/user_namespace.hpp"

int main(int argc, char** argv) {
  coracle::test::enter_user_namespace(argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

namespace coracle::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Launch : public ContainerTest {};

TEST_F(Launch, RunsAProgramInNamespacesOfItsOwn) {
  const auto o = run("echo $$; hostname; id -u; ls /sys/class/net; pwd; exit 7");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "1\nbox\n0\nlo\n/\n");
  EXPECT_EQ(o.code, 7);
}

TEST_F(Launch, GivesDockersCapabilitiesAndFilter) {
  const auto o = run("grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status");
  EXPECT_THAT(o.output, HasSubstr("CapInh:\t0000000000000000"));
  EXPECT_THAT(o.output, HasSubstr("CapPrm:\t00000000a80425fb"));
  EXPECT_THAT(o.output, HasSubstr("CapEff:\t00000000a80425fb"));
  EXPECT_THAT(o.output, HasSubstr("CapBnd:\t00000000a80425fb"));
  EXPECT_THAT(o.output, HasSubstr("CapAmb:\t0000000000000000"));
  EXPECT_THAT(o.output, HasSubstr("NoNewPrivs:\t0"));
  EXPECT_THAT(o.output, HasSubstr("Seccomp:\t2"));
}

TEST_F(Launch, GivesAUserNoCapabilitiesButKeepsItsGroups) {
  spec_.process.user.username = "dev";
  spec_.process.capabilities->effective.clear();
  spec_.process.capabilities->permitted.clear();
  spec_.process.no_new_privileges = true;
  const auto o =
      run("id -u; id -g; id -G; echo $HOME; grep -E 'CapEff|NoNew|Seccomp:' /proc/self/status");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(
      o.output,
      "1000\n1000\n1000 50\n/home/dev\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST_F(Launch, MakesDockersDev) {
  const auto o =
      run("ls /dev; readlink /dev/fd; readlink /dev/ptmx; readlink /dev/core; echo x > /dev/null; "
          "head -c 2 /dev/zero | "
          "wc -c; stat -c %a /dev/shm; echo y > /dev/stderr");
  EXPECT_THAT(o.output,
              HasSubstr("core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\n"
                        "stdout\ntty\nurandom\nzero\n"));
  EXPECT_THAT(o.output, HasSubstr("/proc/self/fd\npts/ptmx\n/proc/kcore\n"));
  EXPECT_THAT(o.output, HasSubstr("1777"));
  EXPECT_THAT(o.output, HasSubstr("y\n"));
}

TEST_F(Launch, MasksAndProtectsPaths) {
  const auto o =
      run("wc -c < /proc/keys; ls -A /proc/scsi /sys/firmware 2>&1 | grep -v :; echo 1 > "
          "/proc/sys/kernel/domainname; "
          "touch /sys/x; mkdir /sys/fs/cgroup/x");
  EXPECT_THAT(o.output, HasSubstr("0\n"));
  EXPECT_THAT(o.output,
              HasSubstr("can't create /proc/sys/kernel/domainname: Read-only file system"));
  EXPECT_THAT(o.output, HasSubstr("/sys/x: Read-only file system"));
  EXPECT_THAT(o.output, HasSubstr("'/sys/fs/cgroup/x': Read-only file system"));
}

TEST_F(Launch, MountsAnOverlayWhoseChangesLandInTheUpperLayer) {
  use_overlay("overlay");
  const auto o = run("cat /etc/second; echo new > /new; echo gone > /etc/second");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "second\n");
  EXPECT_EQ(read_file(dir_ + "/upper/new").value_or(""), "new\n");
  EXPECT_EQ(read_file(dir_ + "/second/etc/second").value_or(""), "second\n");
}

TEST_F(Launch, MountsAFuseOverlayThatEndsWithItsContainer) {
  if (::access("/usr/bin/fuse-overlayfs", X_OK) != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0)
    GTEST_SKIP() << "fuse-overlayfs or /dev/fuse is missing";
  use_overlay("fuse-overlayfs");
  root_.fuse_program = "/usr/bin/fuse-overlayfs";
  const auto o = run("cat /etc/second; echo new > /new; grep ' / ' /proc/mounts; kill -9 -1");
  EXPECT_EQ(o.error, "");
  EXPECT_THAT(o.output, HasSubstr("second\n"));
  EXPECT_THAT(o.output, HasSubstr("fuse"));
  EXPECT_EQ(read_file(dir_ + "/upper/new").value_or(""), "new\n");
}

TEST_F(Launch, KeepsAReadOnlyRootReadOnlyButItsMountsWritable) {
  use_overlay("overlay");
  spec_.root.readonly = true;
  spec_.mounts.push_back({"/deep/tmp", "tmpfs", "tmpfs", {"size=64k", "noexec"}});
  const auto o = run("touch /x; touch /deep/tmp/y && echo ok; grep /deep/tmp /proc/mounts");
  EXPECT_THAT(o.output, HasSubstr("/x: Read-only file system"));
  EXPECT_THAT(o.output, HasSubstr("ok\n"));
  EXPECT_THAT(o.output, HasSubstr("noexec"));
  EXPECT_THAT(o.output, HasSubstr("size=64k"));
}

TEST_F(Launch, BindsFilesAndDirectoriesAsAsked) {
  ASSERT_TRUE(make_dirs(dir_ + "/source/sub", 0755));
  std::ofstream(dir_ + "/source/file") << "hello\n";
  spec_.mounts.push_back({"/mnt/rw", "bind", dir_ + "/source", {"rbind", "rprivate"}});
  spec_.mounts.push_back({"/mnt/ro", "bind", dir_ + "/source", {"rbind", "rro", "rslave"}});
  spec_.mounts.push_back({"/etc/one", "bind", dir_ + "/source/file", {"bind", "ro"}});
  const auto o = run("cat /etc/one; echo w > /mnt/rw/w; echo r > /mnt/ro/r; echo o > /etc/one");
  EXPECT_THAT(o.output, HasSubstr("hello\n"));
  EXPECT_EQ(read_file(dir_ + "/source/w").value_or(""), "w\n");
  EXPECT_THAT(o.output, HasSubstr("can't create /mnt/ro/r: Read-only file system"));
  EXPECT_THAT(o.output, HasSubstr("can't create /etc/one: Read-only file system"));
}

TEST_F(Launch, FollowsLinksOfTheImageInsideTheRootOnly) {
  std::ofstream(dir_ + "/conf") << "bound\n";
  ASSERT_EQ(::symlink("/../../run/systemd/resolv.conf", (dir_ + "/image/etc/resolv.conf").c_str()),
            0);
  spec_.mounts.push_back({"/etc/resolv.conf", "bind", dir_ + "/conf", {"rbind", "rprivate"}});
  const auto o = run("cat /etc/resolv.conf; cat /run/systemd/resolv.conf");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "bound\nbound\n");
}

TEST_F(Launch, MountsNothingInsideProcWhereverTheImageLeads) {
  ASSERT_EQ(::symlink("proc", (dir_ + "/image/link").c_str()), 0);
  struct Case {
    const char* destination;
    const char* words;
  };
  for (const auto& c :
       {Case{"/proc/acpi", "\"/proc/acpi\" cannot be mounted because it is inside /proc"},
        Case{"/proc/sys/kernel", "inside /proc"}, Case{"/link/sys", "inside /proc"},
        Case{"/link", "not of type proc"}, Case{"/proc", "not of type proc"}}) {
    const auto mounts = spec_.mounts;
    ASSERT_TRUE(make_dirs(dir_ + "/other", 0755));
    for (const auto& m : {oci::Mount{c.destination, "bind", dir_ + "/other", {"bind"}},
                          oci::Mount{c.destination, "tmpfs", "tmpfs", {}}}) {
      spec_.mounts = mounts;
      spec_.mounts.push_back(m);
      const auto o = run("true");
      EXPECT_THAT(o.error, HasSubstr(c.words)) << c.destination << " " << m.type;
      EXPECT_EQ(o.errc, Errc::invalid_argument);
    }
    spec_.mounts = mounts;
  }
}

TEST_F(Launch, ShowsTheFiguresOfAnotherProgramInProc) {
  add_file("/../meminfo", "MemTotal: 5 kB\n");
  spec_.mounts.push_back({"/proc/meminfo", "bind", dir_ + "/meminfo", {"bind", "ro"}});
  spec_.mounts.push_back({"/sys/fs/cgroup", "tmpfs", "tmpfs", {}});
  spec_.mounts.push_back({"/proc", "bind", "/proc", {"rbind"}});  // a procfs on a procfs
  EXPECT_EQ(run("true").error, "");
  spec_.mounts.pop_back();
  EXPECT_EQ(run("cat /proc/meminfo").output, "MemTotal: 5 kB\n");
}

TEST_F(Launch, MountsTheKernelsFileSystemsOnDirectoriesAlone) {
  for (const char* name : {"proc", "sys"}) {
    const std::string link = dir_ + "/image/" + name;
    (void)::rmdir(link.c_str());
    ASSERT_TRUE(make_dirs(dir_ + "/image/elsewhere", 0755));
    ASSERT_EQ(::symlink("elsewhere", link.c_str()), 0);
    const auto o = run("true");
    EXPECT_THAT(o.error, HasSubstr("must be mounted on ordinary directory"));
    ASSERT_EQ(::unlink(link.c_str()), 0);
  }
}

TEST_F(Launch, CopiesTheImageIntoATmpfsThatAsksForIt) {
  add_file("/data/sub/file", "from image\n", 0640);
  spec_.mounts.push_back({"/data", "tmpfs", "tmpfs", {"tmpcopyup"}});
  const auto o = run("cat /data/sub/file; stat -c %a /data/sub/file; echo x > /data/x");
  EXPECT_EQ(o.output, "from image\n640\n");
  EXPECT_FALSE(exists(dir_ + "/image/data/x"));
}

TEST_F(Launch, NamesTheSourceThatIsMissing) {
  spec_.mounts.push_back({"/mnt", "bind", dir_ + "/nowhere", {"rbind"}});
  const auto o = run("true");
  EXPECT_THAT(o.error, HasSubstr("bind source path does not exist: " + dir_ + "/nowhere"));
  EXPECT_EQ(o.errc, Errc::invalid_argument);
}

TEST_F(Launch, TellsThatADirectoryCannotCoverAFile) {
  spec_.mounts.push_back({"/etc/passwd", "bind", dir_, {"rbind"}});
  EXPECT_THAT(run("true").error, HasSubstr("Are you trying to mount a directory onto a file"));
}

TEST_F(Launch, SpeaksDockersWordsWhenTheProgramCannotRun) {
  add_file("/plain", "text");
  add_file("/noformat", "text", 0755);
  add_file("/noloader", "#!/missing/interpreter\n", 0755);
  struct Case {
    const char* program;
    const char* words;
    Errc code;
  };
  for (const auto& c :
       {Case{"foo", "exec: \"foo\": executable file not found in $PATH", Errc::not_found},
        Case{"/foo", "exec: \"/foo\": no such file or directory", Errc::not_found},
        Case{"/plain", "exec: \"/plain\": permission denied", Errc::forbidden},
        Case{"/etc", "exec: \"/etc\": is a directory: permission denied", Errc::forbidden},
        Case{"/noloader", "exec: \"/noloader\": no such file or directory", Errc::not_found},
        Case{"/noformat", "exec /noformat: exec format error", Errc::invalid_argument}}) {
    spec_.process.args = {c.program};
    const auto o = run();
    EXPECT_EQ(o.error, c.words);
    EXPECT_EQ(o.errc, c.code) << c.program;
  }
}

TEST_F(Launch, TellsWhoIsMissingInPasswd) {
  spec_.process.user.username = "nobody-here";
  EXPECT_EQ(run("true").error,
            "unable to find user nobody-here: no matching entries in passwd file");
}

TEST_F(Launch, MakesAMissingWorkingDirectory) {
  spec_.process.cwd = "/not/yet";
  EXPECT_EQ(run("pwd").output, "/not/yet\n");
}

TEST_F(Launch, GivesATerminalOfTheAskedSize) {
  spec_.process.terminal = true;
  spec_.process.console_size = oci::Box{30, 100};
  const auto o = run("tty; stty size; echo > /dev/console && echo console; ls -l /proc/1/fd/0");
  EXPECT_EQ(o.error, "");
  EXPECT_THAT(o.output, HasSubstr("/dev/pts/0"));
  EXPECT_THAT(o.output, HasSubstr("30 100"));
  EXPECT_THAT(o.output, HasSubstr("console"));
}

TEST_F(Launch, LeaksNoDescriptors) {
  const int leaked = ::open("/etc/passwd", O_RDONLY);  // without O_CLOEXEC, on purpose
  ASSERT_GE(leaked, 0);
  const auto o = run("ls -l /proc/1/fd; true");
  ::close(leaked);
  EXPECT_THAT(o.output, Not(HasSubstr("passwd")));
  EXPECT_THAT(o.output, Not(HasSubstr(" 3 ")));
}

TEST_F(Launch, LooksItsProgramUpWithNoDescriptorOpen) {
  // With sysctls a procfs is open for a while, with a terminal a pty.
  spec_.linux.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
  spec_.process.oom_score_adj = 10;
  for (int fd = 3; fd < 32; ++fd) {
    const auto name = fmt::format("/proc/self/fd/{}", fd);
    add_file("/script", "#!" + name + "\n", 0755);
    for (const auto& program : {name, name + "/self/exe", std::string("/script")}) {
      spec_.process.args = {program};
      const auto o = run();
      EXPECT_EQ(o.error, fmt::format("exec: \"{}\": no such file or directory", program));
      EXPECT_EQ(o.errc, Errc::not_found) << program;
    }
  }
}

TEST_F(Launch, TakesNoStdioThroughALinkToADescriptor) {
  ASSERT_TRUE(make_dirs(dir_ + "/devices", 0755));
  ASSERT_EQ(::symlink("/proc/self/fd/1", (dir_ + "/devices/null").c_str()), 0);
  std::erase_if(spec_.mounts, [](const auto& m) { return m.destination.starts_with("/dev"); });
  spec_.mounts.push_back({"/dev", "bind", dir_ + "/devices", {"bind"}});
  EXPECT_THAT(run("true").error, HasSubstr("/dev/null"));  // stdin
}

TEST_F(Launch, SetsSysctlsLimitsAndUmask) {
  spec_.linux.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                        {"kernel.shm_rmid_forced", "1"}};
  spec_.process.rlimits = {{"RLIMIT_NOFILE", 256, 128}};
  spec_.process.user.umask = 0077;
  const auto o = run(
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; ulimit "
      "-n; ulimit -Hn; umask");
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(o.output, "0\n1\n128\n256\n0077\n");
}

TEST_F(Launch, RefusesALimitAboveOurOwnAndSaysWhy) {
  spec_.process.rlimits = {{"RLIMIT_NOFILE", 1ULL << 40, 1ULL << 40}};
  EXPECT_THAT(run("true").error, HasSubstr("set RLIMIT_NOFILE"));
}

TEST_F(Launch, AnswersForbiddenCallsWithDockersErrors) {
  // unshare: not permitted by the filter; chroot: allowed, the capability is there.
  const auto o = run("busybox unshare -U true; busybox chroot / true && echo chroot");
  EXPECT_THAT(o.output, HasSubstr("Operation not permitted"));
  EXPECT_THAT(o.output, HasSubstr("chroot\n"));
}

TEST_F(Launch, BindsDockerInit) {
  init_program_ = "/bin/busybox";
  spec_.process.args = {"/sbin/docker-init", "true"};
  const auto o = run();
  EXPECT_THAT(o.output, HasSubstr("docker-init: applet not found"));
}

TEST_F(Launch, EntersAGivenNetworkNamespace) {
  const pid_t holder = ::fork();
  if (holder == 0) {
    (void)::unshare(CLONE_NEWNET);
    (void)!::system("ip link set lo up");
    ::pause();
    ::_exit(0);
  }
  const std::string theirs = fmt::format("/proc/{}/ns/net", holder);
  struct stat mine {
  }, made{};
  ASSERT_EQ(::stat("/proc/self/ns/net", &mine), 0);
  do {
    ::usleep(1000);
    ASSERT_EQ(::stat(theirs.c_str(), &made), 0);
  } while (made.st_ino == mine.st_ino);
  const UniqueFd ns(::open(fmt::format("/proc/{}/ns/net", holder).c_str(), O_RDONLY | O_CLOEXEC));
  spec_.process.args = {"true"};
  runtime::LaunchRequest request;
  request.spec = &spec_;
  request.bundle = dir_;
  request.root = root_;
  request.netns = ns.get();
  auto launched = runtime::launch(request);
  ASSERT_TRUE(launched) << launched.error().message;
  struct stat given {
  }, used{};
  ASSERT_EQ(::fstat(ns.get(), &given), 0);
  ASSERT_EQ(::stat(fmt::format("/proc/{}/ns/net", launched->init().pid()).c_str(), &used), 0);
  EXPECT_EQ(given.st_ino, used.st_ino);
  ASSERT_TRUE(launched->start());
  (void)launched->init().wait();
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
}

TEST_F(Launch, SharesTheHostsNamespacesWhereAsked) {
  std::erase_if(spec_.linux.namespaces, [](const oci::Namespace& n) {
    return n.type == "pid" || n.type == "network" || n.type == "ipc";
  });
  const auto o = run("echo $$; ls /sys/class/net; touch /sys/x");
  EXPECT_EQ(o.error, "");
  EXPECT_THAT(o.output, Not(HasSubstr("^1\n")));
  EXPECT_THAT(o.output, HasSubstr("/sys/x: Read-only file system"));
}

TEST_F(Launch, MakesAUserNamespaceWithTheMappingsOfTheSpec) {
  spec_.linux.namespaces.push_back({"user", ""});
  spec_.linux.uid_mappings = {{0, 0, 1000}};
  spec_.linux.gid_mappings = {{0, 0, 1000}};
  const auto o = run("id -u; cat /proc/self/uid_map");
  EXPECT_EQ(o.error, "");
  EXPECT_THAT(o.output, HasSubstr("0          0          1\n         1          1        999\n"));
}

TEST_F(Launch, KeepsTheRootsPropagation) {
  ASSERT_TRUE(make_dirs(dir_ + "/source", 0755));
  spec_.mounts.push_back({"/mnt", "bind", dir_ + "/source", {"rbind", "rslave"}});
  for (const char* propagation : {"rslave", "rshared", "private", "unbindable"}) {
    spec_.linux.rootfs_propagation = propagation;
    const auto o = run("head -n 1 /proc/self/mountinfo");
    EXPECT_EQ(o.error, "") << propagation;
    EXPECT_EQ(o.output.find("shared:") != std::string::npos, std::string(propagation) == "rshared")
        << o.output;
  }
}

TEST_F(Launch, RefusesHooksThatItWouldNotRun) {
  spec_.hooks = oci::Hooks{};
  spec_.hooks->poststop.push_back({"/bin/cleanup", {}, {}, 0});
  EXPECT_EQ(run("true").errc, Errc::unsupported);
}

TEST_F(Launch, LeavesNothingBehindWhenItFails) {
  spec_.mounts.push_back({"/mnt", "nosuchfs", "none", {}});
  const auto before = read_file("/proc/self/mountinfo").value_or("");
  EXPECT_THAT(run("true").error, HasSubstr("error mounting \"none\" to rootfs at \"/mnt\""));
  EXPECT_EQ(read_file("/proc/self/mountinfo").value_or(""), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child either
}

}  // namespace
}  // namespace coracle::test
