#include "engine/spec/security_options.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(SecurityOptions, BothFormsAreTaken) {
  const auto got = parse_security_options(
      {"no-new-privileges", "seccomp=unconfined", "apparmor:mine", "label=disable"});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->no_new_privileges);
  EXPECT_EQ(got->seccomp, "unconfined");
  EXPECT_EQ(got->apparmor, "mine");
  EXPECT_EQ(got->labels, std::vector<std::string>{"disable"});
}

TEST(SecurityOptions, AProfileMayHoldAnyCharacter) {
  const auto got = parse_security_options({R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW"})"});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->seccomp, R"({"defaultAction":"SCMP_ACT_ALLOW"})");
}

TEST(SecurityOptions, UnknownOnesAreRefusedWithDockersTexts) {
  EXPECT_EQ(parse_security_options({"nonsense"}).error().message,
            "invalid --security-opt 1: \"nonsense\"");
  EXPECT_EQ(parse_security_options({"a=b"}).error().message, "invalid --security-opt 2: \"a=b\"");
  EXPECT_EQ(parse_security_options({"no-new-privileges=maybe"}).error().code,
            Errc::invalid_argument);
}

}  // namespace
}  // namespace coracle
