// A container's life: create, start, stop, kill, pause, restart, update, rename, remove, wait; its
// end; and finding it again after a restart of the daemon. A file a step: create.cpp, start.cpp,
// stop.cpp, pause.cpp, update.cpp, exit.cpp, remove.cpp, reattach.cpp.
//
// Each operation takes the container's lock and asks permit() after it. Nobody keeps the lock while
// waiting for an exit, since the exit is worked off under it (exit.cpp):
//   monitor's event -> lock -> state.json -> `die` -> ack -> network dropped -> waits answered
//                   -> --rm: removed, `destroy`, name free, waits for `removed` answered
//                   -> restart policy: status restarting, and a timer; waits for an exit are
//                      answered then too, as at Docker
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/container/container.hpp"
#include "engine/container/monitor_spawner.hpp"
#include "engine/context.hpp"
#include "engine/face/streams.hpp"
#include "engine/lifecycle/start_gate.hpp"
#include "engine/network/networks.hpp"
#include "engine/spec/generate.hpp"
#include "engine/volumes/volumes.hpp"

namespace coracle {

// A process that was sent SIGKILL has ended by then.
constexpr std::chrono::milliseconds kKillTakes{2000};

struct ContainerUpdate;
struct PlanWorld;

class Lifecycle {
 public:
  // What the exec instances want to know of a container.
  struct Hooks {
    std::function<void(const ContainerPtr&, const monitor::Answer&)> exec_event;
    std::function<void(const ContainerPtr&, const std::vector<monitor::ExecView>&)> reattached;
    // It runs: from its start, or found running after a restart of the daemon.
    std::function<void(const ContainerPtr&)> running;
    std::function<void(const ContainerPtr&)> ended;    // its execs have ended with it
    std::function<void(const ContainerPtr&)> removed;  // and are forgotten
  };
  Lifecycle(Context& context, Networks& networks, Volumes& volumes, Hooks hooks);

  Task<Created> create(CreateRequest request);
  Task<> start(ContainerPtr c);
  Task<> stop(ContainerPtr c, StopOptions options);
  Task<> restart(ContainerPtr c, StopOptions options);
  Task<> kill(ContainerPtr c, std::string signal);
  Task<> pause(ContainerPtr c);
  Task<> unpause(ContainerPtr c);
  Task<std::vector<std::string>> update(ContainerPtr c, ContainerUpdate update);
  Task<> rename(ContainerPtr c, std::string to);
  Task<> remove(ContainerPtr c, bool force, bool volumes);
  Task<> remove_link(std::string name);
  Result<std::unique_ptr<Waiter>> wait(const ContainerPtr& c, WaitCondition condition);

  // At open: loads every container, joins those that run, works off what ended meanwhile.
  Task<> reattach();
  // Lets go of every monitor and endpoint without stopping anything.
  void let_go();

 private:
  // create.cpp
  [[nodiscard]] PlanWorld world(const storage::Image& image) const;
  Task<> make(ContainerPtr c, storage::Image image, std::vector<std::string>& made_volumes);
  Task<> make_volumes(ContainerPtr c, storage::Image image, std::vector<std::string>& made);
  // start.cpp; the caller holds the lock
  Task<> start_now(ContainerPtr c);
  Coro<void> await_last_monitor(ContainerPtr c);
  Task<> try_start(ContainerPtr c);
  struct Starting;
  Task<> attach_network(std::shared_ptr<Starting> s);
  Result<> prepare_bundle(Starting& s);
  Result<std::shared_ptr<MonitorLink>> take_monitor();
  Task<> join_network(std::shared_ptr<Starting> s);
  Task<> launch(std::shared_ptr<Starting> s);
  void note_running(Starting& s);
  void listen(const ContainerPtr& c, const std::shared_ptr<MonitorLink>& link);
  // pause.cpp; the caller holds the lock
  Task<> ask_monitor(ContainerPtr c, monitor::Request::What what);
  Task<> thaw(ContainerPtr c);
  // stop.cpp
  void end_restarting(const ContainerPtr& c);
  Coro<void> let_die(ContainerPtr c);
  Task<> signal(ContainerPtr c, int number);
  Coro<bool> wait_for_end(ContainerPtr c, std::shared_ptr<MonitorLink> link, std::int64_t limit_ms);
  Task<> stop_running(ContainerPtr c, StopOptions options);
  Coro<void> end_by_force(ContainerPtr c, std::shared_ptr<MonitorLink> link);
  // exit.cpp
  Coro<void> exited(ContainerPtr c, std::shared_ptr<MonitorLink> link, monitor::Answer event);
  Coro<void> lost(ContainerPtr c, std::shared_ptr<MonitorLink> link);
  Coro<void> settle(ContainerPtr c, monitor::ExitRecord end, std::uint64_t event_number);
  bool plan_restart(Container& c, bool ran_long);
  void schedule_restart(const ContainerPtr& c);
  Coro<void> restart_later(ContainerPtr c, std::uint64_t round);
  void save(const Container& c) const;
  // remove.cpp; the caller holds the lock
  static Coro<void> end_uses(ContainerPtr c);
  Coro<void> end_damaged(ContainerPtr c);
  Task<> remove_now(ContainerPtr c, bool volumes);
  Coro<void> empty_trash();
  // reattach.cpp
  Task<> reattach_one(ContainerPtr c);
  Task<> join_monitor(ContainerPtr c, monitor::Identity identity);
  Coro<void> settle_unseen_end(ContainerPtr c, monitor::Identity identity);

  Context& context_;
  Networks& networks_;
  Volumes& volumes_;
  Hooks hooks_;
  MonitorSpawner monitors_;
  StartGate starting_;
  bool emptying_trash_ = false;
};

}  // namespace coracle
