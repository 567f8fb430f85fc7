#include "engine/base/path.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;

TEST(OpenInRoot, FollowsAbsoluteLinksInsideTheRoot) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "root/etc"));
  ASSERT_TRUE(write_file_atomic(s / "root/etc/passwd", "inside"));
  ASSERT_EQ(::symlink("/etc/passwd", (s / "root/link").c_str()), 0);
  const auto root = open_dir(s / "root");
  ASSERT_TRUE(root);
  const auto fd = open_in_root(*root, "/link", O_RDONLY);
  ASSERT_TRUE(fd) << fd.error().message;
  EXPECT_EQ(read_all(*fd, 100), "inside");
}

TEST(OpenInRoot, DotDotStaysInside) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "root"));
  ASSERT_TRUE(write_file_atomic(s / "outside", "secret"));
  const auto root = open_dir(s / "root");
  const auto fd = open_in_root(*root, "../../outside", O_RDONLY);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Errc::not_found);
}

TEST(OpenInRoot, ALoopOfLinksIsInvalid) {
  const Scratch s;
  ASSERT_EQ(::symlink("b", (s / "a").c_str()), 0);
  ASSERT_EQ(::symlink("a", (s / "b").c_str()), 0);
  const auto root = open_dir(s.path());
  EXPECT_EQ(open_in_root(*root, "a", O_RDONLY).error().code, Errc::invalid_argument);
}

TEST(MakeDirsInRoot, MakesThemThroughLinksBelowTheRoot) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "root/real"));
  ASSERT_EQ(::symlink("/real", (s / "root/link").c_str()), 0);
  const auto root = open_dir(s / "root");
  ASSERT_TRUE(make_dirs_in_root(*root, "/link/a/b", 0755));
  EXPECT_TRUE(exists(s / "root/real/a/b"));
}

TEST(OpenParentInRoot, RefusesNamesThatAreNoEntry) {
  const Scratch s;
  const auto root = open_dir(s.path());
  EXPECT_FALSE(open_parent_in_root(*root, "/"));
  EXPECT_FALSE(open_parent_in_root(*root, "a/.."));
  const auto ok = open_parent_in_root(*root, "/x/");
  ASSERT_TRUE(ok) << ok.error().message;
  EXPECT_EQ(ok->name, "x");
}

TEST(CleanPath, ResolvesDotsAndDoubledSlashes) {
  EXPECT_EQ(clean_path("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(clean_path("/a/../../b"), "/b");
  EXPECT_EQ(clean_path("a/../../b"), "../b");
  EXPECT_EQ(clean_path("/"), "/");
  EXPECT_EQ(clean_path(""), ".");
}

TEST(ParentPath, AndBaseName) {
  EXPECT_EQ(parent_path("/a/b"), "/a");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(base_name("/a/b/"), "b");
  EXPECT_EQ(base_name("/"), "/");
  EXPECT_EQ(join_path("/a/", "/b"), "/a/b");
}

}  // namespace
}  // namespace coracle
