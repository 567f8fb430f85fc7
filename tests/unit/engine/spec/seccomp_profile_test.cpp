#include "engine/spec/seccomp_profile.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace coracle {
namespace {

bool names(const oci::Seccomp& s, const std::string& call, const std::string& action) {
  return std::ranges::any_of(s.syscalls, [&](const oci::SeccompRule& r) {
    return r.action == action && std::ranges::find(r.names, call) != r.names.end();
  });
}
constexpr const char* kAllow = "SCMP_ACT_ALLOW";

oci::Seccomp resolved(SeccompTarget target) {
  auto r = resolve_seccomp_profile(default_seccomp_profile(), target);
  EXPECT_TRUE(r) << (r ? "" : r.error().message);
  return r.value_or(oci::Seccomp{});
}

TEST(DefaultSeccompProfile, IsWholeAndDockers) {
  const auto s = resolved({{}, "amd64", {6, 1}});
  EXPECT_EQ(s.default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ(s.default_errno_ret, 1U);
  EXPECT_EQ(s.architectures,
            (std::vector<std::string>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}));
  EXPECT_TRUE(names(s, "read", kAllow));
  EXPECT_FALSE(names(s, "io_uring_setup", kAllow));
  EXPECT_FALSE(names(s, "mount", kAllow));
  EXPECT_TRUE(names(s, "clone3", "SCMP_ACT_ERRNO"));
}

TEST(DefaultSeccompProfile, DependsOnCapabilitiesArchitectureAndKernel) {
  const auto admin = resolved({{"CAP_SYS_ADMIN"}, "amd64", {6, 1}});
  EXPECT_TRUE(names(admin, "mount", kAllow));
  EXPECT_FALSE(names(admin, "clone3", "SCMP_ACT_ERRNO"));
  EXPECT_TRUE(names(resolved({{}, "amd64", {4, 8}}), "ptrace", kAllow));
  EXPECT_FALSE(names(resolved({{}, "amd64", {4, 7}}), "ptrace", kAllow));
  EXPECT_TRUE(names(resolved({{}, "amd64", {6, 1}}), "arch_prctl", kAllow));
  EXPECT_FALSE(names(resolved({{}, "arm64", {6, 1}}), "arch_prctl", kAllow));
}

TEST(ResolveSeccompProfile, TakesTheOldSingleName) {
  const auto r = resolve_seccomp_profile(
      R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"}]})",
      this_host());
  ASSERT_TRUE(r);
  EXPECT_EQ(r->syscalls.at(0).names, std::vector<std::string>{"chmod"});
}

TEST(ResolveSeccompProfile, RefusesMalformedProfiles) {
  for (
      const char* text :
      {"", "{", "[]", "{}", R"({"defaultAction":1})",
       R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["X"],"archMap":[{"architecture":"Y"}]})",
       R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"]}]})",
       R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["b"],"includes":{"minKernel":"x"}}]})"}) {
    const auto r = resolve_seccomp_profile(text, this_host());
    ASSERT_FALSE(r) << text;
    EXPECT_EQ(r.error().code, Errc::invalid_argument) << text;
  }
}

TEST(ParseKernelVersion, ReadsReleases) {
  EXPECT_EQ(*parse_kernel_version("6.18.3-amd64"), (KernelVersion{6, 18}));
  EXPECT_EQ(*parse_kernel_version("4.8"), (KernelVersion{4, 8}));
  EXPECT_FALSE(parse_kernel_version("six"));
  EXPECT_FALSE(parse_kernel_version("6"));
}

}  // namespace
}  // namespace coracle
