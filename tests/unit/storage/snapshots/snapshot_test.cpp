#include "storage/snapshots/snapshot.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "storage/archive/unpack.hpp"
#include "storage/snapshots/root_dir.hpp"
#include "storage/snapshots/tar_tree.hpp"
#include "storage/snapshots/writable_layers.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

// Two layers: top hides base/gone, and everything that base has in dir.
void make_layers(const std::string& layers) {
  for (const char* dir : {"/b/diff/dir", "/b/diff/deep/er", "/t/diff/dir"}) mkdirs(layers + dir);
  for (const char* file : {"/b/diff/gone", "/b/diff/kept", "/b/diff/dir/old", "/b/diff/deep/er/f"})
    put(layers + file, "base");
  put(layers + "/t/diff/dir/new", "top");
  put(layers + "/t/diff/kept", "top");
  ASSERT_EQ(0, ::mknod((layers + "/t/diff/gone").c_str(), S_IFCHR, 0));
  ASSERT_EQ(0, ::setxattr((layers + "/t/diff/dir").c_str(), "user.overlay.opaque", "y", 1, 0));
  ASSERT_EQ(0, ::chmod((layers + "/t/diff").c_str(), 0751));
}

// Does what the monitor does with a plan.
Result<> mount_plan(const MountPlan& plan, const std::string& at) {
  std::string lower;
  for (const auto& l : plan.lower) lower += (lower.empty() ? "" : ":") + l;
  if (plan.type == "bind") {
    if (::mount(lower.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return sys_error("bind");
    return {};
  }
  const std::string options =
      "lowerdir=" + lower + ",upperdir=" + plan.upper + ",workdir=" + plan.work;
  if (plan.type == "overlay") {
    if (::mount("overlay", at.c_str(), "overlay", 0, (options + ",userxattr").c_str()) != 0)
      return sys_error("mount");
    return {};
  }
  SpawnOptions spawning;
  spawning.program = plan.program;
  spawning.argv = {"fuse-overlayfs", "-o", options, at};
  TRY(const auto process, spawn(spawning));
  TRY(const auto status, process.wait());
  if (status.code != 0) return fail(Errc::internal, "fuse-overlayfs ended with {}", status.code);
  return {};
}

class EveryDriver : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NEEDS_NAMESPACE();
    const auto choice = choose_driver(scratch.path(), GetParam());
    if (!choice) GTEST_SKIP() << choice.error().message;
    driver = choice->driver;
    make_layers(scratch / "layers");
    mkdirs(scratch / "merged");
    layers = std::make_unique<WritableLayers>(workers, trash, driver, scratch / "containers",
                                              scratch / "layers");
    ASSERT_TRUE(layers->load());
  }
  void TearDown() override {
    ::umount2((scratch / "merged").c_str(), MNT_DETACH);
    run(io, trash.close());
  }

  Scratch scratch;
  asio::io_context io;
  Workers workers{io, 2};
  Trash trash{io, workers, scratch / "trash"};
  std::shared_ptr<const SnapshotDriver> driver;
  std::unique_ptr<WritableLayers> layers;
};

TEST_P(EveryDriver, ShowsTheMergedTreeAndKeepsWhatIsWritten) {
  const auto made = run(io, layers->create("c1", "sha256:i", {"sha256:t", "sha256:b"}));
  ASSERT_TRUE(made) << made.error().message;
  const auto plan = layers->plan("c1");
  ASSERT_TRUE(plan);
  const std::string at = scratch / "merged";
  for (int round = 0; round < 2; ++round) {
    const auto mounted = mount_plan(*plan, at);
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(names(at), round == 0 ? "deep dir kept" : "deep dir mine");
    if (round == 0) {
      struct stat st {};
      ASSERT_EQ(0, ::stat(at.c_str(), &st));
      EXPECT_EQ(st.st_mode & 07777, 0755U);  // whatever the image's layers have
      EXPECT_EQ(get(at + "/kept"), "top");
      EXPECT_EQ(get(at + "/deep/er/f"), "base");
      EXPECT_EQ(names(at + "/dir"), "new");
      put(at + "/mine", "x");
      ASSERT_EQ(0, ::unlink((at + "/kept").c_str()));
      ASSERT_EQ(0, ::unlink((at + "/dir/new").c_str()));
      ASSERT_EQ(0, ::rmdir((at + "/dir").c_str()));
      ASSERT_EQ(0, ::mkdir((at + "/dir").c_str(), 0755));
    }
    EXPECT_EQ(names(at + "/dir"), "");
    EXPECT_EQ(get(at + "/mine"), "x");
    ASSERT_EQ(0, ::umount2(at.c_str(), MNT_DETACH));
  }
  // The image's own layers are as they were.
  EXPECT_EQ(get(scratch / "layers/t/diff/kept"), "top");
  EXPECT_EQ(get(scratch / "layers/t/diff/dir/new"), "top");
}

TEST_P(EveryDriver, MountsAnImageWithoutLayers) {
  ASSERT_TRUE(run(io, layers->create("c1", "sha256:i", {})));
  const auto plan = layers->plan("c1");
  ASSERT_TRUE(plan);
  const auto mounted = mount_plan(*plan, scratch / "merged");
  ASSERT_TRUE(mounted) << mounted.error().message;
  EXPECT_EQ(names(scratch / "merged"), "");
}

TEST_P(EveryDriver, ForgetsALayerThatIsRemovedAndFindsTheOthersAgain) {
  ASSERT_TRUE(run(io, layers->create("c1", "sha256:i", {"sha256:t", "sha256:b"})));
  ASSERT_TRUE(run(io, layers->create("c2", "sha256:j", {"sha256:b"})));
  const auto twice = run(io, layers->create("c2", "sha256:j", {"sha256:b"}));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Errc::conflict);
  ASSERT_TRUE(run(io, layers->remove("c1")));
  EXPECT_FALSE(layers->plan("c1"));
  mkdirs(scratch / "containers/.new-c9");
  mkdirs(scratch / "containers/c8");
  put(scratch / "containers/c8/layer.json", "{\"image_id\":");

  WritableLayers again(workers, trash, driver, scratch / "containers", scratch / "layers");
  const auto damaged = again.load();
  ASSERT_TRUE(damaged);
  ASSERT_EQ(damaged->size(), 1U);
  EXPECT_NE(damaged->front().path.find("c8/layer.json"), std::string::npos);
  EXPECT_EQ(again.ids(), std::vector<std::string>{"c2"});
  EXPECT_EQ(again.image_of("c2").value_or(""), "sha256:j");
  EXPECT_EQ(again.chain_ids_in_use(), std::vector<std::string>{"sha256:b"});
  EXPECT_EQ(names(scratch / "containers"), "c2 c8");
}

TEST_P(EveryDriver, KeepsWhatAContainerMadeOfItsOwnRoot) {
  const auto root_of = [&](const std::string& id, std::vector<std::string> chain) {
    EXPECT_TRUE(run(io, layers->create(id, "sha256:i", std::move(chain))));
    const auto source = layers->diff_source(id);
    EXPECT_TRUE(source);
    return source ? (source->upper.empty() ? source->copy : source->upper) : "";
  };
  const auto mode_of = [](const std::string& path) {
    struct stat st {};
    EXPECT_EQ(0, ::stat(path.c_str(), &st)) << path;
    return st.st_mode & 07777;
  };
  // A commit of `id` becomes the layer `name`.
  const auto commit = [&](const std::string& id, const std::string& name) {
    std::string tar;
    const auto to = [&tar](std::string_view bytes) -> Result<> {
      tar += bytes;
      return {};
    };
    EXPECT_TRUE(write_diff(*layers->diff_source(id), to));
    mkdirs(scratch / ("layers/" + name + "/diff"));
    const auto directory = open_dir(scratch / ("layers/" + name + "/diff"));
    TextSource from(tar);
    EXPECT_TRUE(unpack(from, *directory, {}));
  };
  const auto first = root_of("c1", {"sha256:t", "sha256:b"});
  EXPECT_EQ(mode_of(first), 0755U);
  EXPECT_FALSE(changed_root(*layers->diff_source("c1")).value());
  ASSERT_EQ(0, ::chmod(first.c_str(), 01700));
  EXPECT_TRUE(changed_root(*layers->diff_source("c1")).value());
  commit("c1", "k");
  const auto second = root_of("c2", {"sha256:k", "sha256:t", "sha256:b"});
  EXPECT_EQ(mode_of(second), 01700U);
  EXPECT_FALSE(changed_root(*layers->diff_source("c2")).value());
  // A layer above that says nothing of it changes nothing.
  EXPECT_EQ(mode_of(root_of("c3", {"sha256:t", "sha256:k", "sha256:b"})), 01700U);
  ASSERT_EQ(0, ::chmod(second.c_str(), 0755));
  commit("c2", "l");
  EXPECT_EQ(mode_of(root_of("c4", {"sha256:l", "sha256:k", "sha256:t", "sha256:b"})), 0755U);
}

TEST(OverlayPlan, OfFiveHundredLayersCanBeMounted) {
  NEEDS_NAMESPACE();
  const Scratch scratch;
  if (const auto choice = choose_driver(scratch.path(), "overlay"); !choice)
    GTEST_SKIP() << choice.error().message;
  std::vector<std::string> lower;
  for (int i = 0; i < 500; ++i) {
    lower.push_back(scratch / ("layers/" + std::string(64, 'a') + std::to_string(i) + "/diff"));
    mkdirs(lower.back());
  }
  put(lower.front() + "/top", "1");
  put(lower.back() + "/bottom", "2");
  const auto driver = make_overlay_driver();
  mkdirs(scratch / "c");
  mkdirs(scratch / "merged");
  ASSERT_TRUE(driver->prepare(scratch / "c", lower));
  const auto plan = driver->plan(scratch / "c", lower);

  const UniqueFd fs(::fsopen("overlay", FSOPEN_CLOEXEC));
  ASSERT_TRUE(fs);
  const auto set = [&fs](const char* key, const std::string& value) {
    return ::fsconfig(fs.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0);
  };
  if (set("lowerdir+", plan.lower.front()) != 0) GTEST_SKIP() << "lowerdir+ needs Linux 6.5";
  for (std::size_t i = 1; i < plan.lower.size(); ++i)
    ASSERT_EQ(0, set("lowerdir+", plan.lower[i])) << i;
  ASSERT_EQ(0, set("upperdir", plan.upper));
  ASSERT_EQ(0, set("workdir", plan.work));
  ASSERT_EQ(0, ::fsconfig(fs.get(), FSCONFIG_SET_FLAG, "userxattr", nullptr, 0));
  ASSERT_EQ(0, ::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
  const UniqueFd mount(::fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  ASSERT_TRUE(mount);
  ASSERT_EQ(0, ::move_mount(mount.get(), "", AT_FDCWD, (scratch / "merged").c_str(),
                            MOVE_MOUNT_F_EMPTY_PATH));
  EXPECT_EQ(names(scratch / "merged"), "bottom top");
  EXPECT_EQ(0, ::umount2((scratch / "merged").c_str(), MNT_DETACH));
}

INSTANTIATE_TEST_SUITE_P(Drivers, EveryDriver, testing::Values("overlay", "fuse-overlayfs", "copy"),
                         [](const auto& driver) {
                           std::string name = driver.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(ChooseDriver, SaysWhatItTriedAndLeavesNothingBehind) {
  NEEDS_NAMESPACE();
  const Scratch scratch;
  const auto choice = choose_driver(scratch.path(), "auto");
  ASSERT_TRUE(choice);
  ASSERT_FALSE(choice->status.empty());
  EXPECT_EQ(choice->status.front().first, "Backing Filesystem");
  EXPECT_EQ(names(scratch / "tmp"), "");
  EXPECT_EQ(get("/proc/self/mountinfo").find(scratch.path()), std::string::npos);
}

TEST(ChooseDriver, NamesTheDriversWhenItDoesNotKnowOne) {
  const Scratch scratch;
  const auto choice = choose_driver(scratch.path(), "zfs");
  ASSERT_FALSE(choice);
  EXPECT_NE(choice.error().message.find("fuse-overlayfs"), std::string::npos);
}

TEST(ChooseDriver, TakesTheNamesOfOtherEngines) {
  const auto vfs = driver_by_name("vfs");
  ASSERT_TRUE(vfs);
  EXPECT_STREQ((*vfs)->name(), "copy");
  const auto overlay2 = driver_by_name("overlay2");
  ASSERT_TRUE(overlay2);
  EXPECT_STREQ((*overlay2)->name(), "overlay");
}

TEST(ChooseDriver, SaysWhyADriverThatIsAskedForCannotBeUsed) {
  if (why_no_namespace().empty()) {
    // In a namespace the overlay works; on procfs it cannot even make its directories.
    const auto works = make_overlay_driver()->probe("/proc/self");
    ASSERT_FALSE(works);
    EXPECT_NE(works.error().message.find("/proc/self/base"), std::string::npos);
    return;
  }
  const Scratch scratch;
  const auto choice = choose_driver(scratch.path(), "overlay");
  ASSERT_FALSE(choice);
  EXPECT_NE(choice.error().message.find("\"auto\""), std::string::npos);
}

}  // namespace
}  // namespace coracle::storage
