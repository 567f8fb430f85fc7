// stop, kill, restart: a signal under the container's lock, then a wait for its end without it.
#include <signal.h>

#include <algorithm>

#include "engine/base/log.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/logs/logs.hpp"
#include "engine/request/validate.hpp"

namespace coracle {
namespace {

constexpr std::int64_t kDefaultGrace_ms = 10'000;
constexpr std::int64_t kMostGrace_s = std::int64_t{10} * 365 * 24 * 3600;  // as good as for ever
constexpr std::int64_t kStopKillLimit_ms = 10'000;  // after SIGKILL: then by force

}  // namespace

Task<> Lifecycle::signal(ContainerPtr c, int number) {
  auto* running = c->running();
  if (running == nullptr) co_return fail(Errc::conflict, "container {} is not running", c->id());
  monitor::op::Signal request;
  request.signal = number;
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(request)));
  co_return Result<>{};
}

// True when the run that `link` belongs to has ended within the limit (negative: none).
Coro<bool> Lifecycle::wait_for_end(ContainerPtr c, std::shared_ptr<MonitorLink> link,
                                   std::int64_t limit_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms);
  for (;;) {
    auto* running = c->running();
    if (running == nullptr || running->monitor != link) co_return true;
    if (limit_ms < 0) {
      co_await c->changed.wait();
    } else {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) co_return false;
      co_await c->changed.wait_for(left);
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return false;
  }
}

// The monitor did not carry out a SIGKILL: its container's first process and it are killed by
// descriptor, and the end is written down by us (exit.cpp, lost).
Coro<void> Lifecycle::end_by_force(ContainerPtr c, std::shared_ptr<MonitorLink> link) {
  auto* running = c->running();
  if (running == nullptr || running->monitor != link) co_return;
  log::warn("container's monitor does not answer, killed id={}", c->id());
  const auto identity = running->identity;
  for (const auto& who : {identity.init, identity.monitor}) {
    if (auto process = Pidfd::open(who)) (void)process->send_signal(SIGKILL);
  }
  (void)co_await wait_for_end(c, link, kStopKillLimit_ms);
}

// Stopped while it waited for its next start. The caller holds the lock.
void Lifecycle::end_restarting(const ContainerPtr& c) {
  ++c->restart_round;
  c->state.status = Status::exited;
  c->state.restart_at = {};
  save(*c);
  c->changed.notify_all();
  finish_followers(*c);
  const WaitResult result{c->state.exit_code, {}};
  c->answer_waits(WaitCondition::not_running, result);
  c->answer_waits(WaitCondition::next_exit, result);
}

// A signal that is to end a paused container is heard only when it runs again. The caller has the
// lock.
Coro<void> Lifecycle::let_die(ContainerPtr c) {
  if (c->state.status != Status::paused || c->running() == nullptr) co_return;
  if (auto thawed = co_await thaw(c); !thawed)
    log::warn("paused container not resumed id={} reason={}", c->id(), thawed.error().message);
}

Task<> Lifecycle::stop_running(ContainerPtr c, StopOptions options) {
  const auto own = c->record.config.stop_timeout;
  std::int64_t grace_ms = own ? std::int64_t{*own} * 1000 : kDefaultGrace_ms;
  if (options.timeout_s)
    grace_ms = std::clamp<std::int64_t>(*options.timeout_s, -1, kMostGrace_s) * 1000;
  std::shared_ptr<MonitorLink> link;
  {
    const auto lock = co_await c->mutex.lock();
    CO_CHECK(c->permits(Operation::stop));
    c->state.stopped_by_user = true;
    if (c->state.status == Status::restarting) {
      end_restarting(c);
      co_return Result<>{};
    }
    const auto& text = options.signal.empty() ? c->record.config.stop_signal : options.signal;
    CO_TRY(const int number, parse_signal(text, SIGTERM));
    save(*c);
    link = c->running()->monitor;
    announce(*context_.events, *c, "kill", {{"signal", std::to_string(number)}});
    // One that has just ended, or whose monitor is away, is found out by the wait.
    (void)co_await signal(c, number);
    co_await let_die(c);
  }
  if (co_await wait_for_end(c, link, grace_ms)) co_return Result<>{};
  {
    const auto lock = co_await c->mutex.lock();
    if (auto* running = c->running(); running != nullptr && running->monitor == link) {
      announce(*context_.events, *c, "kill", {{"signal", "9"}});
      (void)co_await signal(c, SIGKILL);
    }
  }
  if (co_await wait_for_end(c, link, kStopKillLimit_ms)) co_return Result<>{};
  co_await end_by_force(c, link);
  if (auto* running = c->running(); running != nullptr && running->monitor == link)
    co_return fail(Errc::internal,
                   "cannot stop container: {}: it survives SIGKILL; its processes "
                   "hang in the kernel",
                   c->name());
  co_return Result<>{};
}

Task<> Lifecycle::stop(ContainerPtr c, StopOptions options) {
  CO_CHECK(co_await stop_running(c, std::move(options)));
  announce(*context_.events, *c, "stop");
  co_return Result<>{};
}

Task<> Lifecycle::restart(ContainerPtr c, StopOptions options) {
  c->kept_once = true;
  auto stopped = co_await stop_running(c, std::move(options));
  c->kept_once = false;
  if (!stopped && stopped.error().code != Errc::unchanged) co_return stopped;
  if (stopped) announce(*context_.events, *c, "stop");
  CO_CHECK(co_await start(c));
  announce(*context_.events, *c, "restart");
  co_return Result<>{};
}

Task<> Lifecycle::kill(ContainerPtr c, std::string text) {
  CO_TRY(const int number, parse_signal(text, SIGKILL));
  std::shared_ptr<MonitorLink> link;
  bool ends = false;
  {
    const auto lock = co_await c->mutex.lock();
    if (auto ok = c->permits(Operation::kill); !ok)
      co_return std::unexpected(ok.error().within("cannot kill container: {}", c->name()));
    CO_TRY(const int stop_signal, parse_signal(c->record.config.stop_signal, SIGTERM));
    ends = number == SIGKILL || number == stop_signal;
    if (c->state.status == Status::restarting && !ends)
      co_return fail(Errc::conflict,
                     "cannot kill container: {}: Container {} is restarting, wait until the "
                     "container is running",
                     c->name(), c->id());
    if (ends) {
      c->state.stopped_by_user = true;
      if (c->state.status == Status::restarting) {
        end_restarting(c);
        co_return Result<>{};
      }
      save(*c);
    }
    link = c->running()->monitor;
    announce(*context_.events, *c, "kill", {{"signal", std::to_string(number)}});
    auto sent = co_await signal(c, number);
    // The end of a container whose monitor has just gone is being worked off.
    if (!sent && sent.error().code != Errc::unavailable && sent.error().code != Errc::not_found)
      co_return std::unexpected(sent.error().within("cannot kill container: {}", c->name()));
    if (ends) co_await let_die(c);
  }
  if (number != SIGKILL) co_return Result<>{};
  if (!co_await wait_for_end(c, link, kStopKillLimit_ms)) co_await end_by_force(c, link);
  co_return Result<>{};
}

}  // namespace coracle
