#include "engine/container/mounts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::HasSubstr;

TEST(Mounts, BindsAreTakenApart) {
  const auto bind = parse_bind("/src/./x:/dst/:ro,z");
  ASSERT_TRUE(bind);
  EXPECT_EQ(bind->type, "bind");
  EXPECT_EQ(bind->source, "/src/x");
  EXPECT_EQ(bind->destination, "/dst");
  EXPECT_FALSE(bind->rw);
  EXPECT_TRUE(bind->create_source);
  const auto named = parse_bind("data:/dst:nocopy");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->type, "volume");
  EXPECT_EQ(named->name, "data");
  EXPECT_TRUE(named->no_copy);
  EXPECT_TRUE(parse_bind("/only")->anonymous);
}

TEST(Mounts, BadBindsAreNamed) {
  for (const char* bad : {"", ":", "a:", "/a:b", "/a:/", "/a:/b:ro:x", "/a:/b:odd", "x:/b"}) {
    const auto r = parse_bind(bad);
    ASSERT_FALSE(r) << bad;
    EXPECT_EQ(r.error().code, Errc::invalid_argument) << bad;
  }
  EXPECT_THAT(parse_bind("../x:/b").error().message,
              HasSubstr("includes invalid characters for a local volume name"));
}

TEST(Mounts, ADestinationIsTakenOnce) {
  HostConfig host;
  host.binds = {"/a:/data", "/b:/data/"};
  EXPECT_EQ(plan_mounts(host, {}).error().message, "Duplicate mount point: /data");
}

TEST(Mounts, VolumesOfTheImageGiveWayToWhatWasAskedFor) {
  HostConfig host;
  host.binds = {"/a:/data"};
  ContainerConfig config;
  config.volumes["/data"];
  config.volumes["/more"];
  const auto all = plan_mounts(host, config);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].type, "bind");
  EXPECT_EQ((*all)[1].destination, "/more");
  EXPECT_TRUE((*all)[1].anonymous);
}

TEST(Mounts, OptionsOfAnotherTypeAreRefused) {
  HostConfig host;
  MountRequest m;
  m.type = "bind";
  m.source = "/a";
  m.target = "/b";
  m.volume = VolumeOptions{};
  host.mounts = {m};
  EXPECT_EQ(plan_mounts(host, {}).error().message,
            "invalid mount config for type \"bind\": field VolumeOptions must not be specified");
}

TEST(Mounts, TmpfsHasItsOptions) {
  HostConfig host;
  host.tmpfs["/run"] = "size=64k,exec";
  MountRequest m;
  m.type = "tmpfs";
  m.target = "/tmp";
  m.tmpfs = TmpfsOptions{};
  m.tmpfs->size_bytes = 1024;
  m.tmpfs->mode = 0700;
  host.mounts = {m};
  const auto all = plan_mounts(host, {});
  ASSERT_TRUE(all);
  EXPECT_THAT((*all)[0].options, testing::ElementsAre("size=1024", "mode=700"));
  EXPECT_THAT((*all)[1].options, testing::ElementsAre("size=64k", "exec"));
}

}  // namespace
}  // namespace coracle
