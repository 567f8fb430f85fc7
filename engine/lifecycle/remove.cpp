// remove, rename, wait. Removal is one rename of the container's directory; what follows can be
// done again at the next start.
#include <signal.h>

#include <algorithm>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/wait.hpp"
#include "engine/base/room.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/logs/logs.hpp"

namespace coracle {
namespace {

constexpr std::int64_t kRemovalKillLimit_ms = 5'000;

class ContainerWaiter : public Waiter {
 public:
  explicit ContainerWaiter(std::shared_ptr<Wait> wait) : wait_(std::move(wait)) {}
  Task<WaitResult> result() override { return answer(wait_); }

 private:
  static Task<WaitResult> answer(std::shared_ptr<Wait> wait) {
    const bool answered = co_await wait->result.wait();
    if (!answered) co_return fail(Errc::unavailable, "the wait was given up");
    co_return wait->result.value();
  }
  std::shared_ptr<Wait> wait_;
};

}  // namespace

Result<std::unique_ptr<Waiter>> Lifecycle::wait(const ContainerPtr& c, WaitCondition condition) {
  auto wait = std::make_shared<Wait>(context_.io, condition);
  const bool runs = is_alive(c->state.status) || c->state.status == Status::restarting;
  if (condition == WaitCondition::not_running && !runs) {
    wait->result.set(WaitResult{c->state.exit_code, c->state.error});
  } else {
    std::erase_if(c->waits, [](const auto& weak) { return weak.expired(); });
    c->waits.push_back(wait);
  }
  return std::make_unique<ContainerWaiter>(std::move(wait));
}

// What hangs in a file system keeps a thread, and what it holds of the layer, until that answers;
// the container goes all the same.
Coro<void> Lifecycle::end_uses(ContainerPtr c) {
  const bool ended =
      co_await c->uses.end_all(fmt::format("container {} is being removed", c->name()));
  if (!ended) log::warn("work on a container's files does not end id={}", c->id());
}

Task<> Lifecycle::remove(ContainerPtr c, bool force, bool volumes) {
  std::shared_ptr<MonitorLink> link;
  // Before the lock: a start that has it may be waiting for them.
  if (force || !is_alive(c->status())) co_await end_uses(c);
  {
    const auto lock = co_await c->mutex.lock();
    auto ok = c->permits(Operation::remove);
    const bool alive = is_alive(c->status());
    const bool ends = alive || c->status() == Status::restarting;
    if (!ok && !(force && ends)) co_return ok;
    c->removing = true;  // no operation begins from here on
    ++c->restart_round;
    if (!alive) co_return co_await remove_now(c, volumes);
    link = c->running()->monitor;
    announce(*context_.events, *c, "kill", {{"signal", std::to_string(SIGKILL)}});
    (void)co_await signal(c, SIGKILL);
  }
  if (!co_await wait_for_end(c, link, kRemovalKillLimit_ms)) co_await end_by_force(c, link);
  const auto lock = co_await c->mutex.lock();
  if (c->running() != nullptr) {
    c->removing = false;
    co_return fail(Errc::internal,
                   "cannot remove container \"{}\": it survives SIGKILL; its processes hang in the "
                   "kernel",
                   c->name());
  }
  co_return co_await remove_now(c, volumes);
}

// What a damaged container may have running: it was not joined, since its state could not be read.
Coro<void> Lifecycle::end_damaged(ContainerPtr c) {
  const auto path = context_.store.run_dir(c->id()) + "/" + std::string(monitor::kIdentityName);
  const auto text = read_file(path);
  if (!text) co_return;
  const auto identity = json::from_text<monitor::Identity>(*text);
  if (!identity) co_return;
  for (const auto* who : {&identity->init, &identity->monitor}) {
    auto process = Pidfd::open(*who);
    if (!process) continue;
    (void)process->send_signal(SIGKILL);
    (void)co_await wait_until_ended(context_.io, *process, kKillTakes);
  }
}

Task<> Lifecycle::remove_now(ContainerPtr c, bool volumes) {
  c->removing = true;
  co_await end_uses(c);
  if (!c->damage.empty()) co_await end_damaged(c);
  if (auto gone = context_.store.discard(c->id()); !gone) {
    c->removing = false;
    c->answer_waits(WaitCondition::removed, WaitResult{c->state.exit_code, gone.error().message});
    co_return gone;
  }
  c->attaching.clear();
  finish_followers(*c);
  // From here on it is gone whatever fails: a layer that stays is found at the next start.
  if (auto gone = co_await context_.storage->remove_layer(c->id()); !gone)
    log::warn("writable layer stays id={} reason={}", c->id(), gone.error().message);
  for (const auto& m : c->record.mounts) {
    if (m.layer.empty()) continue;
    if (auto gone = co_await context_.storage->remove_layer(m.layer); !gone)
      log::warn("layer of a mounted image stays id={} reason={}", m.layer, gone.error().message);
  }
  if (volumes) {
    for (const auto& m : c->record.mounts) {
      if (m.type != MountType::volume || !m.anonymous) continue;
      auto gone = co_await volumes_.discard(m.name, c->id());
      if (!gone && gone.error().code != Errc::not_found)
        log::warn("volume stays name={} reason={}", m.name, gone.error().message);
    }
  }
  hooks_.removed(c);
  context_.table.remove(*c);
  announce(*context_.events, *c, "destroy");
  c->changed.notify_all();
  const WaitResult result{c->state.exit_code, {}};
  for (const auto condition :
       {WaitCondition::not_running, WaitCondition::next_exit, WaitCondition::removed})
    c->answer_waits(condition, result);
  if (is_nearly_full(context_.store.dir(""))) {
    // Its logs may be what has filled the disk: the next request finds the room.
    auto job = [store = context_.store]() -> Result<> {
      store.empty_trash();
      return {};
    };
    (void)co_await context_.workers.run(std::move(job));
  } else if (!emptying_trash_) {
    emptying_trash_ = true;
    context_.scope.start("empty trash", empty_trash());
  }
  co_return Result<>{};
}

Coro<void> Lifecycle::empty_trash() {
  // A little later, so that many removals make one walk.
  co_await sleep_for(context_.io, std::chrono::milliseconds(100));
  emptying_trash_ = false;
  auto job = [store = context_.store]() -> Result<> {
    store.empty_trash();
    return {};
  };
  (void)co_await context_.workers.run(std::move(job));
}

Task<> Lifecycle::rename(ContainerPtr c, std::string to) {
  if (to.starts_with('/')) to.erase(0, 1);
  if (to.empty()) co_return fail(Errc::invalid_argument, "Neither old nor new names may be empty");
  CO_CHECK(check_container_name(to));
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::rename));
  const std::string from = c->name();
  if (from == to)
    co_return fail(Errc::invalid_argument,
                   "Renaming a container with the same name as its current name");
  CO_CHECK(context_.table.take_name(to, c->id()));
  ContainerRecord record = c->record;
  record.name = to;
  auto job = [store = context_.store, id = c->id(), text = json::to_text(record)] {
    return store.write_record(id, text);
  };
  auto written = co_await context_.workers.run(std::move(job));
  if (!written) {
    context_.table.free_name(to, c->id());
    co_return written;
  }
  c->record.name = to;
  context_.table.free_name(from, c->id());
  announce(*context_.events, *c, "rename", {{"oldName", "/" + from}});
  co_return Result<>{};
}

}  // namespace coracle
