#include "engine/runtime/privileges.hpp"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/file.hpp"

namespace coracle::runtime {
namespace {

TEST(CapabilityNumber, CountsAsTheKernelDoes) {
  EXPECT_EQ(capability_number("CAP_CHOWN"), CAP_CHOWN);
  EXPECT_EQ(capability_number("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
  EXPECT_EQ(capability_number("CAP_AUDIT_READ"), CAP_AUDIT_READ);
  EXPECT_EQ(capability_number("CAP_CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
  EXPECT_FALSE(capability_number("CHOWN"));
  EXPECT_FALSE(capability_number("CAP_FLY"));
}

TEST(LastCapability, IsTheOneThatTheKernelNames) {
  const auto text = read_file("/proc/sys/kernel/cap_last_cap", 64);
  if (!text) GTEST_SKIP() << "no /proc/sys/kernel/cap_last_cap";
  EXPECT_EQ(last_capability(), std::stoi(*text));
}

// In a process of its own: what is dropped stays dropped.
TEST(LimitBoundingSet, LeavesWhatIsWantedAlone) {
  const auto limited = [] {
    CapabilitySets sets;
    sets.bounding = std::uint64_t{1} << CAP_CHOWN | std::uint64_t{1} << CAP_KILL;
    if (::unshare(CLONE_NEWUSER) != 0) return 77;  // with all capabilities there
    if (!limit_bounding_set(sets) || !limit_bounding_set(sets)) return 1;
    for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) {
      const int left = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
      if (left >= 0 && left != static_cast<int>(sets.bounding >> cap & 1U)) return 2;
    }
    return 0;
  };
  const pid_t child = ::fork();
  if (child == 0) ::_exit(limited());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no user namespaces";
  EXPECT_EQ(status, 0);
}

TEST(CapabilitySets, AreEmptyWithoutAny) {
  EXPECT_EQ(*capability_sets(std::nullopt, CAP_LAST_CAP), CapabilitySets{});
}

TEST(CapabilitySets, HoldAmbientOnesThatAreInheritableAndPermitted) {
  const oci::Capabilities wanted{
      {"CAP_KILL"}, {}, {"CAP_KILL"}, {"CAP_KILL", "CAP_CHOWN"}, {"CAP_KILL", "CAP_CHOWN"}};
  EXPECT_EQ(capability_sets(wanted, CAP_LAST_CAP)->ambient, std::uint64_t{1} << CAP_KILL);
}

TEST(CapabilitySets, LeaveOutWhatTheKernelDoesNotHave) {
  const oci::Capabilities wanted{{"CAP_CHOWN", "CAP_BPF"}, {}, {}, {}, {}};
  EXPECT_EQ(capability_sets(wanted, CAP_AUDIT_READ)->bounding, std::uint64_t{1} << CAP_CHOWN);
}

TEST(CapabilitySets, RefuseUnknownNames) {
  EXPECT_EQ(
      capability_sets(oci::Capabilities{{"CAP_FLY"}, {}, {}, {}, {}}, CAP_LAST_CAP).error().code,
      Errc::invalid_argument);
}

}  // namespace
}  // namespace coracle::runtime
