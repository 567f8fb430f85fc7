#include "engine/runtime/privileges.hpp"

#include <linux/capability.h>

#include <gtest/gtest.h>

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
