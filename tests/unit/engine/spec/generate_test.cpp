#include "engine/spec/generate.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/spec/throttle.hpp"

namespace coracle {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

GenerateInput plain() {
  GenerateInput in;
  in.id = "0123456789abcdef";
  in.config.hostname = "web";
  in.config.cmd = StringList{{"sleep", "1"}};
  in.network_joined = true;
  in.hosts_path = "/c/hosts";
  in.hostname_path = "/c/hostname";
  in.resolv_conf_path = "/c/resolv.conf";
  in.hard_limits = {{"RLIMIT_NOFILE", 4096}};
  in.target = SeccompTarget{{}, "amd64", {6, 1}};
  return in;
}

oci::Spec spec_of(const GenerateInput& in) {
  auto got = generate(in);
  EXPECT_TRUE(got) << (got ? "" : got.error().message);
  return got ? got->spec : oci::Spec{};
}

const oci::Mount* mount_at(const oci::Spec& spec, const std::string& destination) {
  const auto found =
      std::ranges::find(spec.mounts, destination, [](const auto& m) { return m.destination; });
  return found == spec.mounts.end() ? nullptr : &*found;
}

std::vector<std::string> namespaces(const oci::Spec& spec) {
  std::vector<std::string> out;
  for (const auto& n : spec.linux.namespaces) out.push_back(n.type);
  return out;
}

TEST(Generate, EntrypointComesBeforeCmdAndInitBeforeBoth) {
  auto in = plain();
  in.config.entrypoint = StringList{{"/entry"}};
  EXPECT_THAT(spec_of(in).process.args, ElementsAre("/entry", "sleep", "1"));
  in.init_program = "/x/coracle-init";
  EXPECT_THAT(spec_of(in).process.args,
              ElementsAre("/sbin/docker-init", "--", "/entry", "sleep", "1"));
}

TEST(Generate, NoCommandIsRefused) {
  auto in = plain();
  in.config.cmd.reset();
  EXPECT_EQ(generate(in).error().code, Errc::invalid_argument);
}

TEST(Generate, TheEnvironmentReplacesDefaultsByName) {
  auto in = plain();
  in.config.env = {"PATH=/bin", "A=1", "HOSTNAME"};
  in.config.tty = true;
  EXPECT_THAT(spec_of(in).process.env, ElementsAre("PATH=/bin", "TERM=xterm", "A=1"));
}

TEST(Generate, NamespacesFollowTheModes) {
  auto in = plain();
  EXPECT_THAT(namespaces(spec_of(in)),
              ElementsAre("mount", "network", "uts", "ipc", "pid", "cgroup"));
  in.network_host = true;
  in.host.pid_mode = "host";
  in.host.ipc_mode = "host";
  in.host.uts_mode = "host";
  in.host.cgroupns_mode = "host";
  EXPECT_THAT(namespaces(spec_of(in)), ElementsAre("mount"));
}

TEST(Generate, ARequestedMountTakesThePlaceOfAStandardOne) {
  auto in = plain();
  ResolvedMount shm;
  shm.type = "bind";
  shm.source = "/host/shm";
  shm.destination = "/dev/shm";
  in.mounts = {shm};
  const auto spec = spec_of(in);
  const auto* m = mount_at(spec, "/dev/shm");
  ASSERT_NE(m, nullptr);
  EXPECT_EQ(m->source, "/host/shm");
  EXPECT_EQ(std::ranges::count(spec.mounts, "/dev/shm", &oci::Mount::destination), 1);
}

TEST(Generate, DeeperMountsComeAfterShallowerOnes) {
  auto in = plain();
  ResolvedMount deep;
  deep.type = "bind";
  deep.source = "/a";
  deep.destination = "/data/inner";
  ResolvedMount shallow = deep;
  shallow.destination = "/data";
  in.mounts = {deep, shallow};
  const auto spec = spec_of(in);
  EXPECT_LT(mount_at(spec, "/data"), mount_at(spec, "/data/inner"));
}

TEST(Generate, AReadOnlyBindIsRecursive) {
  auto in = plain();
  ResolvedMount m;
  m.type = "bind";
  m.source = "/a";
  m.destination = "/data";
  m.rw = false;
  in.mounts = {m};
  EXPECT_THAT(mount_at(spec_of(in), "/data")->options, ElementsAre("rbind", "rro", "rprivate"));
}

TEST(Generate, TmpfsOptionsOverrideTheDefaults) {
  auto in = plain();
  ResolvedMount m;
  m.type = "tmpfs";
  m.destination = "/run";
  m.options = {"exec", "size=64m", "size=65m"};
  in.mounts = {m};
  EXPECT_THAT(mount_at(spec_of(in), "/run")->options,
              ElementsAre("nosuid", "nodev", "exec", "size=65m"));
}

TEST(Generate, PrivilegedMasksNothingAndWritesSysfs) {
  auto in = plain();
  in.host.privileged = true;
  const auto spec = spec_of(in);
  EXPECT_TRUE(spec.linux.masked_paths.empty());
  EXPECT_TRUE(spec.linux.readonly_paths.empty());
  EXPECT_THAT(mount_at(spec, "/sys")->options, testing::Not(Contains("ro")));
}

TEST(Generate, TheDefaultMasksWhatDockerMasks) {
  const auto spec = spec_of(plain());
  EXPECT_THAT(spec.linux.masked_paths,
              IsSupersetOf({"/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/acpi"}));
  EXPECT_THAT(spec.linux.readonly_paths, ElementsAre("/proc/bus", "/proc/fs", "/proc/irq",
                                                     "/proc/sys", "/proc/sysrq-trigger"));
}

TEST(Generate, MasksTheThrottleCountersThatTheHostHas) {
  const std::string dir = ::testing::TempDir() + "/throttle";
  ASSERT_TRUE(make_dirs(dir + "/cpu0/thermal_throttle", 0755));
  EXPECT_THAT(throttle_counters(dir), ElementsAre("/sys/devices/system/cpu/cpu0/thermal_throttle"));
  EXPECT_THAT(throttle_counters(dir + "/none"), testing::IsEmpty());
}

TEST(Generate, NeverHandsOnTheEnginesOwnCgroup) {
  auto in = plain();
  in.host.privileged = true;
  EXPECT_THAT(mount_at(spec_of(in), "/sys/fs/cgroup")->options, Contains("ro"));
  in.host.privileged = false;
  in.host.security_opt = {"writable-cgroups=true"};
  const auto refused = generate(in);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("writable-cgroups"));
  in.host.security_opt = {"writable-cgroups=false"};
  EXPECT_THAT(mount_at(spec_of(in), "/sys/fs/cgroup")->options, Contains("ro"));
}

TEST(Generate, TheHostsSysfsIsReadOnlyWithAllThatIsMountedBelowIt) {
  auto in = plain();
  in.network_host = true;
  EXPECT_THAT(mount_at(spec_of(in), "/sys")->options, IsSupersetOf({"rbind", "rro"}));
}

TEST(Generate, AHardLimitAboveOursIsLoweredAndTold) {
  auto in = plain();
  in.host.resources.ulimits = {{"nofile", 8192, 1 << 20}};
  const auto got = generate(in);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->spec.process.rlimits[0].hard, 4096U);
  EXPECT_EQ(got->spec.process.rlimits[0].soft, 4096U);
  EXPECT_THAT(got->warnings, ElementsAre(HasSubstr("ulimit nofile")));
  in.host.resources.ulimits = {{"nonsense", 1, 1}};
  EXPECT_EQ(generate(in).error().message, "invalid ulimit type: nonsense");
}

TEST(Generate, SysctlsMustBeNamespaced) {
  auto in = plain();
  in.host.sysctls = {{"net.core.somaxconn", "128"}, {"kernel.shmmax", "1000"}};
  EXPECT_EQ(spec_of(in).linux.sysctl.at("net.core.somaxconn"), "128");
  in.host.sysctls = {{"vm.swappiness", "1"}};
  EXPECT_THAT(generate(in).error().message, HasSubstr("not in a separate kernel namespace"));
  in.host.sysctls = {{"net.core.somaxconn", "128"}};
  in.network_host = true;
  EXPECT_THAT(generate(in).error().message, HasSubstr("host network namespace"));
}

TEST(ExecProcess, TakesTheContainersPlaceAndItsOwnUser) {
  const auto container = spec_of(plain());
  ExecRequest request;
  request.cmd.items = {"id"};
  request.user = "daemon";
  request.env = {"A=2"};
  request.tty = true;
  const auto got = exec_process(container, request);
  ASSERT_TRUE(got);
  EXPECT_THAT(got->args, ElementsAre("id"));
  EXPECT_EQ(got->user.username, "daemon");
  EXPECT_THAT(got->env, IsSupersetOf({"A=2", "TERM=xterm", "HOSTNAME=web"}));
  EXPECT_EQ(got->capabilities->bounding, container.process.capabilities->bounding);
  request.privileged = true;
  EXPECT_EQ(exec_process(container, request)->capabilities->bounding, all_capabilities());
  request.cmd.items.clear();
  EXPECT_EQ(exec_process(container, request).error().message, "No exec command specified");
}

}  // namespace
}  // namespace coracle
