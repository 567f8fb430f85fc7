#include "engine/spec/capabilities.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

TEST(ContainerCapabilities, DefaultIsDockersListOfFourteen) {
  const auto got = container_capabilities({});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(*got, testing::UnorderedElementsAre(
                        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
                        "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
                        "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"));
}

TEST(ContainerCapabilities, DropAllLeavesOnlyWhatIsAdded) {
  HostConfig host;
  host.cap_drop.items = {"all"};
  host.cap_add.items = {"net_admin", "CAP_CHOWN"};
  EXPECT_THAT(*container_capabilities(host), ElementsAre("CAP_NET_ADMIN", "CAP_CHOWN"));
}

TEST(ContainerCapabilities, AddAllButWhatIsDropped) {
  HostConfig host;
  host.cap_add.items = {"ALL"};
  host.cap_drop.items = {"SYS_ADMIN"};
  const auto got = *container_capabilities(host);
  EXPECT_THAT(got, Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_EQ(got.size(), all_capabilities().size() - 1);
}

TEST(ContainerCapabilities, AnUnknownNameIsRefusedWithDockersText) {
  HostConfig host;
  host.cap_add.items = {"FOO"};
  const auto got = container_capabilities(host);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::invalid_argument);
  EXPECT_EQ(got.error().message, "invalid CapAdd: unknown capability: \"CAP_FOO\"");
}

TEST(ContainerCapabilities, PrivilegedHasAll) {
  HostConfig host;
  host.privileged = true;
  host.cap_drop.items = {"CHOWN"};
  EXPECT_EQ(*container_capabilities(host), all_capabilities());
}

}  // namespace
}  // namespace coracle
