#include "engine/rootless/hints.hpp"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle::rootless {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ExplainRefusal, NamesTheLimitThatIsZeroAndItsRemedy) {
  Knobs knobs;
  knobs.max_user_namespaces = 0;
  EXPECT_THAT(explain_refusal(step::kUser, ENOSPC, knobs).message,
              AllOf(HasSubstr("make a user namespace"), HasSubstr("user.max_user_namespaces = 0"),
                    HasSubstr("sysctl -w user.max_user_namespaces=")));
}

TEST(ExplainRefusal, NamesTheLimitOfTheStepThatMetIt) {
  Knobs knobs;
  knobs.max_user_namespaces = 100;
  knobs.max_net_namespaces = 0;
  EXPECT_THAT(explain_refusal(step::kNetwork, ENOSPC, knobs).message,
              HasSubstr("user.max_net_namespaces = 0"));
}

TEST(ExplainRefusal, KnowsDebiansSwitch) {
  Knobs knobs;
  knobs.unprivileged_userns_clone = 0;
  EXPECT_THAT(explain_refusal(step::kUser, EPERM, knobs).message,
              HasSubstr("sysctl -w kernel.unprivileged_userns_clone=1"));
}

TEST(ExplainRefusal, KnowsAppArmorsRestrictionWhichIsFeltAtTheMount) {
  Knobs knobs;
  knobs.apparmor_restrict_unprivileged = 1;
  const auto error = explain_refusal(step::kPropagation, EACCES, knobs);
  EXPECT_THAT(error.message, HasSubstr("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"));
  EXPECT_EQ(error.code, Errc::forbidden);
}

TEST(ExplainRefusal, BlamesNoSwitchThatIsOn) {
  Knobs knobs;
  knobs.max_user_namespaces = 100;
  knobs.unprivileged_userns_clone = 1;
  knobs.apparmor_restrict_unprivileged = 0;
  EXPECT_THAT(explain_refusal(step::kUser, EPERM, knobs).message,
              AllOf(HasSubstr("security policy"), Not(HasSubstr("sysctl"))));
}

}  // namespace
}  // namespace coracle::rootless
