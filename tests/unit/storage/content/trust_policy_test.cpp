#include "storage/content/trust_policy.hpp"

#include <gtest/gtest.h>

namespace coracle::storage {
namespace {

TEST(Scopes, AreBeginningsOfNamesCutAtASlash) {
  EXPECT_TRUE(in_scope("docker.io", "docker.io/library/alpine"));
  EXPECT_TRUE(in_scope("docker.io/library", "docker.io/library/alpine"));
  EXPECT_TRUE(in_scope("docker.io/library/alpine", "docker.io/library/alpine"));
  EXPECT_FALSE(in_scope("docker.io/lib", "docker.io/library/alpine"));
  EXPECT_FALSE(in_scope("docker.io/library/alpine/x", "docker.io/library/alpine"));
  EXPECT_FALSE(in_scope("docker.i", "docker.io/library/alpine"));
  EXPECT_FALSE(in_scope("127.0.0.1", "127.0.0.1:5000/x"));
  EXPECT_TRUE(in_scope("*.example.com/team", "a.b.example.com/team/x"));
  EXPECT_FALSE(in_scope("*.example.com", "example.com/x"));
  EXPECT_FALSE(in_scope("*.example.com", "badexample.com/x"));
  EXPECT_TRUE(in_scope("*", "[::1]:5000/x"));
}

TEST(Policy, IsChecked) {
  const auto error_of = [](const std::string& scope) {
    TrustPolicy policy;
    policy.registries = {scope};
    const auto checked = check_trust_policy(policy);
    return checked ? std::string() : checked.error().message;
  };
  for (const char* good :
       {"*", "*.a.b", "docker.io", "localhost/x", "h:5000/a/b", "[::1]:5000", "a.b"})
    EXPECT_EQ(error_of(good), "") << good;
  for (const char* wrong : {"", "alpine", "library/alpine", "*a.b", "a.b*", "*.", "*/x", "a.b/*",
                            "a.b/", "a.b//x", "a.b/x:1", "a.b/x@sha256:1", "index.docker.io/x"})
    EXPECT_NE(error_of(wrong), "") << wrong;
}

TEST(Policy, AllowsAHostWhenSomethingOfItIsAllowed) {
  TrustPolicy policy;
  EXPECT_TRUE(may_contact(policy, "docker.io/x/y"));
  policy.registries = {"ghcr.io/us", "*.lan"};
  EXPECT_TRUE(may_contact_host(policy, "ghcr.io"));
  EXPECT_FALSE(may_contact_host(policy, "docker.io"));
  EXPECT_TRUE(may_contact(policy, "ghcr.io/us/app"));
  EXPECT_TRUE(may_contact(policy, "x.lan/app"));
  const auto refused = may_contact(policy, "ghcr.io/them/app");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::forbidden);
}

TEST(Policy, TakesTheRuleOfTheNarrowestScope) {
  TrustPolicy policy;
  policy.signatures = {{"*", {"a"}}, {"h.x/team", {"b"}}, {"h.x/team/open", {}}};
  const auto rule = [&](const char* name) {
    const auto* found = signature_rule(policy, name);
    return found == nullptr ? std::string() : found->second.front();
  };
  EXPECT_EQ(rule("docker.io/library/alpine"), "a");
  EXPECT_EQ(rule("h.x/team/app"), "b");
  EXPECT_EQ(rule("h.x/team/open"), "");
  EXPECT_EQ(rule("h.x/team/open/er"), "");
}

TEST(Policy, PinsATagAndLetsDigestsBe) {
  TrustPolicy policy;
  policy.digests = {{"h.x/a:1", "sha256:1"}};
  EXPECT_TRUE(check_pinned(policy, "h.x/a", "1", "sha256:1"));
  EXPECT_TRUE(check_pinned(policy, "h.x/a", "2", "sha256:2"));
  EXPECT_TRUE(check_pinned(policy, "h.x/a", "", "sha256:2"));
  EXPECT_EQ(check_pinned(policy, "h.x/a", "1", "sha256:2").error().code, Errc::forbidden);
  policy.by_digest_only = {"h.x"};
  EXPECT_FALSE(may_pull(policy, "h.x/a", "1", ""));
  EXPECT_TRUE(may_pull(policy, "h.x/a", "", "sha256:2"));
}

TEST(Signatures, OfWhatIsNoKeyAreNone) {
  EXPECT_FALSE(is_public_key(""));
  EXPECT_FALSE(is_public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
  EXPECT_FALSE(is_signed("no key", "x", "y"));
}

}  // namespace
}  // namespace coracle::storage
