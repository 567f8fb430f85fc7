#include "engine/runtime/user_lookup.hpp"

#include <gtest/gtest.h>

namespace coracle::runtime {
namespace {

constexpr const char* kPasswd =
    "# comment\nroot:x:0:0:root:/root:/bin/sh\n\nbroken\ndev:x:1000:1001::/home/dev:/bin/sh\n"
    "1000:x:7:7::/odd:/bin/sh\nhomeless:x:8:8";
constexpr const char* kGroup = "root:x:0:\nstaff:x:50:other,dev\nwheel:x:10:dev\nbad:x\n";

ResolvedUser lookup(const char* user) {
  auto found = lookup_user(user, kPasswd, kGroup);
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found.value_or(ResolvedUser{});
}
std::string error_of(const char* user) {
  const auto found = lookup_user(user, kPasswd, kGroup);
  return found ? "" : found.error().message;
}

TEST(LookupUser, FindsANameWithItsGroupsAndHome) {
  EXPECT_EQ(lookup("dev"), (ResolvedUser{1000, 1001, {50, 10}, "/home/dev"}));
}

TEST(LookupUser, TakesANumberAsAnIdEvenWhereSomebodyIsCalledSo) {
  EXPECT_EQ(lookup("1000"), (ResolvedUser{1000, 1001, {50, 10}, "/home/dev"}));
}

TEST(LookupUser, AcceptsNumbersThatNobodyHas) {
  EXPECT_EQ(lookup("4242"), (ResolvedUser{4242, 0, {}, "/"}));
  EXPECT_EQ(lookup("4242:77"), (ResolvedUser{4242, 77, {}, "/"}));
}

TEST(LookupUser, LetsAGivenGroupReplaceTheOthers) {
  EXPECT_EQ(lookup("dev:staff"), (ResolvedUser{1000, 50, {}, "/home/dev"}));
}

TEST(LookupUser, IsRootWithoutAName) {
  EXPECT_EQ(lookup(""), (ResolvedUser{0, 0, {}, "/root"}));
  EXPECT_EQ(lookup(":50"), (ResolvedUser{0, 50, {}, "/root"}));
}

TEST(LookupUser, SpeaksDockersWords) {
  EXPECT_EQ(error_of("ghost"), "unable to find user ghost: no matching entries in passwd file");
  EXPECT_EQ(error_of("dev:ghosts"),
            "unable to find group ghosts: no matching entries in group file");
  EXPECT_EQ(error_of("4294967295"), "uids and gids must be in range 0-2147483647: 4294967295");
  EXPECT_EQ(error_of("-1"), "unable to find user -1: no matching entries in passwd file");
}

TEST(AdditionalGroup, IsANameOrAnyNumber) {
  EXPECT_EQ(lookup_additional_group("staff", kGroup).value_or(0), 50U);
  EXPECT_EQ(lookup_additional_group("777", kGroup).value_or(0), 777U);
  EXPECT_EQ(lookup_additional_group("nosuch", kGroup).error().message,
            "Unable to find group nosuch");
}

}  // namespace
}  // namespace coracle::runtime
