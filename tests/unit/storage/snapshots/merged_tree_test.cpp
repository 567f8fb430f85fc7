#include "storage/snapshots/merged_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "storage/snapshots/copy_tree.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"

namespace coracle::storage {
namespace {

struct stat stat_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(0, ::lstat(path.c_str(), &st)) << path;
  return st;
}

TEST(MergedTree, FollowsLinksAcrossLayersAndNeverOutOfTheRoot) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "a/run/x");
  put(s / "a/run/x/f", "1");
  mkdirs(s / "b/var");
  ASSERT_EQ(0, ::symlink("/run", (s / "b/var/run").c_str()));
  ASSERT_EQ(0, ::symlink("../../../../run", (s / "b/var/up").c_str()));
  ASSERT_EQ(0, ::symlink("loop", (s / "b/loop").c_str()));
  const std::vector<std::string> layers{s / "b", s / "a"};
  for (const char* path : {"/var/run/x", "var/up/x/", "/../run/./x"}) {
    const auto found = lookup_path(layers, path);
    ASSERT_TRUE(found) << path << ": " << found.error().message;
    const auto way = way_from(*found);
    ASSERT_TRUE(way);
    Piece piece("");
    ASSERT_TRUE(list_layers(*way, 0, piece));
    bool more = true;
    const auto list = piece.take(more);
    ASSERT_EQ(list.size(), 1U) << path;
    EXPECT_EQ(list.front().name, "f") << path;
    EXPECT_FALSE(more);
  }
  const auto loop = lookup_path(layers, "/loop");
  ASSERT_FALSE(loop);
  EXPECT_EQ(loop.error().code, Errc::invalid_argument);
  EXPECT_EQ(lookup_path(layers, "/var/run/x/f/g").error().code, Errc::invalid_argument);
  EXPECT_EQ(lookup_path(layers, "/nope").error().code, Errc::not_found);
}

TEST(MergedTree, AFileAboveHidesADirectoryBelowAndTheReverse) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "a/was_dir");
  put(s / "a/was_dir/f", "1");
  put(s / "a/was_file", "1");
  mkdirs(s / "b/was_file");
  put(s / "b/was_dir", "2");
  const std::vector<std::string> layers{s / "b", s / "a"};
  EXPECT_FALSE(lookup_path(layers, "/was_dir/f"));
  const auto dir = lookup_path(layers, "/was_file");
  ASSERT_TRUE(dir);
  EXPECT_EQ(dir->dirs.size(), 1U);
}

TEST(CopyTree, KeepsModesTimesLinksAttributesAndHoles) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "a/d");
  put(s / "a/d/one", "data");
  ASSERT_EQ(0, ::link((s / "a/d/one").c_str(), (s / "a/two").c_str()));
  ASSERT_EQ(0, ::symlink("nowhere", (s / "a/link").c_str()));
  ASSERT_EQ(0, ::mkfifo((s / "a/fifo").c_str(), 0640));
  put(s / "a/suid", "x");
  ASSERT_EQ(0, ::setxattr((s / "a/suid").c_str(), "user.note", "hi", 2, 0));
  {
    const UniqueFd sparse(::open((s / "a/sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(5, ::pwrite(sparse.get(), "hello", 5, 8 << 20));
    ASSERT_EQ(0, ::ftruncate(sparse.get(), 16 << 20));
  }
  if (has_id_range()) {
    ASSERT_EQ(0, ::lchown((s / "a/suid").c_str(), 1000, 33));
    ASSERT_EQ(0, ::lchown((s / "a/link").c_str(), 7, 8));
  }
  ASSERT_EQ(0, ::chmod((s / "a/suid").c_str(), 04711));
  ASSERT_EQ(0, ::chmod((s / "a/d").c_str(), 01777));
  const std::array<timespec, 2> times{timespec{100, 5}, timespec{200, 7}};
  for (const char* name : {"a/suid", "a/d", "a"})
    ASSERT_EQ(0, ::utimensat(AT_FDCWD, (s / name).c_str(), times.data(), 0));
  mkdirs(s / "copy");

  const auto from = open_merged({s / "a"});
  ASSERT_TRUE(from);
  const auto copied = copy_tree(*from, s / "copy");
  ASSERT_TRUE(copied) << copied.error().message;

  EXPECT_EQ(names(s / "copy"), names(s / "a"));
  EXPECT_EQ(stat_of(s / "copy/two").st_ino, stat_of(s / "copy/d/one").st_ino);
  EXPECT_EQ(stat_of(s / "copy/two").st_nlink, 2U);
  EXPECT_TRUE(S_ISLNK(stat_of(s / "copy/link").st_mode));
  EXPECT_EQ(stat_of(s / "copy/fifo").st_mode, S_IFIFO | 0640U);
  EXPECT_EQ(stat_of(s / "copy/suid").st_mode & 07777, 04711U);
  EXPECT_EQ(stat_of(s / "copy/d").st_mode & 07777, 01777U);
  for (const char* name : {"/suid", "/d", ""}) {
    EXPECT_EQ(stat_of(s / ("copy" + std::string(name))).st_mtim.tv_sec, 200) << name;
    EXPECT_EQ(stat_of(s / ("copy" + std::string(name))).st_mtim.tv_nsec, 7) << name;
  }
  std::array<char, 8> value{};
  EXPECT_EQ(2, ::getxattr((s / "copy/suid").c_str(), "user.note", value.data(), value.size()));
  EXPECT_EQ(stat_of(s / "copy/sparse").st_size, 16 << 20);
  EXPECT_LT(stat_of(s / "copy/sparse").st_blocks * 512, 1 << 20);
  EXPECT_EQ(get(s / "copy/sparse"), get(s / "a/sparse"));
  if (!has_id_range()) GTEST_SKIP() << "no id range: owners are not looked at";
  EXPECT_EQ(stat_of(s / "copy/suid").st_uid, 1000U);
  EXPECT_EQ(stat_of(s / "copy/suid").st_gid, 33U);
  EXPECT_EQ(stat_of(s / "copy/link").st_uid, 7U);
}

// Who has the copy's directory can exchange what is in it: a hard link is made to the copy all the
// same, and to nothing else.
TEST(CopyTree, LinksToNothingThatWasPutInItsWay) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "image/a");
  mkdirs(s / "image/m");
  mkdirs(s / "image/z");
  put(s / "image/a/key", "the image's");
  for (int i = 0; i < 400; ++i) put(s / ("image/m/" + std::to_string(i)), "");
  ASSERT_EQ(0, ::link((s / "image/a/key").c_str(), (s / "image/z/loot").c_str()));
  mkdirs(s / "outside");
  put(s / "outside/key", "secret");
  mkdirs(s / "copy");
  const auto from = open_merged({s / "image"});
  ASSERT_TRUE(from);
  std::atomic<bool> over = false;
  std::jthread attacker([&] {
    const std::string a = s / "copy/a";
    while (!over && !exists(s / "copy/m")) {
    }
    static_cast<void>(::rename(a.c_str(), (s / "copy/.x").c_str()));
    static_cast<void>(::symlink((s / "outside").c_str(), a.c_str()));
  });
  static_cast<void>(copy_tree(*from, s / "copy"));
  over = true;
  attacker.join();
  EXPECT_TRUE(S_ISLNK(stat_of(s / "copy/a").st_mode)) << "it was exchanged";
  EXPECT_EQ(stat_of(s / "outside/key").st_nlink, 1U);
  EXPECT_NE(get(s / "copy/z/loot"), "secret");
  EXPECT_FALSE(exists(s / "copy.links"));
}

TEST(CopyTree, LinksMoreFilesThanItHasDescriptors) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "image/a");
  mkdirs(s / "image/b");
  for (int i = 0; i < 300; ++i) {
    const auto name = std::to_string(i);
    put(s / ("image/a/" + name), "x");
    ASSERT_EQ(0, ::link((s / ("image/a/" + name)).c_str(), (s / ("image/b/" + name)).c_str()));
  }
  mkdirs(s / "copy");
  const auto from = open_merged({s / "image"});
  ASSERT_TRUE(from);
  const auto done = copy_tree(*from, s / "copy");
  ASSERT_TRUE(done) << done.error().message;
  for (const char* name : {"0", "77", "299"}) {
    EXPECT_EQ(stat_of(s / ("copy/a/" + std::string(name))).st_ino,
              stat_of(s / ("copy/b/" + std::string(name))).st_ino);
    EXPECT_EQ(stat_of(s / ("copy/a/" + std::string(name))).st_nlink, 2U) << "nothing else is kept";
  }
  EXPECT_EQ(names(s.path()), "copy image");
}

}  // namespace
}  // namespace coracle::storage
