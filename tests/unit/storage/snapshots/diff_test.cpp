#include "storage/snapshots/diff.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "storage/snapshots/copy_tree.hpp"
#include "storage/snapshots/merged_tree.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"

namespace coracle::storage {
namespace {

std::vector<std::string> told(const DiffSource& source) {
  const auto changes = changes_of(source);
  EXPECT_TRUE(changes) << changes.error().message;
  std::vector<std::string> out;
  if (!changes) return out;
  for (const auto& c : *changes) out.push_back(std::string(1, "CAD"[c.kind]) + " " + c.path);
  return out;
}

using Lines = std::vector<std::string>;

void white_out(const std::string& path) {
  ASSERT_EQ(0, ::mknod(path.c_str(), S_IFCHR, makedev(0, 0))) << path;
}

TEST(Diff, TellsParentsBeforeChildrenAndWhatWasThere) {
  const Scratch s;
  mkdirs(s / "image/etc");
  put(s / "image/etc/passwd", "old");
  put(s / "image/etc/group", "old");
  mkdirs(s / "image/gone/deep");
  mkdirs(s / "upper/etc");
  put(s / "upper/etc/passwd", "new");
  white_out(s / "upper/etc/group");
  white_out(s / "upper/gone");
  white_out(s / "upper/never");
  mkdirs(s / "upper/a/b");
  put(s / "upper/a/b/c", "123");
  DiffSource source;
  source.lower = {s / "image"};
  source.upper = s / "upper";
  EXPECT_EQ(told(source), (Lines{"A /a", "A /a/b", "A /a/b/c", "C /etc", "D /etc/group",
                                 "C /etc/passwd", "D /gone"}));
  const auto usage = usage_of(source);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->bytes, 6);
}

TEST(Diff, LeavesOutWhatTheEngineMakes) {
  const Scratch s;
  mkdirs(s / "image/etc");
  for (const char* dir : {"upper/dev/pts", "upper/dev/shm", "upper/proc", "upper/sys", "upper/etc"})
    mkdirs(s / dir);
  for (const char* file : {"upper/etc/hosts", "upper/etc/hostname", "upper/etc/resolv.conf",
                           "upper/dev/console", "upper/.dockerenv"})
    put(s / file, "");
  DiffSource source;
  source.lower = {s / "image"};
  source.upper = s / "upper";
  EXPECT_EQ(told(source), Lines{});
  put(s / "upper/etc/hosts", "written to before it was covered");
  EXPECT_EQ(told(source), (Lines{"C /etc", "A /etc/hosts"}));
}

TEST(Diff, AnOpaqueDirectoryHidesWhatTheImageHas) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "image/d/sub");
  put(s / "image/d/old", "1");
  put(s / "image/d/sub/old", "1");
  put(s / "image/d/same", "1");
  mkdirs(s / "upper/d/sub");
  put(s / "upper/d/same", "2");
  put(s / "upper/d/sub/new", "2");
  ASSERT_EQ(0, ::setxattr((s / "upper/d").c_str(), "user.overlay.opaque", "y", 1, 0));
  DiffSource source;
  source.lower = {s / "image"};
  source.upper = s / "upper";
  EXPECT_EQ(told(source),
            (Lines{"C /d", "D /d/old", "C /d/same", "C /d/sub", "A /d/sub/new", "D /d/sub/old"}));
  Lines as_layer;
  ASSERT_TRUE(walk_diff(source, false, [&](const DiffEntry& e) -> Result<> {
    as_layer.push_back(e.path + (e.opaque ? " opaque" : ""));
    return {};
  }));
  EXPECT_EQ(as_layer, (Lines{"d opaque", "d/same", "d/sub", "d/sub/new"}));
}

TEST(Diff, ReadsTheOtherFormOfWhiteouts) {
  const Scratch s;
  mkdirs(s / "image/d");
  put(s / "image/d/x", "1");
  put(s / "image/f", "1");
  mkdirs(s / "upper/d");
  put(s / "upper/d/.wh..wh..opq", "");
  put(s / "upper/d/y", "2");
  put(s / "upper/.wh.f", "");
  DiffSource source;
  source.lower = {s / "image"};
  source.upper = s / "upper";
  source.named_whiteouts = true;
  EXPECT_EQ(told(source), (Lines{"C /d", "D /d/x", "A /d/y", "D /f"}));
}

TEST(Diff, ComparesACopyWithItsImage) {
  NEEDS_NAMESPACE();
  const Scratch s;
  mkdirs(s / "image/d/e");
  put(s / "image/d/e/same", "1");
  put(s / "image/d/changed", "1");
  put(s / "image/d/gone", "1");
  ASSERT_EQ(0, ::symlink("a", (s / "image/link").c_str()));
  mkdirs(s / "copy");
  const auto tree = open_merged({s / "image"});
  ASSERT_TRUE(tree);
  ASSERT_TRUE(copy_tree(*tree, s / "copy"));
  DiffSource source;
  source.lower = {s / "image"};
  source.copy = s / "copy";
  EXPECT_EQ(told(source), Lines{});
  put(s / "copy/d/changed", "22");
  ASSERT_EQ(0, ::unlink((s / "copy/d/gone").c_str()));
  ASSERT_EQ(0, ::unlink((s / "copy/link").c_str()));
  ASSERT_EQ(0, ::symlink("b", (s / "copy/link").c_str()));
  put(s / "copy/new", "");
  ASSERT_EQ(0, ::chmod((s / "copy/d/e").c_str(), 0700));
  EXPECT_EQ(told(source),
            (Lines{"C /d", "C /d/changed", "C /d/e", "D /d/gone", "C /link", "A /new"}));
}

}  // namespace
}  // namespace coracle::storage
