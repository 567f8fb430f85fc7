// start: the network is attached and the monitor starts while a worker writes the bundle; then the
// monitor makes the container and lets it run. What fails is told in Docker's words, kept in
// State.Error and ExitCode, and leaves nothing behind.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/later.hpp"
#include "engine/base/log.hpp"
#include "engine/bundle/cdi_files.hpp"
#include "engine/bundle/etc_files.hpp"
#include "engine/bundle/keep_id_user.hpp"
#include "engine/bundle/mount_sources.hpp"
#include "engine/bundle/spec_input.hpp"
#include "engine/container/namespaces.hpp"
#include "engine/exec/health.hpp"
#include "engine/keeper_watch.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/lifecycle/run_events.hpp"
#include "engine/network/links.hpp"
#include "engine/network/restore.hpp"
#include "engine/request/log_options.hpp"
#include "engine/request/ports.hpp"

namespace coracle {
namespace {

constexpr int kLastMonitorLimitMs = 5000;
constexpr int kAttachTries = 3;
constexpr std::size_t kHostFileLimit = std::size_t{1} << 20;

// Two for each processor: where one waits, for the disk or for netstack, another goes on.
std::size_t places_for_starts() {
  return std::size_t{2} * std::max(1U, std::thread::hardware_concurrency());
}
constexpr std::chrono::milliseconds kGatePatience{2000};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// A failing start as Docker counts it: the code that `docker run` ends with.
std::int32_t exit_code_of(const Error& e) {
  if (has(e.message, "executable file not found") || has(e.message, "no such file or directory") ||
      has(e.message, "No such file or directory"))
    return 127;
  if (has(e.message, "permission denied") || has(e.message, "Permission denied") ||
      has(e.message, "is a directory"))
    return 126;
  return 128;
}

// What the monitor said, as the client gets it: 400 for what the command is to blame for.
Error runtime_error(const Error& e) {
  const bool command = exit_code_of(e) != 128;
  auto code = command ? Errc::invalid_argument : e.code;
  if (!command && (e.code == Errc::not_found || e.code == Errc::unchanged ||
                   e.code == Errc::conflict || e.code == Errc::forbidden))
    code = Errc::internal;
  return e.within("failed to create task for container: OCI runtime create failed").as(code);
}

Error network_error(const Error& e, const Container& c, const std::string& exec_root) {
  if (has(e.message, "port is already allocated"))
    return e
        .within(
            "failed to set up container networking: driver failed programming external "
            "connectivity on endpoint {} ({})",
            c.name(), c.id())
        .as(Errc::internal);
  const auto trouble = e.code == Errc::unavailable ? keeper_trouble(exec_root) : std::string();
  if (!trouble.empty())
    return Error{Errc::unavailable, e.sys, "failed to set up container networking: " + trouble};
  return e.within("failed to set up container networking")
      .as(e.code == Errc::unavailable ? Errc::unavailable : Errc::internal);
}

struct BundleJob {
  GenerateInput input;
  std::optional<KeepIdInput> keep_id;
  std::vector<std::string> cdi_devices, cdi_directories;
  std::vector<std::string> make_sources;
  std::string bundle;
  std::string hostname_path, hostname, resolv_conf_path;
  NetworkFacts facts;
  bool own_files = true;  // not for container: mode
};

// In a user namespace of its own the container's root is not our 0; its files in /etc are root's.
Result<> give_to_root(const oci::Linux& linux, const std::string& path) {
  if (linux.uid_mappings.empty()) return {};
  if (::chown(path.c_str(), root_of(linux.uid_mappings), root_of(linux.gid_mappings)) != 0)
    return sys_error("change the owner of {}", path);
  return {};
}

// Blocks: for a worker.
Result<std::shared_ptr<const oci::Spec>> write_bundle(BundleJob job) {
  if (job.keep_id) {
    TRY(auto maps, find_keep_id(*job.keep_id));
    job.input.uid_map = std::move(maps.users);
    job.input.gid_map = std::move(maps.groups);
  }
  for (const auto& source : job.make_sources) {
    CHECK(make_source(source));
  }
  if (!job.cdi_devices.empty())
    CHECK(cdi::inject(cdi::read_specs(job.cdi_directories), job.cdi_devices, job.input));
  TRY(auto generated, generate(job.input));
  for (const auto& w : generated.warnings)
    log::debug("container has less than it asked for id={} what={}", job.input.id, w);
  if (job.own_files) {
    if (auto text = read_file("/etc/resolv.conf", kHostFileLimit))
      job.facts.resolv_conf = *std::move(text);
    CHECK(write_file_atomic(job.resolv_conf_path, resolv_conf_text(job.input.host, job.facts), 0644,
                            Durability::unsynced));
    CHECK(write_file_atomic(job.hostname_path, job.hostname + "\n", 0644, Durability::unsynced));
    CHECK(give_to_root(generated.spec.linux, job.resolv_conf_path));
    CHECK(give_to_root(generated.spec.linux, job.hostname_path));
  }
  CHECK(make_dirs(job.bundle + "/rootfs"));
  CHECK(write_file_atomic(job.bundle + "/config.json", json::to_text(generated.spec), 0600,
                          Durability::unsynced));
  generated.spec.linux.seccomp.reset();  // the largest part; exec does not need it here
  generated.spec.mounts.clear();
  return std::make_shared<const oci::Spec>(std::move(generated.spec));
}

Result<> write_hosts(const Parts& p, const Container& c, const oci::Spec& spec,
                     const netstack::Endpoint& endpoint) {
  const auto& mode = c.record.host.network_mode;
  if (mode.starts_with("container:")) return {};
  NetworkFacts facts;
  facts.address = endpoint.address;
  facts.gateway = endpoint.gateway;
  facts.host = mode == "host";
  if (facts.host) {
    if (auto text = read_file("/etc/hosts", kHostFileLimit)) facts.hosts = *std::move(text);
  }
  const auto path = p.store.file(c.id(), "hosts");
  CHECK(write_file_atomic(path,
                          hosts_text(c.record.config, c.record.host, facts) + link_hosts(p, c),
                          0644, Durability::unsynced));
  return give_to_root(spec.linux, path);
}

Result<runtime::RootMount> root_mount(const Parts& p, const Container& c, const oci::Spec& spec) {
  TRY(const auto plan, p.storage->mount_plan(c.id()));
  runtime::RootMount root;
  root.type = plan.type;
  root.lower = plan.lower;
  root.upper = plan.upper;
  root.work = plan.work;
  root.fuse_program = plan.program;
  root.volatile_upper = c.record.host.auto_remove;
  if (spec.linux.uid_mappings.empty()) return root;
  // The kernel's overlay cannot show other ids than the layers have.
  if (root.type == "overlay") {
    root.type = "fuse-overlayfs";
    TRY(root.fuse_program, find_id_mapping_overlay());
  }
  if (root.type != "fuse-overlayfs")
    return fail(Errc::unsupported,
                "keep-id: the storage driver {} cannot show an image's files with other ids; use "
                "overlay or fuse-overlayfs",
                p.storage->driver());
  root.uid_mapping = layer_id_map(spec.linux.uid_mappings);
  root.gid_mapping = layer_id_map(spec.linux.gid_mappings);
  return root;
}

Result<std::optional<KeepIdInput>> keep_id_input(const Parts& p, const Container& c) {
  std::optional<KeepIdInput> out;
  TRY(const auto request, parse_userns_mode(c.record.host.userns_mode));
  if (!request) return out;
  TRY(const auto plan, p.storage->mount_plan(c.id()));
  out = KeepIdInput{*request, {c.record.config.user}, {}, p.host.uids, p.host.gids};
  if (const auto image = p.storage->find(c.record.image_id))
    out->users.push_back(image->config.user);
  if (!plan.upper.empty()) out->layers.push_back(plan.upper);
  out->layers.insert(out->layers.end(), plan.lower.begin(), plan.lower.end());
  return out;
}

Result<BundleJob> bundle_job(const Parts& p, const Container& c, GenerateInput input) {
  BundleJob job;
  TRY(job.keep_id, keep_id_input(p, c));
  for (const auto& d : c.record.host.resources.device_requests)
    job.cdi_devices.insert(job.cdi_devices.end(), d.device_ids.begin(), d.device_ids.end());
  job.cdi_directories = p.config.cdi_spec_dirs;
  job.input = std::move(input);
  job.make_sources = sources_to_make(p.config, c.record.mounts);
  job.bundle = p.store.bundle(c.id());
  job.hostname_path = p.store.file(c.id(), "hostname");
  job.resolv_conf_path = p.store.file(c.id(), "resolv.conf");
  job.hostname = c.record.config.hostname;
  const auto& mode = c.record.host.network_mode;
  job.own_files = !mode.starts_with("container:");
  job.facts.host = mode == "host";
  if (mode == "bridge") job.facts.address = job.facts.gateway = p.bridge.gateway;
  return job;
}

// The create message and its descriptors, in the order that the protocol asks for.
struct CreateMessage {
  monitor::Request request;
  std::vector<UniqueFd> fds;
};
Result<CreateMessage> create_message(const Parts& p, Container& c, const oci::Spec& spec,
                                     UniqueFd netns) {
  CreateMessage out;
  out.request.op = "create";
  monitor::Create m;
  m.id = c.id();
  m.bundle = p.store.bundle(c.id());
  m.run_dir = p.store.run_dir(c.id());
  m.state_dir = p.store.dir(c.id());
  TRY(m.log, log_options(c.record, p.store.dir(c.id())));
  TRY(m.root, root_mount(p, c, spec));
  const auto& size = c.record.host.console_size;
  if (size.size() == 2) {
    m.console.height = static_cast<std::uint16_t>(size[0]);
    m.console.width = static_cast<std::uint16_t>(size[1]);
  }
  m.open_stdin = c.record.config.open_stdin;
  m.stdin_once = c.record.config.stdin_once;
  m.sync_exit = !c.record.host.auto_remove;
  m.netns = static_cast<bool>(netns);
  m.lifeline = static_cast<bool>(p.config.lifeline);
  if (c.record.host.init.value_or(false)) m.init_program = p.init_program;
  m.seccomp_cache = p.config.data_root + "/seccomp";
  if (m.netns) out.fds.push_back(std::move(netns));
  if (m.lifeline) {
    TRY(auto copy, duplicate(p.config.lifeline));
    out.fds.push_back(std::move(copy));
  }
  for (auto& waiting : std::exchange(c.attaching, {})) {
    m.attach.push_back(std::move(waiting.attach));
    out.fds.push_back(std::move(waiting.client));
  }
  out.request.create = std::move(m);
  return out;
}

// A monitor whose container did not come to run.
class Abandoned {
 public:
  explicit Abandoned(std::shared_ptr<MonitorLink> link) : link_(std::move(link)) {}
  Abandoned(const Abandoned&) = delete;
  Abandoned& operator=(const Abandoned&) = delete;
  ~Abandoned() {
    if (link_) link_->abandon();
  }
  void keep() { link_.reset(); }

 private:
  std::shared_ptr<MonitorLink> link_;
};

}  // namespace

Lifecycle::Lifecycle(Parts& parts, Volumes& volumes, Hooks hooks)
    : p_(parts),
      volumes_(volumes),
      hooks_(std::move(hooks)),
      monitors_(parts.io, parts.scope),
      starting_(parts.io, places_for_starts(), kGatePatience) {}

Task<> Lifecycle::start(ContainerPtr c) {
  const auto turn = co_await c->turns.take();
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
  c->state.exit_code = exit_code_of(e);
  save(*c);
  c->changed.notify_all();
  if (c->record.host.auto_remove && !p_.closing) (void)co_await remove_now(c, true);
  co_return done;
}

// The last run's monitor reports the exit before it has let go of the root file system, and of its
// socket's name: both must be free before they are used again.
Coro<void> Lifecycle::await_last_monitor(ContainerPtr c) {
  const auto last = std::exchange(c->ending, std::nullopt);
  if (!last) co_return;
  auto process = Pidfd::open(*last);
  if (!process) co_return;
  for (int waited_ms = 0; !process->ended() && waited_ms < kLastMonitorLimitMs; ++waited_ms)
    co_await sleep_for(p_.io, std::chrono::milliseconds(1));
  if (process->ended()) co_return;
  log::warn("monitor of the last run does not end, killed id={} pid={}", c->id(), last->pid);
  (void)process->send_signal(SIGKILL);
  for (int i = 0; i < 100 && !process->ended(); ++i)
    co_await sleep_for(p_.io, std::chrono::milliseconds(10));
}

Task<> Lifecycle::try_start(ContainerPtr c) {
  co_await await_last_monitor(c);
  // Before the gate, which is for those that can go on.
  CO_CHECK(co_await c->uses.make_way(fmt::format("container {} was started", c->name())));
  const auto& mode = c->record.host.network_mode;
  std::optional<Later<netstack::Attachment>> network;
  netstack::AttachRequest request;
  NetworkLease lease;
  netstack::Attachment attachment;
  if (mode == "bridge" || mode == "none") {
    while (!p_.network_is_ready && !p_.closing) co_await p_.network_ready.wait();
    request.container_id = c->id();
    request.name = c->name();
    request.network = mode;
    if (const auto own = c->record.endpoints.find(mode); own != c->record.endpoints.end())
      request.mac = own->second.mac_address;
    if (mode == "bridge") {
      CO_TRY(request.ports, port_requests(c->record.host, c->record.config));
    }
    network.emplace(p_.io, p_.scope, "attach network", p_.netstack.attach(request));
    lease = NetworkLease(p_.netstack, p_.scope, c->id());
  }
  const auto pass = co_await starting_.enter();
  if (p_.closing) co_return fail(Errc::unavailable, "the daemon is ending");
  CO_CHECK(co_await volumes_.mount(c));
  CO_TRY(auto input, generate_input(p_, *c));
  if (mode.starts_with("container:")) {
    CO_TRY(attachment.netns, open_netns_of(p_.table, mode.substr(10)));
  } else if (!network && mode != "host") {
    co_return fail(Errc::not_found, "failed to set up container networking: network {} not found",
                   mode);
  }
  auto joined = input.joined;
  CO_TRY(auto to_write, bundle_job(p_, *c, std::move(input)));
  auto job = [work = std::move(to_write)]() mutable { return write_bundle(std::move(work)); };
  using Bundled = std::shared_ptr<const oci::Spec>;
  Later<Bundled> bundle(p_.io, p_.scope, "write bundle", p_.workers.run(std::move(job)));
  if (p_.monitor_program.empty())
    co_return fail(Errc::unavailable, "coracle-monitor is not installed beside coracled");
  CO_TRY(auto link, monitors_.spawn());
  Abandoned undo(link);
  auto spec = co_await bundle.get();
  if (network) {
    auto attached = co_await network->get();
    for (int i = 0; i < kAttachTries && attached; ++i) {
      if (!belongs_to_another(p_, c->id(), attached->endpoint)) break;
      auto again = request;
      attached = co_await attach_again(p_, std::move(again));
    }
    if (!attached)
      co_return std::unexpected(network_error(attached.error(), *c, p_.config.exec_root));
    attachment = *std::move(attached);
  }
  CO_CHECK(spec);
  CO_CHECK(co_await launch(c, link, std::move(lease), std::move(attachment), *std::move(spec),
                           std::move(joined)));
  undo.keep();
  co_return Result<>{};
}

Task<> Lifecycle::launch(ContainerPtr c, std::shared_ptr<MonitorLink> link, NetworkLease lease,
                         netstack::Attachment attachment, std::shared_ptr<const oci::Spec> spec,
                         std::vector<ProcessIdentity> joined) {
  CO_CHECK(fail_point("container.start.attached"));
  CO_CHECK(write_hosts(p_, *c, *spec, attachment.endpoint));
  CO_CHECK(make_dirs(p_.store.run_dir(c->id())));
  ::unlink(p_.store.file(c->id(), monitor::kExitName).c_str());  // of an earlier run
  const auto& mode = c->record.host.network_mode;
  const bool has_endpoint = mode == "bridge" || mode == "none";
  CO_TRY(auto message, create_message(p_, *c, *spec, std::move(attachment.netns)));
  message.request.create->joined = std::move(joined);
  listen(c, link);
  auto created = co_await link->request(std::move(message.request), std::move(message.fds));
  if (!created) co_return std::unexpected(runtime_error(created.error()));
  CO_CHECK(fail_point("container.start.created"));
  monitor::Request go;
  go.op = "start";
  auto started = co_await link->request(std::move(go));
  if (!started) co_return std::unexpected(runtime_error(started.error()));
  Running running;
  running.monitor = link;
  running.network = std::move(lease);
  running.spec = std::move(spec);
  const std::string identity_path =
      p_.store.run_dir(c->id()) + "/" + std::string(monitor::kIdentityName);
  if (auto text = read_file(identity_path)) {
    if (auto identity = json::from_text<monitor::Identity>(*text))
      running.identity = *std::move(identity);
  }
  if (running.identity.init.pid == 0) running.identity.init.pid = created->pid;
  c->state.status = Status::running;
  c->state.error.clear();
  c->state.exit_code = 0;
  c->state.oom_killed = false;
  c->state.started_at = now();
  c->state.restart_at = {};
  c->state.endpoint.reset();
  if (has_endpoint) c->state.endpoint = std::move(attachment.endpoint);
  c->held = std::move(running);
  begin_health(*c);
  save(*c);
  log::info("container started id={} pid={}", c->id(), created->pid);
  announce_joined(p_, *c);
  announce(p_, *c, "start");
  hooks_.running(c);
  c->changed.notify_all();
  co_return Result<>{};
}

void Lifecycle::listen(const ContainerPtr& c, const std::shared_ptr<MonitorLink>& link) {
  MonitorLink::Handlers handlers;
  handlers.event = [this, c, weak = std::weak_ptr(link)](const monitor::Answer& answer) {
    auto from = weak.lock();
    if (!from) return;
    const bool own_exit = answer.event == "exit" && answer.exec_id.empty();
    if (own_exit) {
      p_.scope.start("container exit", exited(c, from, answer));
    } else if (answer.event == "detached" && answer.exec_id.empty()) {
      announce(p_, *c, "detach");
    } else if (!answer.exec_id.empty()) {
      hooks_.exec_event(c, answer);
    }
  };
  handlers.lost = [this, c, weak = std::weak_ptr(link)] {
    if (auto from = weak.lock()) p_.scope.start("monitor lost", lost(c, from));
  };
  link->set_handlers(std::move(handlers));
}

}  // namespace coracle
