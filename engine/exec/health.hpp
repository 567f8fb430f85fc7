// Health checks: a command in the container at intervals, as an exec without a client. Its exit
// code makes the container `healthy`, or after some failures in a row `unhealthy`.
//
//   running -> starting -> (interval) probe -> judged -> `health_status: …` when it is another
//   paused: no probe; thawed: the interval begins anew
//   the daemon restarts: what was known holds, and the interval begins anew
//   ended: unhealthy, without an event; the log stays
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/exec/exec.hpp"

namespace coracle {

constexpr std::size_t kHealthLogKept = 5;
constexpr std::size_t kHealthOutputKept = 4096;  // bytes of a probe's output; whole characters
// Between two probes, whatever an image asks for: each is a process, and three events.
constexpr std::chrono::nanoseconds kHealthBreath = std::chrono::milliseconds(100);

// What Config.Healthcheck asks for, with Docker's defaults, and with times that clocks can take.
// Pure.
struct HealthPlan {
  std::vector<std::string> command;
  std::chrono::nanoseconds interval{}, timeout{}, start_period{}, start_interval{};
  std::int32_t retries = 0;
};
// nullopt: there is no check (none, NONE, or a kind that nobody knows).
std::optional<HealthPlan> plan_health(const ContainerConfig& config);
// Until the next probe of a container in this state that has run for `ran`.
std::chrono::nanoseconds next_probe_in(const HealthPlan& plan, const std::string& status,
                                       std::chrono::nanoseconds ran);
// Enters a probe's result. True when the status is another.
bool judge(HealthState& health, const HealthPlan& plan, HealthProbe probe, Time started_at);
// "1s", "1m30s", "1.5s": as Go prints a duration.
std::string duration_text(std::chrono::nanoseconds time);

// At a start: the status is `starting`; of one without a check there is none.
void begin_health(Container& c);

class HealthChecks {
 public:
  HealthChecks(Context& context, Execs& execs) : context_(context), execs_(execs) {}
  // It runs: probes it until this run is over. Nothing when there is no check.
  void watch(const ContainerPtr& c);

 private:
  using Link = std::shared_ptr<MonitorLink>;
  using Plan = std::shared_ptr<const HealthPlan>;
  Coro<void> run(ContainerPtr c, Link link, Plan plan);
  Coro<bool> wait_for_turn(ContainerPtr c, Link link, Plan plan);
  Coro<HealthProbe> probe(ContainerPtr c, Plan plan);
  Coro<void> collect(std::string id, UniqueFd output, Plan plan,
                     std::shared_ptr<HealthProbe> result);
  Coro<void> end_overdue(std::string id, std::shared_ptr<asio::steady_timer> patience,
                         std::shared_ptr<bool> overdue);
  Context& context_;
  Execs& execs_;
};

}  // namespace coracle
