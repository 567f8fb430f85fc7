// The unit under test compares uids. Another user's folder is made by way of a user namespace with
// the subordinate ids of this one: to the kernel they are other users.
#include "engine/base/private_dir.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/process/process.hpp"
#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;
using testing::HasSubstr;

unsigned mode_of(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 ? st.st_mode & 07777U : 0;
}

// Runs a script as root of a user namespace in which other ids are mapped as well.
bool as_others(const std::string& script) {
  SpawnOptions o;
  o.program = "unshare";
  o.argv = {"unshare", "--map-auto", "--map-root-user", "sh", "-c", script};
  const auto process = spawn(o);
  if (!process) return false;
  const auto status = process->wait();
  return status && status->code == 0;
}

class PrivateDir : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::chmod(s.path().c_str(), 0755), 0); }
  const Scratch s;
};

TEST_F(PrivateDir, IsMadeWithItsParentsForNobodyElse) {
  ASSERT_TRUE(take_private_dir(s / "a/b/c"));
  for (const char* name : {"a", "a/b", "a/b/c"}) EXPECT_EQ(mode_of(s / name), 0700U) << name;
}

TEST_F(PrivateDir, ThatIsOpenToOthersIsTakenFromThem) {
  for (const mode_t mode : {0755, 0711, 0701, 0770, 0777, 01777, 02755}) {
    ASSERT_TRUE(make_dirs(s / "d"));
    ASSERT_EQ(::chmod((s / "d").c_str(), mode), 0);
    EXPECT_TRUE(take_private_dir(s / "d"));
    EXPECT_EQ(mode_of(s / "d"), 0700U) << std::oct << mode;
  }
}

TEST_F(PrivateDir, IsReachedThroughOwnLinks) {
  ASSERT_TRUE(make_dirs(s / "disk"));
  ASSERT_EQ(::symlink("disk", (s / "link").c_str()), 0);
  ASSERT_EQ(::symlink((s / "link").c_str(), (s / "again").c_str()), 0);
  ASSERT_TRUE(take_private_dir(s / "again/../again/x"));
  EXPECT_TRUE(exists(s / "disk/x"));
  ASSERT_EQ(::symlink("loop", (s / "loop").c_str()), 0);
  EXPECT_FALSE(take_private_dir(s / "loop"));
}

TEST_F(PrivateDir, BelowAFolderInWhichOthersMayWriteIsRefused) {
  ASSERT_TRUE(make_dirs(s / "open/d"));
  ASSERT_EQ(::chmod((s / "open").c_str(), 0757), 0);
  const auto refused = take_private_dir(s / "open/d");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::forbidden);
  EXPECT_THAT(refused.error().message, HasSubstr("others may write in " + (s / "open")));
  // As in /tmp, nobody takes away there what is not his own.
  ASSERT_EQ(::chmod((s / "open").c_str(), 01777), 0);
  EXPECT_TRUE(take_private_dir(s / "open/d"));
}

TEST_F(PrivateDir, OfAnotherUserIsRefusedHoweverItIsReached) {
  ASSERT_TRUE(make_dirs(s / "sticky"));
  ASSERT_TRUE(make_dirs(s / "mine", 0755));
  if (!as_others("cd " + s.path() + " && mkdir -p sticky/theirs/d && ln -s " + (s / "mine") +
                 " sticky/link && chown -R -h 7:7 sticky/theirs sticky/link"))
    GTEST_SKIP() << "no range of subordinate ids for this user";
  ASSERT_EQ(::chmod((s / "sticky").c_str(), 01777), 0);
  for (const char* name : {"sticky/theirs", "sticky/theirs/d", "sticky/link", "sticky/link/x"}) {
    for (const auto take : {take_private_dir, open_private_dir}) {
      const auto refused = take(s / name);
      ASSERT_FALSE(refused) << name;
      EXPECT_EQ(refused.error().code, Errc::forbidden) << name;
      EXPECT_THAT(refused.error().message, HasSubstr("belongs to uid"));
    }
  }
  EXPECT_FALSE(exists(s / "mine/x"));
  EXPECT_TRUE(as_others("rm -r " + (s / "sticky")));
}

TEST_F(PrivateDir, ThatIsNotThereIsNotMadeByALook) {
  EXPECT_EQ(open_private_dir(s / "none/d").error().code, Errc::not_found);
  EXPECT_FALSE(exists(s / "none"));
  ASSERT_TRUE(write_file_atomic(s / "file", ""));
  EXPECT_EQ(take_private_dir(s / "file").error().sys, ENOTDIR);
}

TEST_F(PrivateDir, OnTheWayToASocketMayBeSeenByOthersButNotExchanged) {
  ASSERT_TRUE(take_trusted_dir(s.path()));
  EXPECT_EQ(mode_of(s.path()), 0755U);
  EXPECT_TRUE(take_trusted_dir("/tmp"));
  ASSERT_TRUE(make_dirs(s / "open"));
  ASSERT_EQ(::chmod((s / "open").c_str(), 0777), 0);
  EXPECT_EQ(take_trusted_dir(s / "open").error().code, Errc::forbidden);
}

TEST(RuntimeDirOf, IsXdgsOrTheUsersOwn) {
  EXPECT_EQ(runtime_dir("/x", ::getuid())->path, "/x");
  EXPECT_EQ(runtime_dir("/x", ::getuid())->warning, "");
  // A user who has no /run/user/UID, and is not us: the folder in /tmp is made for us, or is
  // theirs.
  constexpr uid_t kNobodyHas = 3'999'999'999;
  const std::string own = "/tmp/coracle-3999999999";
  const auto dir = runtime_dir("", kNobodyHas);
  ASSERT_TRUE(dir) << dir.error().message;
  EXPECT_EQ(dir->path, own);
  EXPECT_THAT(dir->warning, HasSubstr("XDG_RUNTIME_DIR is not set"));
  EXPECT_EQ(mode_of(own), 0700U);
  ASSERT_EQ(::chmod(own.c_str(), 0755), 0);
  EXPECT_TRUE(runtime_dir("", kNobodyHas));
  EXPECT_EQ(mode_of(own), 0700U);
  EXPECT_EQ(::rmdir(own.c_str()), 0);
  if (!as_others("mkdir " + own + " && chown 7:7 " + own))
    GTEST_SKIP() << "no range of subordinate ids for this user";
  EXPECT_EQ(runtime_dir("", kNobodyHas).error().code, Errc::forbidden);
  EXPECT_TRUE(as_others("rmdir " + own));
}

}  // namespace
}  // namespace coracle
