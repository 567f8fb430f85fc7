// start, step by step (try_start; the caller holds the container's lock):
//   1  the last run's monitor has gone, and whoever works on the files of the layer makes way
//   2  attach_network: asked of netstack, which goes on beside what follows
//   3  a pass of the gate: so many starts at a time; the volumes are mounted
//   4  prepare_bundle: a worker writes it
//   5  take_monitor: a copy of the spawner, meanwhile
//   6  join_network: bundle and endpoint are there; an endpoint that is another's is given back
//   7  launch: /etc/hosts, then the monitor is told to create, and to start
//   8  note_running: saved, then told to the world
// What fails is told in Docker's words, kept in State.Error and ExitCode, and leaves nothing behind:
// each step's gain is a lease in Starting.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "engine/base/async/future.hpp"
#include "engine/base/defer.hpp"
#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/wait.hpp"
#include "engine/bundle/bundle.hpp"
#include "engine/container/namespaces.hpp"
#include "engine/exec/health.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/lifecycle/run_events.hpp"
#include "engine/lifecycle/start_error.hpp"
#include "engine/network/links.hpp"
#include "engine/request/log_options.hpp"
#include "engine/request/ports.hpp"
#include "engine/spec/exit_code.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::chrono::milliseconds kLastMonitorLimit{5000};
constexpr int kAttachTries = 3;

// Two for each processor: where one waits, for the disk or for netstack, another goes on.
std::size_t places_for_starts() {
  return std::size_t{2} * std::max(1U, std::thread::hardware_concurrency());
}
constexpr std::chrono::milliseconds kGatePatience{2000};

// The create message and its descriptors, in the order that the protocol asks for.
struct CreateMessage {
  monitor::Create create;
  std::vector<UniqueFd> fds;
};
Result<CreateMessage> create_message(const Context& context, Container& c, const oci::Spec& spec,
                                     UniqueFd netns) {
  CreateMessage out;
  auto& m = out.create;
  m.id = c.id();
  m.bundle = context.store.bundle(c.id());
  m.run_dir = context.store.run_dir(c.id());
  m.state_dir = context.store.dir(c.id());
  TRY(m.log, log_options(c.record, context.store.dir(c.id())));
  TRY(m.root, root_mount(*context.storage, c, spec));
  const auto& size = c.record.host.console_size;
  if (size.size() == 2) {
    m.console.height = static_cast<std::uint16_t>(size[0]);
    m.console.width = static_cast<std::uint16_t>(size[1]);
  }
  m.open_stdin = c.record.config.open_stdin;
  m.stdin_once = c.record.config.stdin_once;
  m.sync_exit = !c.record.host.auto_remove;
  m.netns = static_cast<bool>(netns);
  m.lifeline = static_cast<bool>(context.config.lifeline);
  if (c.record.host.init.value_or(false)) m.init_program = context.init_program;
  m.seccomp_cache = context.config.data_root + "/seccomp";
  if (m.netns) out.fds.push_back(std::move(netns));
  if (m.lifeline) {
    TRY(auto copy, duplicate(context.config.lifeline));
    out.fds.push_back(std::move(copy));
  }
  for (auto& waiting : std::exchange(c.attaching, {})) {
    m.attach.push_back(std::move(waiting.attach));
    out.fds.push_back(std::move(waiting.client));
  }
  return out;
}

Coro<void> tell_address(Workers& workers, std::vector<HostsLine> lines) {
  auto job = [lines = std::move(lines)]() -> Result<> {
    for (const auto& line : lines) CHECK(write_line(line));
    return {};
  };
  if (const auto told = co_await workers.run(std::move(job)); !told)
    log::warn("a linked container keeps an old address reason={}", told.error().message);
}

}  // namespace

Lifecycle::Lifecycle(Context& context, Networks& networks, Volumes& volumes, Hooks hooks)
    : context_(context),
      networks_(networks),
      volumes_(volumes),
      hooks_(std::move(hooks)),
      monitors_(context.io, context.scope),
      starting_(context.io, places_for_starts(), kGatePatience) {}

Task<> Lifecycle::start(ContainerPtr c) {
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::start));
  c->state.restart_count = 0;  // the policy counts from here
  c->state.restart_delay_ms = 0;
  co_return co_await start_now(std::move(c));
}

Task<> Lifecycle::start_now(ContainerPtr c) {
  ++c->restart_round;  // a timer that waits to start it has nothing to do any more
  c->state.stopped_by_user = false;
  auto done = co_await try_start(c);
  if (done) co_return done;
  const auto& e = done.error();
  log::warn("container not started id={} reason={}", c->id(), e.message);
  c->attaching.clear();
  co_await volumes_.unmount(c);
  if (c->state.status == Status::restarting) c->state.status = Status::exited;
  c->state.error = e.message;
  c->state.exit_code = exit_code_of_failed_start(e);
  save(*c);
  c->changed.notify_all();
  if (c->record.host.auto_remove && !context_.closing) (void)co_await remove_now(c, true);
  co_return done;
}

// The last run's monitor reports the exit before it has let go of the root file system, and of its
// socket's name: both must be free before they are used again.
Coro<void> Lifecycle::await_last_monitor(ContainerPtr c) {
  const auto last = std::exchange(c->ending, std::nullopt);
  if (!last) co_return;
  auto process = Pidfd::open(*last);
  if (!process) co_return;
  const bool ended = co_await wait_until_ended(context_.io, *process, kLastMonitorLimit);
  if (ended) co_return;
  log::warn("monitor of the last run does not end, killed id={} pid={}", c->id(), last->pid);
  (void)process->send_signal(SIGKILL);
  (void)co_await wait_until_ended(context_.io, *process, kKillTakes);
}

// A start on its way, and what it has got so far.
struct Lifecycle::Starting {
  using Bundle = std::shared_ptr<const oci::Spec>;
  explicit Starting(ContainerPtr container) : c(std::move(container)) {}

  ContainerPtr c;
  const NetworkMode mode = network_mode(c->record.host);
  netstack::AttachRequest request;
  std::optional<Future<netstack::Attachment>> network;
  NetworkLease lease;
  netstack::Attachment attachment;
  std::vector<ProcessIdentity> joined;  // whose namespaces it joins
  std::optional<Future<Bundle>> bundle;
  Bundle spec;
  std::shared_ptr<MonitorLink> monitor;
  std::int32_t pid = 0;  // the container's first process
};

Task<> Lifecycle::try_start(ContainerPtr c) {
  co_await await_last_monitor(c);
  // Before the gate, which is for those that can go on.
  CO_CHECK(co_await c->uses.make_way(fmt::format("container {} was started", c->name())));
  auto s = std::make_shared<Starting>(c);
  CO_CHECK(co_await attach_network(s));
  const auto pass = co_await starting_.enter();
  if (context_.closing) co_return fail(Errc::unavailable, "the daemon is ending");
  CO_CHECK(co_await volumes_.mount(c));
  CO_CHECK(prepare_bundle(*s));
  CO_TRY(s->monitor, take_monitor());
  // Whose container does not come to run.
  Defer undo([monitor = s->monitor] { monitor->abandon(); });
  CO_CHECK(co_await join_network(s));
  CO_CHECK(co_await launch(s));
  note_running(*s);
  undo.release();
  co_return Result<>{};
}

Task<> Lifecycle::attach_network(std::shared_ptr<Starting> s) {
  if (!s->mode.has_endpoint()) co_return Result<>{};
  co_await networks_.wait_until_ready();
  const auto& c = *s->c;
  auto& request = s->request;
  request.container_id = c.id();
  request.name = c.name();
  request.network = c.record.host.network_mode;
  if (const auto own = c.record.endpoints.find(request.network); own != c.record.endpoints.end())
    request.mac = own->second.mac_address;
  if (s->mode.is_bridge()) {
    CO_TRY(request.ports, port_requests(c.record.host, c.record.config));
  }
  s->network.emplace(context_.io, context_.scope, "attach network", networks_.attach(request));
  s->lease = networks_.lease(c.id());
  co_return Result<>{};
}

Result<> Lifecycle::prepare_bundle(Starting& s) {
  TRY(auto input, generate_input(context_, *s.c));
  if (s.mode.is_container()) {
    TRY(s.attachment.netns, open_netns_of(context_.table, s.mode.ref));
  } else if (!s.network && !s.mode.is_host()) {
    return fail(Errc::not_found, "failed to set up container networking: network {} not found",
                s.c->record.host.network_mode);
  }
  s.joined = input.joined;
  TRY(auto to_write, bundle_job(context_, *s.c, std::move(input), networks_.gateway()));
  auto job = [work = std::move(to_write)]() mutable { return write_bundle(std::move(work)); };
  s.bundle.emplace(context_.io, context_.scope, "write bundle",
                   context_.workers.run(std::move(job)));
  return {};
}

Result<std::shared_ptr<MonitorLink>> Lifecycle::take_monitor() {
  if (context_.monitor_program.empty())
    return fail(Errc::unavailable, "coracle-monitor is not installed beside coracled");
  return monitors_.spawn();
}

Task<> Lifecycle::join_network(std::shared_ptr<Starting> s) {
  auto spec = co_await s->bundle->get();
  if (s->network) {
    auto attached = co_await s->network->get();
    for (int i = 0; i < kAttachTries && attached; ++i) {
      if (!networks_.belongs_to_another(s->c->id(), attached->endpoint)) break;
      auto again = s->request;
      attached = co_await networks_.attach_again(std::move(again));
    }
    if (!attached)
      co_return std::unexpected(network_error(attached.error(), *s->c, context_.config.exec_root));
    s->attachment = *std::move(attached);
  }
  CO_CHECK(spec);
  s->spec = *std::move(spec);
  co_return Result<>{};
}

Task<> Lifecycle::launch(std::shared_ptr<Starting> s) {
  const auto& c = s->c;
  CO_CHECK(fail_point("container.start.attached"));
  CO_CHECK(write_hosts(context_, *c, *s->spec, s->attachment.endpoint));
  CO_CHECK(make_dirs(context_.store.run_dir(c->id())));
  ::unlink(context_.store.file(c->id(), monitor::kExitName).c_str());  // of an earlier run
  CO_TRY(auto message, create_message(context_, *c, *s->spec, std::move(s->attachment.netns)));
  message.create.joined = std::move(s->joined);
  listen(c, s->monitor);
  monitor::Request::What create = monitor::op::Create{std::move(message.create)};
  auto created = co_await s->monitor->request(std::move(create), std::move(message.fds));
  if (!created) co_return std::unexpected(runtime_error(created.error()));
  s->pid = created->pid;
  CO_CHECK(fail_point("container.start.created"));
  monitor::Request::What go = monitor::op::Start{};
  auto started = co_await s->monitor->request(std::move(go));
  if (!started) co_return std::unexpected(runtime_error(started.error()));
  co_return Result<>{};
}

void Lifecycle::note_running(Starting& s) {
  const auto& c = s.c;
  Running running;
  running.monitor = s.monitor;
  running.network = std::move(s.lease);
  running.spec = std::move(s.spec);
  const std::string identity_path =
      context_.store.run_dir(c->id()) + "/" + std::string(monitor::kIdentityName);
  if (auto text = read_file(identity_path)) {
    if (auto identity = json::from_text<monitor::Identity>(*text))
      running.identity = *std::move(identity);
  }
  if (running.identity.init.pid == 0) running.identity.init.pid = s.pid;
  c->state.status = Status::running;
  c->state.error.clear();
  c->state.exit_code = 0;
  c->state.oom_killed = false;
  c->state.started_at = now();
  c->state.restart_at = {};
  c->state.endpoint.reset();
  if (s.mode.has_endpoint()) c->state.endpoint = std::move(s.attachment.endpoint);
  c->held = std::move(running);
  begin_health(*c);
  save(*c);
  log::info("container started id={} pid={}", c->id(), s.pid);
  announce_joined(*context_.events, networks_, *c);
  announce(*context_.events, *c, "start");
  hooks_.running(c);
  c->changed.notify_all();
  if (auto lines = lines_about(context_.store, context_.table, *c); !lines.empty())
    context_.scope.start("tell the address", tell_address(context_.workers, std::move(lines)));
}

void Lifecycle::listen(const ContainerPtr& c, const std::shared_ptr<MonitorLink>& link) {
  MonitorLink::Handlers handlers;
  handlers.event = [this, c, weak = std::weak_ptr(link)](const monitor::Answer& answer) {
    auto from = weak.lock();
    if (!from) return;
    const bool own_exit = answer.event == "exit" && answer.exec_id.empty();
    if (own_exit) {
      context_.scope.start("container exit", exited(c, from, answer));
    } else if (answer.event == "detached" && answer.exec_id.empty()) {
      announce(*context_.events, *c, "detach");
    } else if (!answer.exec_id.empty()) {
      hooks_.exec_event(c, answer);
    }
  };
  handlers.lost = [this, c, weak = std::weak_ptr(link)] {
    if (auto from = weak.lock()) context_.scope.start("monitor lost", lost(c, from));
  };
  link->set_handlers(std::move(handlers));
}

}  // namespace coracle
