// pause and unpause: the monitor freezes the container's processes (SIGSTOP to all of them where
// there is no cgroup freezer), and only then the state says so.
#include "engine/base/log.hpp"
#include "engine/lifecycle/lifecycle.hpp"

namespace coracle {

Task<> Lifecycle::ask_monitor(ContainerPtr c, monitor::Request::What what) {
  auto* running = c->running();
  if (running == nullptr) co_return fail(Errc::conflict, "Container {} is not running", c->id());
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(what)));
  // It may have ended meanwhile: that is worked off after us.
  running = c->running();
  if (running == nullptr || running->monitor != link)
    co_return fail(Errc::conflict, "Container {} is not running", c->id());
  co_return Result<>{};
}

Task<> Lifecycle::pause(ContainerPtr c) {
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::pause));
  monitor::Request::What what = monitor::op::Pause{};
  auto frozen = co_await ask_monitor(c, std::move(what));
  if (!frozen)
    co_return std::unexpected(frozen.error().within("cannot pause container {}", c->id()));
  c->state.status = Status::paused;
  save(*c);
  announce(*context_.events, *c, "pause");
  c->changed.notify_all();
  co_return Result<>{};
}

Task<> Lifecycle::unpause(ContainerPtr c) {
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::unpause));
  co_return co_await thaw(c);
}

// The caller holds the lock.
Task<> Lifecycle::thaw(ContainerPtr c) {
  monitor::Request::What what = monitor::op::Unpause{};
  auto thawed = co_await ask_monitor(c, std::move(what));
  if (!thawed)
    co_return std::unexpected(thawed.error().within("cannot unpause container {}", c->id()));
  c->state.status = Status::running;
  save(*c);
  announce(*context_.events, *c, "unpause");
  c->changed.notify_all();
  co_return Result<>{};
}

}  // namespace coracle
