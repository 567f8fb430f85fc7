#include "engine/spec/cdi.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::ElementsAre;

cdi::Spec vendor(const std::string& value) {
  cdi::Spec s{"0.6.0", "vendor.com/gpu", {}, {}};
  cdi::Device d{"0", {}};
  d.edits.env = {"GPU=" + value};
  d.edits.device_nodes = {{"/dev/gpu0", "", "", "rw"}};
  s.devices = {d, {"1", {}}};
  s.edits.env = {"VENDOR=1"};
  s.edits.mounts = {{"/opt/lib", "/usr/lib/vendor", "", {}}};
  s.edits.additional_gids = {44};
  return s;
}

TEST(Cdi, GivesWhatADeviceNeedsAndTheSpecsOwnOnce) {
  GenerateInput in;
  ASSERT_TRUE(cdi::inject({vendor("a")}, {"vendor.com/gpu=0", "vendor.com/gpu=1"}, in));
  EXPECT_THAT(in.config.env, ElementsAre("GPU=a", "VENDOR=1"));
  ASSERT_EQ(in.devices.size(), 1U);
  EXPECT_EQ(in.devices[0].host_path, "/dev/gpu0");
  ASSERT_EQ(in.more_mounts.size(), 1U);
  EXPECT_THAT(in.more_mounts[0].options, testing::Contains("ro"));
  EXPECT_THAT(in.more_gids, ElementsAre(44U));
}

TEST(Cdi, TakesTheLaterDirectorysDevice) {
  GenerateInput in;
  ASSERT_TRUE(cdi::inject({vendor("a"), vendor("b")}, {"vendor.com/gpu=0"}, in));
  EXPECT_THAT(in.config.env, ElementsAre("GPU=b", "VENDOR=1"));
}

TEST(Cdi, NamesWhatItCannotResolve) {
  GenerateInput in;
  EXPECT_EQ(cdi::inject({vendor("a")}, {"vendor.com/gpu=0", "vendor.com/gpu=9", "x.y/z=0"}, in)
                .error()
                .message,
            "CDI device injection failed: unresolvable CDI devices vendor.com/gpu=9, x.y/z=0");
  EXPECT_TRUE(in.config.env.empty());
}

TEST(Cdi, KnowsAQualifiedName) {
  for (const char* good : {"vendor.com/class=0", "a/b=c", "nvidia.com/gpu=mig1:0"})
    EXPECT_TRUE(cdi::is_qualified_name(good)) << good;
  for (const char* bad : {"", "/dev/null", "vendor.com/class", "a=b", "a/=b", "a/b=", "/b=c"})
    EXPECT_FALSE(cdi::is_qualified_name(bad)) << bad;
}

}  // namespace
}  // namespace coracle
