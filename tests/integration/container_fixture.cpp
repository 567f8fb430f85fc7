#include "tests/integration/container_fixture.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "engine/spec/seccomp_profile.hpp"
#include "tests/integration/user_namespace.hpp"

namespace coracle::test {
namespace {

constexpr const char* kBusybox = "/bin/busybox";

oci::Mount mount(const char* to, const char* type, const char* from,
                 std::vector<std::string> options) {
  return {to, type, from, std::move(options)};
}

std::vector<oci::Mount> default_mounts() {
  return {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/dev/shm", "tmpfs", "shm",
            {"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}),
  };
}

// To the end of the stream, or until a minute has passed.
std::string collect(const UniqueFd& from) {
  std::string out;
  std::array<char, 4096> buffer{};
  for (;;) {
    pollfd p{from.get(), POLLIN, 0};
    if (::poll(&p, 1, 60000) != 1) return out + "(timed out)";
    const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
    if (n <= 0) return out;  // EIO: the terminal's other end is closed
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Outcome failed(const Error& e) { return {"", -1, e.message, e.code}; }

}  // namespace

std::vector<std::string> default_capabilities() {
  return {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
          "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
          "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
          "CAP_KILL",    "CAP_AUDIT_WRITE"};
}

void ContainerTest::SetUp() {
  if (const auto why = no_user_namespace(); !why.empty()) GTEST_SKIP() << why;
  if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "busybox-static is not installed";
  std::string name = "/tmp/coracle-runtime-XXXXXX";
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  dir_ = name;
  ASSERT_TRUE(make_dirs(dir_ + "/image/bin", 0755));
  std::filesystem::copy(kBusybox, dir_ + "/image/bin/busybox");
  for (const char* applet :
       {"sh",    "cat",      "ls",       "id",    "grep", "stat", "sleep", "mount",
        "touch", "hostname", "readlink", "mkdir", "head", "tty",  "stty",  "ip",
        "true",  "env",      "umask",    "dd",    "kill", "test", "chmod", "seq"})
    std::filesystem::create_symlink("busybox", dir_ + "/image/bin/" + applet);
  add_file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n");
  add_file("/etc/group", "root:x:0:\nstaff:x:50:dev\ndev:x:1000:\n");
  std::filesystem::permissions(dir_, std::filesystem::perms(0755));
  root_ = {};
  root_.type = "bind";
  root_.lower = {dir_ + "/image"};
  spec_ = {};
  spec_.root.path = "rootfs";
  spec_.hostname = "box";
  spec_.mounts = default_mounts();
  for (const char* type : {"pid", "mount", "uts", "ipc", "network", "cgroup"})
    spec_.linux.namespaces.push_back({type, ""});
  const auto caps = default_capabilities();
  spec_.process.capabilities = oci::Capabilities{caps, caps, {}, caps, {}};
  spec_.process.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
  SeccompTarget target = this_host();
  target.capabilities = {caps.begin(), caps.end()};
  const auto profile = resolve_seccomp_profile(default_seccomp_profile(), target);
  ASSERT_TRUE(profile) << profile.error().message;
  spec_.linux.seccomp = *profile;
  spec_.linux.masked_paths = {"/proc/acpi", "/proc/kcore",   "/proc/keys",     "/proc/timer_list",
                              "/proc/scsi", "/sys/firmware", "/proc/not-there"};
  spec_.linux.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                "/proc/sysrq-trigger"};
}

void ContainerTest::TearDown() {
  for (auto& c : running_) {
    (void)c.init().send_signal(SIGKILL);
    (void)c.init().wait();
  }
  running_.clear();
  if (dir_.empty()) return;
  EXPECT_TRUE(remove_tree(dir_));
}

void ContainerTest::add_file(const std::string& path, const std::string& text, unsigned mode) {
  const std::string whole = dir_ + "/image" + path;
  ASSERT_TRUE(make_dirs(parent_path(whole), 0755));
  std::ofstream(whole) << text;
  ASSERT_EQ(::chmod(whole.c_str(), mode), 0);
}

void ContainerTest::use_overlay(const std::string& type) {
  ASSERT_TRUE(make_dirs(dir_ + "/upper", 0755));
  ASSERT_TRUE(make_dirs(dir_ + "/work", 0755));
  ASSERT_TRUE(make_dirs(dir_ + "/second/etc", 0755));
  std::ofstream(dir_ + "/second/etc/second") << "second\n";
  root_.type = type;
  root_.lower = {dir_ + "/second", dir_ + "/image"};
  root_.upper = dir_ + "/upper";
  root_.work = dir_ + "/work";
}

Outcome ContainerTest::run(const std::string& script) {
  spec_.process.args = {"sh", "-c", script};
  return run();
}

Outcome ContainerTest::run() {
  auto out = make_pipe();
  if (!out) return failed(out.error());
  runtime::LaunchRequest request;
  request.spec = &spec_;
  request.bundle = dir_;
  request.root = root_;
  request.stdio = {-1, out->write.get(), out->write.get()};
  request.init_program = init_program_;
  request.seccomp_cache = "/tmp/coracle-runtime-test-cache";
  auto launched = runtime::launch(request);
  out->write.reset();
  if (!launched) return failed(launched.error());
  const auto started = launched->start();
  Outcome outcome;
  if (!started) outcome = failed(started.error());
  if (started) outcome.output = collect(spec_.process.terminal ? launched->console() : out->read);
  if (const auto status = launched->init().wait()) outcome.code = status->code;
  return outcome;
}

void ContainerTest::start_sleeper() {
  spec_.process.args = {"sleep", "1000"};
  start_sleeper_with_args();
}

void ContainerTest::start_sleeper_with_args() {
  runtime::LaunchRequest request;
  request.spec = &spec_;
  request.bundle = dir_;
  request.root = root_;
  auto launched = runtime::launch(request);
  ASSERT_TRUE(launched) << launched.error().message;
  const auto started = launched->start();
  running_.push_back(*std::move(launched));
  ASSERT_TRUE(started) << started.error().message;
}

Outcome ContainerTest::exec(const oci::Process& process) {
  auto out = make_pipe();
  if (!out) return failed(out.error());
  runtime::JoinRequest request;
  request.init = &running_.at(0).init();
  request.process = &process;
  request.filter = running_.at(0).filter();
  request.stdio = {-1, out->write.get(), out->write.get()};
  auto joined = runtime::join(request);
  out->write.reset();
  if (!joined) return failed(joined.error());
  Outcome outcome;
  outcome.output = collect(process.terminal ? joined->console : out->read);
  if (const auto status = joined->process.wait()) outcome.code = status->code;
  return outcome;
}

Outcome ContainerTest::exec(const std::string& script) {
  auto process = spec_.process;
  process.args = {"sh", "-c", script};
  return exec(process);
}

}  // namespace coracle::test
