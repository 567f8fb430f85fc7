#include "shim/wire/text.hpp"

#include <gtest/gtest.h>

namespace coracle::wire {
namespace {

using namespace std::chrono_literals;

TEST(HumanDuration, WordsTimesAsDockerDoes) {
  EXPECT_EQ(human_duration(500ms), "Less than a second");
  EXPECT_EQ(human_duration(1s), "1 second");
  EXPECT_EQ(human_duration(59s), "59 seconds");
  EXPECT_EQ(human_duration(60s), "About a minute");
  EXPECT_EQ(human_duration(45min), "45 minutes");
  EXPECT_EQ(human_duration(60min), "About an hour");
  EXPECT_EQ(human_duration(3h), "3 hours");
  EXPECT_EQ(human_duration(50h), "2 days");
  EXPECT_EQ(human_duration(15 * 24h), "2 weeks");
  EXPECT_EQ(human_duration(70 * 24h), "2 months");
  EXPECT_EQ(human_duration(800 * 24h), "2 years");
}

TEST(StatusText, TellsEveryState) {
  ContainerView v;
  v.started_at = Time{1'000'000'000};
  v.finished_at = Time{2'000'000'000};
  v.exit_code = 3;
  const Time at{182'000'000'000};
  const std::pair<Status, const char*> table[] = {
      {Status::created, "Created"},
      {Status::running, "Up 3 minutes"},
      {Status::paused, "Up 3 minutes (Paused)"},
      {Status::restarting, "Restarting (3) 3 minutes ago"},
      {Status::removing, "Removal In Progress"},
      {Status::exited, "Exited (3) 3 minutes ago"},
      {Status::dead, "Dead"},
  };
  for (const auto& [status, text] : table) {
    v.status = status;
    EXPECT_EQ(status_text(v, at), text);
  }
  v.status = Status::running;
  v.health = HealthState{"starting", 0, {}};
  EXPECT_EQ(status_text(v, at), "Up 3 minutes (health: starting)");
  v.health->status = "unhealthy";
  EXPECT_EQ(status_text(v, at), "Up 3 minutes (unhealthy)");
}

}  // namespace
}  // namespace coracle::wire
