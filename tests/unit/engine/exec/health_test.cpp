#include "engine/exec/health.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;

ContainerConfig checked(std::vector<std::string> test) {
  ContainerConfig c;
  c.healthcheck = HealthConfig{};
  c.healthcheck->test = std::move(test);
  return c;
}

HealthProbe probe(std::int32_t code, std::int64_t start_ns = 0) {
  HealthProbe p;
  p.exit_code = code;
  p.start = p.end = Time{start_ns};
  return p;
}

TEST(HealthPlan, HasDockersDefaults) {
  const auto plan = plan_health(checked({"CMD-SHELL", "true && false"}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->command, ElementsAre("/bin/sh", "-c", "true && false"));
  EXPECT_EQ(plan->interval, seconds(30));
  EXPECT_EQ(plan->timeout, seconds(30));
  EXPECT_EQ(plan->start_period, nanoseconds(0));
  EXPECT_EQ(plan->start_interval, seconds(5));
  EXPECT_EQ(plan->retries, 3);
}

TEST(HealthPlan, UsesTheConfigsShellAndKnowsWhenThereIsNoCheck) {
  auto config = checked({"CMD-SHELL", "x"});
  config.shell = StringList{{"/bin/ash", "-ec"}};
  EXPECT_THAT(plan_health(config)->command, ElementsAre("/bin/ash", "-ec", "x"));
  EXPECT_THAT(plan_health(checked({"CMD", "a", "b"}))->command, ElementsAre("a", "b"));
  EXPECT_FALSE(plan_health(checked({"NONE"})));
  EXPECT_FALSE(plan_health(checked({})));
  EXPECT_FALSE(plan_health(checked({"ODD", "x"})));
  EXPECT_FALSE(plan_health(ContainerConfig{}));
}

// Docker takes an image with such a check, and so do we.
TEST(HealthPlan, TimesThatAnImageMadeUpAreNotTaken) {
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t ns : {kMin, std::int64_t{-1}, std::int64_t{1}, std::int64_t{999'999}}) {
    auto config = checked({"CMD", "true"});
    auto& h = *config.healthcheck;
    h.interval_ns = h.timeout_ns = h.start_period_ns = h.start_interval_ns = ns;
    h.retries = -1;
    const auto plan = plan_health(config);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->interval, seconds(30)) << ns;
    EXPECT_EQ(plan->timeout, seconds(30)) << ns;
    EXPECT_EQ(plan->start_period, seconds(0)) << ns;
    EXPECT_EQ(plan->start_interval, seconds(5)) << ns;
    EXPECT_EQ(plan->retries, 3) << ns;
  }
  auto config = checked({"CMD", "true"});
  auto& h = *config.healthcheck;
  h.interval_ns = h.timeout_ns = h.start_period_ns = h.start_interval_ns = kMax;
  const auto plan = plan_health(config);
  ASSERT_TRUE(plan);
  const auto at = std::chrono::steady_clock::now();
  for (const auto time :
       {plan->interval, plan->timeout, plan->start_period, plan->start_interval}) {
    EXPECT_GT(time, std::chrono::hours(24 * 365));
    EXPECT_GT(at + time, at);
    EXPECT_LT(now().ns, kMax - time.count());
  }
}

TEST(HealthPlan, ProbesLeaveABreathBetweenThem) {
  auto config = checked({"CMD", "true"});
  config.healthcheck->interval_ns = config.healthcheck->start_interval_ns = 1'000'000;
  const auto plan = plan_health(config);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->interval, kHealthBreath);
  EXPECT_EQ(plan->start_interval, kHealthBreath);
}

TEST(HealthJudge, CountsFailuresInARow) {
  HealthPlan plan;
  plan.retries = 2;
  HealthState health;
  health.status = "starting";
  EXPECT_FALSE(judge(health, plan, probe(1), Time{}));
  EXPECT_EQ(health.failing_streak, 1);
  EXPECT_TRUE(judge(health, plan, probe(0), Time{}));
  EXPECT_EQ(health.status, "healthy");
  EXPECT_EQ(health.failing_streak, 0);
  EXPECT_FALSE(judge(health, plan, probe(1), Time{}));
  EXPECT_EQ(health.status, "healthy");
  EXPECT_TRUE(judge(health, plan, probe(-1), Time{}));
  EXPECT_EQ(health.status, "unhealthy");
  EXPECT_FALSE(judge(health, plan, probe(1), Time{}));
  EXPECT_EQ(health.log.size(), kHealthLogKept);
  (void)judge(health, plan, probe(7), Time{});
  EXPECT_EQ(health.log.size(), kHealthLogKept);
  EXPECT_EQ(health.log.back().exit_code, 7);
}

TEST(HealthJudge, TheStartPeriodExcusesUntilTheFirstSuccess) {
  HealthPlan plan;
  plan.retries = 1;
  plan.interval = seconds(30);
  plan.start_interval = seconds(1);
  plan.start_period = nanoseconds(100);
  HealthState health;
  health.status = "starting";
  EXPECT_EQ(next_probe_in(plan, health.status, nanoseconds(50)), seconds(1));
  EXPECT_EQ(next_probe_in(plan, health.status, nanoseconds(100)), seconds(30));
  EXPECT_FALSE(judge(health, plan, probe(1, 1050), Time{1000}));
  EXPECT_EQ(health.status, "starting");
  EXPECT_EQ(health.failing_streak, 0);
  EXPECT_TRUE(judge(health, plan, probe(0, 1060), Time{1000}));
  EXPECT_EQ(next_probe_in(plan, health.status, nanoseconds(50)), seconds(30));
  EXPECT_TRUE(judge(health, plan, probe(1, 1070), Time{1000}));
  EXPECT_EQ(health.status, "unhealthy");
}

TEST(HealthText, DurationsAreGos) {
  EXPECT_EQ(duration_text(seconds(1)), "1s");
  EXPECT_EQ(duration_text(milliseconds(1500)), "1.5s");
  EXPECT_EQ(duration_text(milliseconds(200)), "200ms");
  EXPECT_EQ(duration_text(seconds(90)), "1m30s");
  EXPECT_EQ(duration_text(seconds(7200)), "2h0m0s");
}

}  // namespace
}  // namespace coracle
