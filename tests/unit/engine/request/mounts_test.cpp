#include "engine/request/mounts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/request/mount_request.hpp"

namespace coracle {
namespace {

using testing::HasSubstr;

TEST(Mounts, BindsAreTakenApart) {
  const auto bind = parse_bind("/src/./x:/dst/:ro,z");
  ASSERT_TRUE(bind);
  EXPECT_EQ(bind->type, MountType::bind);
  EXPECT_EQ(bind->source, "/src/x");
  EXPECT_EQ(bind->destination, "/dst");
  EXPECT_FALSE(bind->rw);
  EXPECT_TRUE(bind->create_source);
  const auto named = parse_bind("data:/dst:nocopy");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->type, MountType::volume);
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
  EXPECT_EQ((*all)[0].type, MountType::bind);
  EXPECT_EQ((*all)[1].destination, "/more");
  EXPECT_TRUE((*all)[1].anonymous);
}

TEST(Mounts, ARelativeVolumeOfAnImageIsMeantFromTheRoot) {
  HostConfig host;
  host.binds = {"name:/asked"};
  ContainerConfig config;
  for (const char* path : {"data", "./data/sub/../more/", "asked", "with:colon", "../up"})
    config.volumes[path];
  const auto all = plan_mounts(host, config);
  ASSERT_TRUE(all) << all.error().message;
  std::vector<std::string> places;
  for (const auto& m : *all) places.push_back(m.destination);
  EXPECT_THAT(places,
              testing::UnorderedElementsAre("/asked", "/data", "/data/more", "/with:colon", "/up"));
  EXPECT_EQ(all->front().name, "name");
  for (const char* path : {"", ".", "x/..", "proc", "./sys/firmware"}) {
    ContainerConfig bad;
    bad.volumes[path];
    EXPECT_EQ(plan_mounts({}, bad).error().code, Errc::invalid_argument) << path;
  }
}

TEST(Mounts, AnImageCoversNothingThatTheKernelShows) {
  for (const char* path : {"/proc", "/proc/sys", "/sys", "/sys/firmware", "/x/../proc/acpi"}) {
    ContainerConfig config;
    config.volumes[path];
    EXPECT_EQ(plan_mounts({}, config).error().code, Errc::invalid_argument) << path;
  }
  ContainerConfig config;
  config.volumes["/sys/fs/cgroup"];  // images with systemd
  config.volumes["/system"];
  EXPECT_TRUE(plan_mounts({}, config));
}

TEST(Mounts, SaysOnAHostWithSelinuxThatNoLabelIsSet) {
  HostConfig host;
  host.security_opt = {"label=level:s0:c1", "label:disable"};
  host.binds = {"/a:/data:z", "/b:/more:ro", "volume:/volume:Z"};
  const auto mounts = plan_mounts(host, {});
  ASSERT_TRUE(mounts);
  const auto warnings = label_warnings(host, *mounts, true);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_NE(warnings[0].find("label=level:s0:c1"), std::string::npos);
  EXPECT_NE(warnings[1].find("z on /data"), std::string::npos);
  EXPECT_TRUE(label_warnings(host, *mounts, false).empty());
}

TEST(Mounts, TheLastOfInheritedMountsCountsAndWhatIsAskedForCoversThem) {
  HostConfig host;
  host.binds = {"/a:/bound"};
  ContainerConfig config;
  config.volumes["/data"];
  std::vector<MountRecord> inherited(3);
  inherited[0].type = inherited[1].type = inherited[2].type = MountType::volume;
  inherited[0].destination = inherited[1].destination = "/data";
  inherited[0].name = "first";
  inherited[1].name = "last";
  inherited[2].destination = "/bound";
  const auto all = plan_mounts(host, config, inherited);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].source, "/a");
  EXPECT_EQ((*all)[1].name, "last");
}

TEST(Mounts, WhatIsTakenFromAnotherContainer) {
  EXPECT_TRUE(parse_volumes_from("web")->rw);
  EXPECT_FALSE(parse_volumes_from("web:ro,z")->rw);
  EXPECT_EQ(parse_volumes_from("web:odd").error().message, "invalid mode: odd");
  EXPECT_EQ(parse_volumes_from("web:rslave").error().message, "invalid mode: rslave");
  ContainerRecord from;
  from.host.tmpfs["/short"] = "";
  from.mounts.resize(2);
  from.mounts[0].type = from.mounts[1].type = MountType::tmpfs;
  from.mounts[0].destination = "/short";
  from.mounts[1].destination = "/long";
  const auto all = inherited_mounts(from, false);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].destination, "/long");
  EXPECT_FALSE(all[0].rw);
}

TEST(Mounts, ModesHaveOneWordOfAKind) {
  for (const char* good : {"", "ro", "rw,z", "Z,rslave,ro", "nocopy,cached"})
    EXPECT_TRUE(parse_mount_mode(good)) << good;
  for (const char* bad : {"ro,rw", "z,Z", "shared,slave", "odd", "ro,", ","})
    EXPECT_EQ(parse_mount_mode(bad).error().message, std::string("invalid mode: ") + bad);
}

TEST(Mounts, SubpathsStayInside) {
  MountRequest m;
  m.type = "volume";
  m.source = "data";
  m.target = "/x";
  m.volume.emplace();
  for (const char* good : {"a", "a/b", "a/../b", "./a", "a/"}) {
    m.volume->subpath = good;
    EXPECT_TRUE(read_mount_request(m)) << good;
  }
  for (const char* bad : {"/a", "..", "a/../../b", "../a"}) {
    m.volume->subpath = bad;
    EXPECT_THAT(read_mount_request(m).error().message, HasSubstr("must be a relative path")) << bad;
  }
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
  EXPECT_THAT((*all)[0].options, testing::ElementsAre("mode=700", "size=1024"));
  EXPECT_THAT((*all)[1].options, testing::ElementsAre("size=64k", "exec"));
}

}  // namespace
}  // namespace coracle
