#include "engine/base/file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(WriteFileAtomic, ReplacesTheWholeFileAndLeavesNoTemporary) {
  const Scratch s;
  ASSERT_TRUE(write_file_atomic(s / "f", "old text that is longer"));
  ASSERT_TRUE(write_file_atomic(s / "f", "new", 0640));
  EXPECT_EQ(read_file(s / "f"), "new");
  EXPECT_THAT(*list_dir(s.path()), ElementsAre("f"));
  struct stat st {};
  ASSERT_EQ(::stat((s / "f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0640U);
}

TEST(WriteFileAtomic, NamesThePathOfAFolderThatIsNotThere) {
  const auto r = write_file_atomic("/tmp/no-such-folder-here/f", "x");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Errc::not_found);
  EXPECT_THAT(r.error().message, HasSubstr("/tmp/no-such-folder-here/f"));
}

TEST(ReadFile, HasALimit) {
  const Scratch s;
  ASSERT_TRUE(write_file_atomic(s / "f", std::string(100, 'x')));
  EXPECT_EQ(read_file(s / "f", 99).error().code, Errc::invalid_argument);
  EXPECT_TRUE(read_file(s / "f", 100));
}

TEST(RemoveTree, TakesFoldersWithoutPermissionAndFollowsNoLink) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "keep"));
  ASSERT_TRUE(write_file_atomic(s / "keep/f", "x"));
  ASSERT_TRUE(make_dirs(s / "tree/closed"));
  ASSERT_TRUE(write_file_atomic(s / "tree/closed/f", "x"));
  ASSERT_EQ(::symlink((s / "keep").c_str(), (s / "tree/link").c_str()), 0);
  ASSERT_EQ(::chmod((s / "tree/closed").c_str(), 0), 0);
  ASSERT_TRUE(remove_tree(s / "tree"));
  EXPECT_FALSE(exists(s / "tree"));
  EXPECT_TRUE(exists(s / "keep/f"));
  EXPECT_TRUE(remove_tree(s / "tree")) << "what is gone is fine";
}

}  // namespace
}  // namespace coracle
