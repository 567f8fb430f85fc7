// The end of a container: told by its monitor, or found out when the monitor has gone. Everything
// that follows from it happens here, once, under the container's lock (lifecycle.hpp has the
// order).
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/members.hpp"
#include "engine/base/process/wait.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/lifecycle/run_events.hpp"
#include "engine/logs/logs.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::int32_t kFirstDelay_ms = 100;
constexpr std::int32_t kLongestDelay_ms = 60'000;
constexpr std::chrono::milliseconds kRestLimit{2000};
constexpr std::int64_t kLongRun_ns = 10'000'000'000;  // after it the delay begins anew

bool wants_restart(const Container& c) {
  if (c.state.stopped_by_user || c.removing) return false;
  const auto most = c.record.host.restart_policy.maximum_retry_count;
  switch (restart_kind(c.record.host)) {
    case RestartKind::no: return false;
    case RestartKind::always:
    case RestartKind::unless_stopped: return true;
    case RestartKind::on_failure:
      return c.state.exit_code != 0 && (most == 0 || c.state.restart_count < most);
  }
  return false;
}

bool of_this_boot(const ProcessIdentity& who) {
  const auto ours = identify(::getpid());
  return ours && ours->boot_id == who.boot_id;
}

// Waits until the process has ended; it was sent SIGKILL.
Coro<void> await_end(asio::io_context& io, const Pidfd& process) {
  (void)co_await wait_until_ended(io, process, kKillTakes);
  // Ours when its monitor was (Engine::open made us the reaper of orphans); else it is init's.
  int status = 0;
  ::waitpid(process.pid(), &status, WNOHANG);
}

// What shares the pid namespace of others and outlived its container's first process.
Coro<void> end_rest(Workers& workers, std::string id,
                    std::shared_ptr<const OwnNamespaces> namespaces) {
  auto job = [namespaces] { return namespaces->end_members(kRestLimit); };
  const auto ended = co_await workers.run(std::move(job));
  if (!ended)
    log::warn("container has ended, but not all of it id={} reason={}", id, ended.error().message);
}

}  // namespace

void Lifecycle::save(const Container& c) const {
  if (!c.damage.empty()) return;
  // Memory stays right when the disk is full; the monitor's exit.json is what a successor reads.
  if (auto saved = context_.store.save_state(c.id(), c.state); !saved)
    log::error("state not saved id={} reason={}", c.id(), saved.error().message);
}

bool Lifecycle::plan_restart(Container& c, bool ran_long) {
  if (!wants_restart(c)) return false;
  auto& delay = c.state.restart_delay_ms;
  delay = ran_long || delay == 0 ? kFirstDelay_ms : std::min(delay * 2, kLongestDelay_ms);
  c.state.status = Status::restarting;
  c.state.restart_at = Time{now().ns + std::int64_t{delay} * 1'000'000};
  ++c.state.restart_count;
  return true;
}

void Lifecycle::schedule_restart(const ContainerPtr& c) {
  if (context_.closing) return;  // the next daemon reads of it in state.json
  context_.scope.start("restart policy", restart_later(c, ++c->restart_round));
}

Coro<void> Lifecycle::restart_later(ContainerPtr c, std::uint64_t round) {
  // The clock may have been set back since.
  const auto left_ms = std::min<std::int64_t>((c->state.restart_at.ns - now().ns) / 1'000'000,
                                              c->state.restart_delay_ms);
  if (left_ms > 0) co_await sleep_for(context_.io, std::chrono::milliseconds(left_ms));
  const auto lock = co_await c->mutex.lock();
  if (context_.closing || round != c->restart_round || c->state.status != Status::restarting)
    co_return;
  auto started = co_await start_now(c);
  if (started || c->removing) co_return;
  if (context_.closing) {
    c->state.status = Status::restarting;
    save(*c);
  } else if (plan_restart(*c, false)) {
    save(*c);
    schedule_restart(c);
  }
}

Coro<void> Lifecycle::settle(ContainerPtr c, monitor::ExitRecord end, std::uint64_t event_number) {
  const auto ran_ns = end.finished_at.ns - c->state.started_at.ns;
  c->state.status = Status::exited;
  c->state.exit_code = end.code;
  c->state.error = end.error;
  c->state.oom_killed = end.oom_killed;
  c->state.finished_at = end.finished_at;
  c->state.endpoint.reset();
  if (c->state.health) c->state.health->status = "unhealthy";  // as at Docker: nobody asks it now
  const bool kept = c->kept_once;  // a restart takes it away while we wait below
  const bool again = !kept && plan_restart(*c, ran_ns > kLongRun_ns);
  save(*c);
  (void)fail_point("container.exit.saved");
  auto was = std::exchange(c->held, Idle{});
  if (end.oom_killed) announce(*context_.events, *c, "oom", {}, end.finished_at);
  announce(*context_.events, *c, "die",
           {{"exitCode", std::to_string(end.code)},
            {"execDuration", std::to_string(std::max<std::int64_t>(0, ran_ns) / 1'000'000'000)}},
           end.finished_at);
  log::info("container ended id={} code={}", c->id(), end.code);
  hooks_.ended(c);
  if (auto* running = std::get_if<Running>(&was); running != nullptr && running->monitor) {
    if (event_number != 0) running->monitor->acknowledge(event_number);
    running->monitor->forget();
    if (running->identity.monitor.pid != 0) c->ending = running->identity.monitor;
  }
  was = Idle{};  // drops the network
  announce_left(*context_.events, networks_, *c);
  co_await volumes_.unmount(c);
  c->changed.notify_all();
  if (!again) finish_followers(*c);
  const WaitResult result{end.code, end.error};
  c->answer_waits(WaitCondition::not_running, result);
  c->answer_waits(WaitCondition::next_exit, result);
  if (again) {
    schedule_restart(c);
    co_return;
  }
  if (!c->record.host.auto_remove || kept || c->removing || context_.closing) co_return;
  if (auto removed = co_await remove_now(c, true); !removed)
    log::error("container not removed id={} reason={}", c->id(), removed.error().message);
}

Coro<void> Lifecycle::exited(ContainerPtr c, std::shared_ptr<MonitorLink> link,
                             monitor::Answer event) {
  const auto lock = co_await c->mutex.lock();
  auto* running = c->running();
  if (running == nullptr || running->monitor != link) co_return;
  monitor::ExitRecord end;
  end.code = event.code;
  end.finished_at = event.time.ns != 0 ? event.time : now();
  end.oom_killed = event.oom_killed;
  co_await settle(c, std::move(end), event.n);
}

Coro<void> Lifecycle::lost(ContainerPtr c, std::shared_ptr<MonitorLink> link) {
  const auto lock = co_await c->mutex.lock();
  auto* running = c->running();
  if (running == nullptr || running->monitor != link || context_.closing) co_return;
  const auto identity = running->identity;
  co_await settle_unseen_end(c, identity);
}

// What exit.json says, when the monitor came to write it; else the monitor was killed, and what it
// left running is killed too: nobody would see its end.
Coro<void> Lifecycle::settle_unseen_end(ContainerPtr c, monitor::Identity identity) {
  const auto path = context_.store.file(c->id(), monitor::kExitName);
  auto text = read_file(path);
  if (text) {
    if (auto end = json::from_text<monitor::ExitRecord>(*text);
        end && end->finished_at >= c->state.started_at) {
      co_await settle(c, *std::move(end), 0);
      co_return;
    }
  }
  auto init = Pidfd::open(identity.init);
  if (init) {
    // With the pid namespace of others its processes do not end with the first one.
    std::shared_ptr<const OwnNamespaces> rest;
    if (pid_mode(c->record.host).kind != PidMode::Kind::own) {
      if (auto found = OwnNamespaces::of(*init))
        rest = std::make_shared<const OwnNamespaces>(*std::move(found));
    }
    (void)init->send_signal(SIGKILL);
    co_await await_end(context_.io, *init);
    if (rest) co_await end_rest(context_.workers, c->id(), rest);
  }
  monitor::ExitRecord end;
  end.finished_at = now();
  if (identity.monitor.pid == 0 || !of_this_boot(identity.monitor)) {
    // As dockerd tells it after a power cut.
    end.code = 255;
    end.error = "the host was restarted while it ran: its exit status is not known";
  } else {
    end.code = 128 + SIGKILL;
    end.error = "the container's monitor ended before it: its exit status is not known";
  }
  log::warn("container's monitor was lost id={} killed={}", c->id(), init.has_value());
  co_await settle(c, std::move(end), 0);
}

}  // namespace coracle
