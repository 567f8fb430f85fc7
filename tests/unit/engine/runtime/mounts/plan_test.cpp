#include "engine/runtime/mounts/plan.hpp"

#include <sys/mount.h>

#include <gtest/gtest.h>

namespace coracle::runtime {
namespace {

Result<Plan> plan_of(const oci::Mount& mount) {
  oci::Spec spec;
  spec.mounts.push_back(mount);
  return make_plan(spec);
}

TEST(MakePlan, SplitsOptionsIntoAttributesAndData) {
  const auto plan = plan_of({"/dev/shm/", "tmpfs", "shm", {"nosuid", "noexec", "ro", "mode=1777"}});
  ASSERT_TRUE(plan);
  const auto& m = plan->mounts.at(0);
  EXPECT_EQ(m.destination, "/dev/shm");
  EXPECT_EQ(m.change.set, std::uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY});
  EXPECT_TRUE(m.read_only());
  EXPECT_EQ(m.data, (std::vector<FsOption>{{"mode", "1777"}}));
}

TEST(MakePlan, LetsALaterOptionWin) {
  const auto plan = plan_of({"/x", "tmpfs", "t", {"ro", "noexec", "rw", "exec", "noatime"}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mounts.at(0).change.set, std::uint64_t{MOUNT_ATTR_NOATIME});
  EXPECT_FALSE(plan->mounts.at(0).read_only());
}

TEST(MakePlan, TellsRecursiveOptionsFromPlainOnes) {
  const auto plan = plan_of({"/x", "bind", "/y", {"rbind", "rro", "nosuid", "rslave"}});
  ASSERT_TRUE(plan);
  const auto& m = plan->mounts.at(0);
  EXPECT_TRUE(m.bind);
  EXPECT_TRUE(m.recursive);
  EXPECT_EQ(m.change_recursive.set, std::uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(m.change.set, std::uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID});
  EXPECT_EQ(m.change.propagation, std::uint64_t{MS_SLAVE});
  EXPECT_TRUE(m.recursive_propagation);
}

TEST(MakePlan, RefusesPlacesAndSourcesThatAreNoAbsolutePaths) {
  EXPECT_FALSE(plan_of({"x", "tmpfs", "t", {}}));
  EXPECT_FALSE(plan_of({"/", "tmpfs", "t", {}}));
  EXPECT_FALSE(plan_of({"/a/..", "tmpfs", "t", {}}));
  EXPECT_FALSE(plan_of({"/x", "bind", "y", {}}));
  EXPECT_FALSE(plan_of({"/x", "bind", "", {}}));
  EXPECT_EQ(plan_of({"/x", "bind", "/y", {"idmap"}}).error().code, Errc::unsupported);
}

TEST(MakePlan, LeavesADevThatWasBoundAlone) {
  EXPECT_FALSE(plan_of({"/dev", "bind", "/dev", {"rbind"}})->own_dev);
  EXPECT_TRUE(plan_of({"/dev", "tmpfs", "tmpfs", {}})->own_dev);
}

TEST(MakePlan, KnowsTheRootsPropagation) {
  oci::Spec spec;
  EXPECT_EQ(make_plan(spec)->root_propagation, std::uint64_t{MS_PRIVATE});
  spec.linux.rootfs_propagation = "rslave";
  EXPECT_EQ(make_plan(spec)->root_propagation, std::uint64_t{MS_SLAVE});
  spec.linux.rootfs_propagation = "sideways";
  EXPECT_EQ(make_plan(spec).error().code, Errc::invalid_argument);
}

TEST(MakePlan, TakesAnImageForItsLayersAndMaybeAPartOfThem) {
  oci::Spec spec;
  spec.mounts = {{"/img",
                  "overlay",
                  "overlay",
                  {"ro", "lowerdir+=/a", "lowerdir+=/b", "coracle.subpath=etc/x"}}};
  const auto plan = make_plan(spec);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto& m = plan->mounts.front();
  EXPECT_FALSE(m.bind);
  EXPECT_TRUE(m.read_only());
  EXPECT_EQ(m.layers(), (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(m.subpath, "etc/x");
}

}  // namespace
}  // namespace coracle::runtime
