#include "engine/request/validate.hpp"

#include <signal.h>

#include <functional>

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(Validate, SignalsHaveNamesAndNumbers) {
  EXPECT_EQ(*parse_signal("", SIGTERM), SIGTERM);
  EXPECT_EQ(*parse_signal("KILL", 0), SIGKILL);
  EXPECT_EQ(*parse_signal("sigusr1", 0), SIGUSR1);
  EXPECT_EQ(*parse_signal("15", 0), SIGTERM);
  EXPECT_EQ(*parse_signal("RTMIN+3", 0), SIGRTMIN + 3);
  for (const char* bad : {"0", "-1", "999", "NOPE", "SIG", "15x"})
    EXPECT_EQ(parse_signal(bad, 0).error().message, std::string("Invalid signal: ") + bad);
}

struct Refusal {
  const char* part;
  std::function<void(ContainerConfig&, HostConfig&)> spoil;
};

TEST(Validate, RefusesWithDockersTexts) {
  const std::vector<Refusal> refusals = {
      {"can't create 'AutoRemove' container with restart policy",
       [](auto&, auto& h) {
         h.auto_remove = true;
         h.restart_policy.name = "always";
       }},
      {"maximum retry count can only be used with 'on-failure'",
       [](auto&, auto& h) {
         h.restart_policy.name = "always";
         h.restart_policy.maximum_retry_count = 2;
       }},
      {"Minimum memory limit allowed is 6MB", [](auto&, auto& h) { h.resources.memory = 1024; }},
      {"Nano CPUs and CPU Quota cannot both be set",
       [](auto&, auto& h) {
         h.resources.nano_cpus = 1;
         h.resources.cpu_quota = 5000;
       }},
      {"ulimit soft limit must be less than or equal to hard limit: 5 > 1",
       [](auto&, auto& h) {
         h.resources.ulimits = {{"nofile", 5, 1}};
       }},
      {"no log driver named 'syslog' is registered",
       [](auto&, auto& h) { h.log_config.type = "syslog"; }},
      {"Invalid signal: ODD", [](auto& c, auto&) { c.stop_signal = "ODD"; }},
      {"conflicting options: hostname and the network mode",
       [](auto& c, auto& h) {
         h.network_mode = "container:x";
         c.hostname = "a";
       }},
      {"invalid IPC mode: odd", [](auto&, auto& h) { h.ipc_mode = "odd"; }},
      {"unknown capability", [](auto&, auto& h) { h.cap_add.items = {"ODD"}; }},
      {"invalid Annotations: the empty string is not permitted as an annotation key",
       [](auto&, auto& h) {
         h.annotations = {{"", "a"}};
       }},
      {"invalid CPU shares (-1): value must be a positive integer",
       [](auto&, auto& h) { h.resources.cpu_shares = -1; }},
      {"it needs to be an absolute path", [](auto& c, auto&) { c.working_dir = "srv"; }},
  };
  for (const auto& r : refusals) {
    ContainerConfig c;
    HostConfig h;
    ASSERT_TRUE(validate(c, h, 2));
    r.spoil(c, h);
    const auto answer = validate(c, h, 2);
    ASSERT_FALSE(answer) << r.part;
    EXPECT_EQ(answer.error().code, Errc::invalid_argument) << r.part;
    EXPECT_NE(answer.error().message.find(r.part), std::string::npos) << answer.error().message;
  }
}

TEST(Validate, AVolumeDriverIsLookedUpByTheVolumeThatNeedsIt) {
  HostConfig h;
  h.volume_driver = "foodriver";
  EXPECT_TRUE(validate({}, h, 2));
}

TEST(Validate, DeviceCgroupRulesAreKeptAndToldToHaveNoEffect) {
  HostConfig h;
  h.resources.device_cgroup_rules = {"c 7:128 rwm"};
  EXPECT_TRUE(discard_limits(h).empty());
  EXPECT_EQ(h.resources.device_cgroup_rules, std::vector<std::string>{"c 7:128 rwm"});
  EXPECT_EQ(other_warnings({}, h).size(), 1U);
}

TEST(Validate, NoLimitIsDroppedInSilence) {
  HostConfig h;
  EXPECT_TRUE(discard_limits(h).empty());
  h.resources.memory = 64 << 20;
  h.resources.memory_swap = 128 << 20;
  h.resources.nano_cpus = 500'000'000;
  h.resources.pids_limit = 100;
  h.resources.cpuset_cpus = "0";
  EXPECT_EQ(discard_limits(h).size(), 4U);
  EXPECT_EQ(h.resources.memory, 0);
  EXPECT_FALSE(h.resources.pids_limit);
  h.resources.pids_limit = -1;  // unlimited is no limit
  EXPECT_TRUE(discard_limits(h).empty());
}

}  // namespace
}  // namespace coracle
