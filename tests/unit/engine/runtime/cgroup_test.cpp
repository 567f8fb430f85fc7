#include "engine/runtime/cgroup.hpp"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <gtest/gtest.h>

namespace coracle::runtime {
namespace {

TEST(DetectCgroup, SaysWhatThisHostHasAndWhatIsMissing) {
  struct statfs st {};
  const bool mounted = ::statfs("/sys/fs/cgroup", &st) == 0;
  const bool v2 = mounted && st.f_type == CGROUP2_SUPER_MAGIC;
  const auto found = detect_cgroup();
  using Kind = CgroupSupport::Kind;
  if (!mounted) {
    EXPECT_EQ(found.kind, Kind::none);
  } else if (!v2) {
    EXPECT_EQ(found.kind, Kind::v1);
  } else {
    EXPECT_TRUE(found.kind == Kind::read_only || found.kind == Kind::delegated);
    EXPECT_EQ(found.path.front(), '/');
  }
  EXPECT_EQ(found.reason.empty(), found.kind == Kind::delegated);
}

}  // namespace
}  // namespace coracle::runtime
