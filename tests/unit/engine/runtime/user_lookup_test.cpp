#include "engine/runtime/user_lookup.hpp"

#include <gtest/gtest.h>

#include "engine/base/path.hpp"

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
  EXPECT_EQ(error_of("-1"), "uids and gids must be in range 0-2147483647: -1");
  EXPECT_EQ(error_of("-00"), "uids and gids must be in range 0-2147483647: -00");
}

TEST(LookupUser, NeverTakesForRootWhatIsNoId) {
  constexpr const char* kHostile =
      "big:x:4294967294:5::/:/bin/sh\nhuge:x:99999999999999999999:5::/:/bin/sh\n"
      "word:x:zero:5::/:/bin/sh\nnone:x::5::/:/bin/sh\nminus:x:-1:5::/:/bin/sh\n"
      "group:x:5:2147483648::/:/bin/sh\nmember:x:6:6::/:/bin/sh\nplain:x:7:7::/:/bin/sh\n"
      "round:x:4294967296:0::/:/bin/sh\n";
  constexpr const char* kGroups = "far:x:4294967295:member\nodd:x:x:\n";
  for (const char* user :
       {"big", "huge", "word", "none", "minus", "group", "member", "round", "4294967294",
        "4294967296", "-1", "plain:far", "plain:odd", "5:far", "plain:4294967295", "plain:-1"}) {
    const auto found = lookup_user(user, kHostile, kGroups);
    ASSERT_FALSE(found) << user << " is " << found->uid << ":" << found->gid;
    EXPECT_TRUE(found.error().message.starts_with("uids and gids must be in range 0-2147483647"))
        << found.error().message;
  }
  EXPECT_EQ(lookup_user("plain", kHostile, kGroups).value_or(ResolvedUser{}).uid, 7U);
}

TEST(AdditionalGroup, IsNeverOutOfRange) {
  for (const char* group : {"far", "odd", "4294967295", "2147483648", "-1"}) {
    const auto found = lookup_additional_group(group, "far:x:4294967295:\nodd:x:x:\n");
    ASSERT_FALSE(found) << group << " is " << *found;
    EXPECT_TRUE(found.error().message.starts_with("uids and gids must be in range"))
        << found.error().message;
  }
}

TEST(ResolveUser, RefusesIdsOutOfRangeThatASpecificationGivesByNumber) {
  const auto root = open_dir("/");
  ASSERT_TRUE(root);
  oci::User user;
  user.uid = 0xffffffff;
  EXPECT_FALSE(resolve_user(user, *root));
  user = {};
  user.gid = 0x80000000;
  EXPECT_FALSE(resolve_user(user, *root));
  user = {};
  user.additional_gids = {0xffffffff};
  EXPECT_FALSE(resolve_user(user, *root));
  EXPECT_TRUE(resolve_user({}, *root));
}

TEST(AdditionalGroup, IsANameOrAnyNumber) {
  EXPECT_EQ(lookup_additional_group("staff", kGroup).value_or(0), 50U);
  EXPECT_EQ(lookup_additional_group("777", kGroup).value_or(0), 777U);
  EXPECT_EQ(lookup_additional_group("nosuch", kGroup).error().message,
            "Unable to find group nosuch");
}

}  // namespace
}  // namespace coracle::runtime
