// After a restart of the daemon: containers are found by their directories, those that run by their
// monitors' identities and sockets, never by a bare pid. What ended meanwhile is told by exit.json,
// with its true code and time. All of them side by side.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <set>

#include "engine/base/async/future.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/wait.hpp"
#include "engine/exec/health.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/rootless/keeper.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::chrono::milliseconds kMonitorLeaves{200};

std::optional<monitor::Identity> read_identity(const std::string& run_dir) {
  const auto text = read_file(run_dir + "/" + std::string(monitor::kIdentityName));
  if (!text) return std::nullopt;
  auto identity = json::from_text<monitor::Identity>(*text);
  if (!identity) return std::nullopt;
  return *std::move(identity);
}

// `always` means at each start of the daemon too, even when the user has stopped it.
bool starts_at_boot(const Container& c) {
  return c.state.status == Status::exited && c.state.started_at.ns != 0 &&
         restart_kind(c.record.host) == RestartKind::always;
}

}  // namespace

Task<> Lifecycle::join_monitor(ContainerPtr c, monitor::Identity identity) {
  const auto run_dir = context_.store.run_dir(c->id());
  CO_TRY(auto link, MonitorLink::connect(context_.io, context_.scope,
                                         run_dir + "/" + std::string(monitor::kSocketName)));
  monitor::Request::What hello = monitor::op::Hello{};
  auto view = co_await link->request(std::move(hello));
  if (!view || (view->status != "running" && view->status != "paused")) {
    link->close();
    if (!view) co_return std::unexpected(view.error());
    co_return fail(Errc::not_found, "the monitor says {}", view->status);
  }
  const auto mark = run_dir + "/" + kPausedByCommitName;
  if (::unlink(mark.c_str()) == 0 && view->status == "paused") {
    monitor::Request::What resume = monitor::op::Unpause{};
    const auto resumed = co_await link->request(std::move(resume));
    if (resumed)
      view->status = "running";
    else
      log::warn("container stays paused after a commit id={} reason={}", c->id(),
                resumed.error().message);
  }
  Running running;
  running.monitor = link;
  running.identity = std::move(identity);
  const bool has_endpoint = network_mode(c->record.host).has_endpoint();
  if (has_endpoint) running.network = networks_.lease(c->id());
  c->held = std::move(running);
  volumes_.adopt(*c);
  const auto status = view->status == "paused" ? Status::paused : Status::running;
  if (c->state.status != status) {
    // The daemon ended between the container's start (or pause) and the note of it.
    c->state.status = status;
    if (c->state.started_at <= c->state.finished_at) c->state.started_at = now();
    save(*c);
  }
  c->state.error.clear();
  if (has_endpoint && rootless::of_another_keeper(c->running()->identity.monitor)) {
    c->state.error = fmt::format(
        "its keeper was killed and its namespaces could not be taken over: it runs on without the "
        "bridge network and its published ports until it is started again; docker restart {}",
        c->name());
    log::warn("container cut off id={} reason=\"{}\"", c->id(), c->state.error);
  }
  hooks_.reattached(c, view->execs);
  listen(c, link);
  if (!c->state.health) begin_health(*c);
  hooks_.running(c);
  log::info("container joined id={} pid={}", c->id(), c->running()->identity.init.pid);
  co_return Result<>{};
}

Task<> Lifecycle::reattach_one(ContainerPtr c) {
  const auto lock = co_await c->mutex.lock();
  const auto identity = read_identity(context_.store.run_dir(c->id()));
  const bool monitor_lives = identity && Pidfd::open(identity->monitor);
  if (monitor_lives) {
    auto who = *identity;
    auto joined = co_await join_monitor(c, std::move(who));
    if (joined) co_return joined;
    log::warn("container's monitor not joined id={} reason={}", c->id(), joined.error().message);
    // It may be ending by itself; one that does not is ended.
    auto process = Pidfd::open(identity->monitor);
    bool ended = !process;
    if (!ended) ended = co_await wait_until_ended(context_.io, *process, kMonitorLeaves);
    if (!ended) (void)process->send_signal(SIGKILL);
  }
  const bool ran = c->state.status == Status::running || c->state.status == Status::paused;
  if (ran) {
    auto who = identity.value_or(monitor::Identity{});  // named: g++ 12, see base/async.hpp
    co_await settle_unseen_end(c, std::move(who));
  } else if (identity) {
    // A start that was cut off before its note: nothing of it stays.
    if (auto init = Pidfd::open(identity->init)) (void)init->send_signal(SIGKILL);
    (void)remove_tree(context_.store.run_dir(c->id()));
  }
  if (c->state.status == Status::restarting) {
    schedule_restart(c);
  } else if (!c->removing && c->record.host.auto_remove && c->state.status == Status::exited) {
    co_return co_await remove_now(c, true);
  } else if (starts_at_boot(*c)) {
    c->state.stopped_by_user = false;
    if (plan_restart(*c, true)) {
      save(*c);
      schedule_restart(c);
    }
  }
  co_return Result<>{};
}

Task<> Lifecycle::reattach() {
  if (!context_.monitor_program.empty()) monitors_.open(context_.monitor_program);
  CO_TRY(auto loaded, context_.store.load());
  std::vector<ContainerPtr> all;
  for (auto& one : loaded) {
    auto c = std::make_shared<Container>(context_.io);
    c->record = std::move(one.record);
    c->state = std::move(one.state);
    c->damage = std::move(one.damage);
    if (c->record.name.empty()) {
      c->record.name = context_.table.take_random_name(c->id());
    } else if (!context_.table.take_name(c->name(), c->id())) {
      c->damage = fmt::format("its name {} belongs to another container too", c->name());
      c->record.name = context_.table.take_random_name(c->id());
    }
    context_.table.add(c);
    all.push_back(std::move(c));
  }
  std::deque<Future<>> joining;
  for (const auto& c : all) {
    if (c->damage.empty())
      joining.emplace_back(context_.io, context_.scope, "reattach", reattach_one(c));
  }
  for (auto& one : joining) {
    if (auto done = co_await one.get(); !done)
      log::error("container not taken over reason={}", done.error().message);
  }
  context_.scope.start("reconcile network", networks_.reconcile());
  context_.scope.start("reconcile volumes", volumes_.reconcile());
  // Writable layers whose container was removed, or never came to be.
  for (const auto& id : context_.storage->layers()) {
    // "ID.image-N" is of an image that the container ID mounts.
    if (!context_.table.all().contains(id.substr(0, id.find('.'))))
      (void)co_await context_.storage->remove_layer(id);
  }
  context_.scope.start("empty trash", empty_trash());
  co_return Result<>{};
}

void Lifecycle::let_go() {
  for (const auto& [id, c] : context_.table.all()) {
    auto* running = c->running();
    if (running == nullptr) continue;
    running->network.disown();
    running->monitor->close();
  }
}

}  // namespace coracle
