#include "engine/base/result.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace coracle {
namespace {

Result<> refused(int sys) {
  errno = sys;
  return sys_error("mkdir {}", "/x");
}

TEST(SysError, GivesTheReasonInGosWords) {
  EXPECT_EQ(refused(EACCES).error().message, "mkdir /x: permission denied");
  EXPECT_EQ(refused(EACCES).error().code, Errc::forbidden);
  EXPECT_EQ(sys_error_of(ENOENT, "open {}", "y").error().message,
            "open y: no such file or directory");
}

TEST(ErrnoText, IsGosTable) {
  EXPECT_EQ(errno_text(EPERM), "operation not permitted");
  EXPECT_EQ(errno_text(EROFS), "read-only file system");
  EXPECT_EQ(errno_text(EIO), "input/output error");
  EXPECT_EQ(errno_text(EDOTDOT), "RFS specific error");
  EXPECT_EQ(errno_text(ELIBSCN), ".lib section in a.out corrupted");
  EXPECT_EQ(errno_text(99999), "errno 99999");
  EXPECT_EQ(errno_text(-1), "errno -1");
}

}  // namespace
}  // namespace coracle
