#include "engine/exec/health.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "engine/base/log.hpp"
#include "engine/base/utf8.hpp"

namespace coracle {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kDefaultInterval = std::chrono::seconds(30);
constexpr nanoseconds kTimeout = std::chrono::seconds(30);
constexpr nanoseconds kStartInterval = std::chrono::seconds(5);
constexpr std::int32_t kRetries = 3;
constexpr auto kLook = std::chrono::milliseconds(20);

// What Docker takes from a client at least. An image's check is merged in unseen, as at Docker; a
// time below this one can only come from there, and says nothing.
constexpr nanoseconds kLeast = std::chrono::milliseconds(1);
// As good as never, and it can be added to a clock.
constexpr nanoseconds kMost = std::chrono::hours(24 * 365 * 10);

nanoseconds or_default(std::int64_t ns, nanoseconds fallback) {
  return nanoseconds(ns) < kLeast ? fallback : std::min(nanoseconds(ns), kMost);
}

std::chrono::milliseconds rounded_up(nanoseconds time) {
  return std::chrono::ceil<std::chrono::milliseconds>(time);
}

void keep(HealthProbe& probe, const char* bytes, std::size_t size, bool& cut) {
  const auto room = kHealthOutputKept - std::min(probe.output.size(), kHealthOutputKept);
  probe.output.append(bytes, std::min(size, room));
  cut = cut || size > room;
  if (cut) probe.output.resize(utf8_whole(probe.output));
}

}  // namespace

std::optional<HealthPlan> plan_health(const ContainerConfig& config) {
  if (!config.healthcheck || config.healthcheck->test.empty()) return std::nullopt;
  const auto& h = *config.healthcheck;
  HealthPlan plan;
  if (h.test[0] == "CMD-SHELL" && h.test.size() > 1) {
    plan.command = {"/bin/sh", "-c"};
    if (config.shell && !config.shell->items.empty()) plan.command = config.shell->items;
    plan.command.push_back(h.test[1]);
  } else if (h.test[0] == "CMD" && h.test.size() > 1) {
    plan.command.assign(h.test.begin() + 1, h.test.end());
  } else {
    return std::nullopt;
  }
  plan.interval = std::max(or_default(h.interval_ns, kDefaultInterval), kHealthBreath);
  plan.timeout = or_default(h.timeout_ns, kTimeout);
  plan.start_period = or_default(h.start_period_ns, nanoseconds::zero());
  plan.start_interval = std::max(or_default(h.start_interval_ns, kStartInterval), kHealthBreath);
  plan.retries = h.retries <= 0 ? kRetries : h.retries;
  return plan;
}

nanoseconds next_probe_in(const HealthPlan& plan, const std::string& status, nanoseconds ran) {
  return status == "starting" && ran < plan.start_period ? plan.start_interval : plan.interval;
}

bool judge(HealthState& health, const HealthPlan& plan, HealthProbe probe, Time started_at) {
  const auto before = health.status;
  if (probe.exit_code == 0) {
    health.failing_streak = 0;
    health.status = "healthy";
  } else {
    // While it is still coming up a failure does not count.
    const bool excused =
        before == "starting" && probe.start.ns - started_at.ns < plan.start_period.count();
    if (!excused && ++health.failing_streak >= plan.retries) health.status = "unhealthy";
  }
  health.log.push_back(std::move(probe));
  if (health.log.size() > kHealthLogKept) health.log.erase(health.log.begin());
  return health.status != before;
}

std::string duration_text(nanoseconds time) {
  const auto ns = time.count();
  if (ns < 1'000) return fmt::format("{}ns", ns);
  if (ns < 1'000'000) return fmt::format("{}µs", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{}ms", static_cast<double>(ns) / 1e6);
  const auto minutes = ns / 60'000'000'000;
  const auto seconds = fmt::format("{}s", static_cast<double>(ns % 60'000'000'000) / 1e9);
  if (minutes == 0) return seconds;
  if (minutes < 60) return fmt::format("{}m{}", minutes, seconds);
  return fmt::format("{}h{}m{}", minutes / 60, minutes % 60, seconds);
}

void begin_health(Container& c) {
  if (!plan_health(c.record.config)) {
    c.state.health.reset();
    return;
  }
  if (!c.state.health) c.state.health.emplace();
  c.state.health->status = "starting";
  c.state.health->failing_streak = 0;
}

void HealthChecks::watch(const ContainerPtr& c) {
  auto* running = c->running();
  auto plan = plan_health(c->record.config);
  if (running == nullptr || !plan) return;
  context_.scope.start("health check", run(c, running->monitor,
                                           std::make_shared<const HealthPlan>(*std::move(plan))));
}

Coro<void> HealthChecks::run(ContainerPtr c, Link link, Plan plan) {
  for (;;) {
    const bool on = co_await wait_for_turn(c, link, plan);
    if (!on) co_return;
    auto result = co_await probe(c, plan);
    const auto* running = c->running();
    if (context_.closing || running == nullptr || running->monitor != link || !c->state.health)
      co_return;
    // Cut off by the pause: it says nothing.
    if (c->state.status != Status::running) continue;
    if (!judge(*c->state.health, *plan, std::move(result), c->state.started_at)) continue;
    if (auto saved = context_.store.save_state(c->id(), c->state); !saved)
      log::error("state not saved id={} reason={}", c->id(), saved.error().message);
    announce(*context_.events, *c, "health_status: " + c->state.health->status);
  }
}

// Waits for the interval to pass while the container runs unpaused. False: this run is over.
Coro<bool> HealthChecks::wait_for_turn(ContainerPtr c, Link link, Plan plan) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> due;
  for (;;) {
    const auto state = co_await asio::this_coro::cancellation_state;
    const auto* running = c->running();
    if (state.cancelled() != asio::cancellation_type::none || context_.closing || c->removing ||
        running == nullptr || running->monitor != link || !c->state.health)
      co_return false;
    if (c->state.status != Status::running) {
      due.reset();
      co_await c->changed.wait();
      continue;
    }
    if (!due) {
      const nanoseconds ran(now().ns - c->state.started_at.ns);
      due = Clock::now() + next_probe_in(*plan, c->state.health->status, ran);
    }
    const auto left = *due - Clock::now();
    if (left <= nanoseconds::zero()) co_return true;
    co_await c->changed.wait_for(rounded_up(left));
  }
}

Coro<HealthProbe> HealthChecks::probe(ContainerPtr c, Plan plan) {
  auto result = std::make_shared<HealthProbe>();
  result->start = now();
  result->exit_code = -1;
  ExecRequest request;
  request.attach_stdout = request.attach_stderr = true;
  request.cmd.items = plan->command;
  auto id = execs_.create_in(c, std::move(request));
  if (!id) {
    result->output = id.error().message;
    result->end = now();
    co_return *result;
  }
  auto pair = make_socket_pair(SOCK_STREAM);
  auto started = pair ? Result<>{} : Result<>(std::unexpected(pair.error()));
  if (started) started = set_nonblocking(pair->a, true);
  if (started) started = co_await execs_.start_probe(*id, std::move(pair->b));
  if (started) {
    co_await collect(*id, std::move(pair->a), plan, result);
  } else {
    result->output = "OCI runtime exec failed: " + started.error().message;
  }
  result->end = now();
  execs_.forget(*id);
  co_return *result;
}

// Reads until the probe has ended, if need be by a kill for taking too long. One that hangs in the
// kernel is waited for: probes must not pile up.
Coro<void> HealthChecks::collect(std::string id, UniqueFd output, Plan plan,
                                 std::shared_ptr<HealthProbe> result) {
  auto overdue = std::make_shared<bool>(false);
  auto patience = std::make_shared<asio::steady_timer>(context_.io);
  patience->expires_after(plan->timeout);
  context_.scope.start("health check's timeout", end_overdue(id, patience, overdue));
  std::array<char, 4096> buffer{};
  bool cut = false, open = true;
  while (open) {
    const auto n = ::read(output.get(), buffer.data(), buffer.size());
    if (n > 0) {
      keep(*result, buffer.data(), static_cast<std::size_t>(n), cut);
    } else if (n < 0 && errno == EAGAIN) {
      const auto ready = co_await wait_readable(context_.io, output);
      open = ready.has_value();
    } else if (n == 0 || errno != EINTR) {
      open = false;
    }
  }
  // Its streams may end before it does.
  for (;;) {
    const auto view = execs_.inspect(id);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (!view || !view->running || state.cancelled() != asio::cancellation_type::none) break;
    co_await sleep_for(context_.io, kLook);
  }
  patience->cancel();
  if (cut) result->output += "...";
  if (*overdue) {
    const auto text =
        fmt::format("Health check exceeded timeout ({})", duration_text(plan->timeout));
    result->output = result->output.empty() ? text : text + ": " + result->output;
    co_return;
  }
  const auto view = execs_.inspect(id);
  if (view && view->exit_code) result->exit_code = *view->exit_code;
}

Coro<void> HealthChecks::end_overdue(std::string id, std::shared_ptr<asio::steady_timer> patience,
                                     std::shared_ptr<bool> overdue) {
  const auto [ec] = co_await patience->async_wait(kToken);
  if (ec) co_return;
  *overdue = true;
  execs_.kill(id);
}

}  // namespace coracle
