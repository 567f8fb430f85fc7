// The class behind the engine's face. Each question goes to the part that knows; what changes a
// container runs in the engine's own scope (Context::owned).
#include "engine/engine.hpp"

#include <sys/prctl.h>

#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/process.hpp"
#include "engine/context.hpp"
#include "engine/exec/attach.hpp"
#include "engine/exec/exec.hpp"
#include "engine/exec/health.hpp"
#include "engine/face/update.hpp"
#include "engine/files/archive.hpp"
#include "engine/files/commit.hpp"
#include "engine/images.hpp"
#include "engine/inspect/disk_usage.hpp"
#include "engine/inspect/list.hpp"
#include "engine/inspect/stats.hpp"
#include "engine/inspect/system.hpp"
#include "engine/inspect/top.hpp"
#include "engine/inspect/view.hpp"
#include "engine/keeper_watch.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/logs/logs.hpp"
#include "engine/network/networks.hpp"
#include "engine/prune.hpp"
#include "engine/request/log_options.hpp"
#include "engine/spec/generate.hpp"
#include "engine/volumes/volumes.hpp"

namespace coracle {
namespace {

Lifecycle::Hooks hooks_of(Execs& execs, HealthChecks& health) {
  Lifecycle::Hooks hooks;
  hooks.exec_event = [&execs](const auto& c, const auto& answer) { execs.event(c, answer); };
  hooks.reattached = [&execs](const auto& c, const auto& known) { execs.reattached(c, known); };
  hooks.running = [&health](const auto& c) { health.watch(c); };
  hooks.ended = [&execs](const auto& c) { execs.ended(c); };
  hooks.removed = [&execs](const auto& c) { execs.removed(c); };
  return hooks;
}

class EngineImpl : public Engine {
 public:
  EngineImpl(asio::io_context& io, Workers& workers, EngineConfig config)
      : context_(io, workers, std::move(config)),
        networks_(context_),
        volumes_(context_),
        logs_(context_),
        execs_(context_),
        health_(context_, execs_),
        life_(context_, networks_, volumes_, hooks_of(execs_, health_)),
        images_(context_) {}

  Task<> prepare();
  Coro<void> close() override;

  [[nodiscard]] SystemInfo info() const override { return system_info(context_); }
  Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) override {
    return context_.events->listen(since, until, std::move(filters));
  }

  void reloaded(std::map<std::string, std::string> settings) override {
    settings["name"] = context_.host.name;
    announce(*context_.events, "daemon", "reload", context_.host.id, std::move(settings));
  }

  // -- containers
  Task<Created> create(CreateRequest request) override {
    return context_.owned("create", life_.create(std::move(request)));
  }
  [[nodiscard]] Result<> list(const ListOptions& options,
                              const ContainerVisitor& visit) const override {
    return list_containers(context_, options, visit);
  }
  [[nodiscard]] Result<ContainerView> inspect(const std::string& name) const override {
    TRY(const auto c, context_.table.find(name));
    auto view = view_of(context_, *c);
    auto hidden = hidden_paths(view.host);
    view.host.masked_paths = std::move(hidden.masked);
    view.host.readonly_paths = std::move(hidden.read_only);
    return view;
  }
  Task<> start(std::string name) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("start", life_.start(std::move(c)));
  }
  Task<> stop(std::string name, StopOptions options) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("stop", life_.stop(std::move(c), std::move(options)));
  }
  Task<> restart(std::string name, StopOptions options) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("restart", life_.restart(std::move(c), std::move(options)));
  }
  Task<> kill(std::string name, std::string signal) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("kill", life_.kill(std::move(c), std::move(signal)));
  }
  Task<> rename(std::string name, std::string to) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("rename", life_.rename(std::move(c), std::move(to)));
  }
  Task<> remove(std::string name, bool force, bool volumes) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("remove", life_.remove(std::move(c), force, volumes));
  }
  Task<> remove_link(std::string name) override {
    co_return co_await context_.owned("remove link", life_.remove_link(std::move(name)));
  }
  Result<std::unique_ptr<Waiter>> wait(const std::string& name, WaitCondition condition) override {
    TRY(const auto c, context_.table.find(name));
    return life_.wait(c, condition);
  }
  Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await resize_terminal(*context_.events, std::move(c), height, width);
  }
  Task<> pause(std::string name) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("pause", life_.pause(std::move(c)));
  }
  Task<> unpause(std::string name) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("unpause", life_.unpause(std::move(c)));
  }
  Task<std::vector<std::string>> update(std::string name, ContainerUpdate update) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await context_.owned("update", life_.update(std::move(c), std::move(update)));
  }
  Result<AttachCheck> check_attach(const std::string& name,
                                   const AttachOptions& /*options*/) override {
    TRY(const auto c, context_.table.find(name));
    CHECK(c->permits(Operation::attach));
    return AttachCheck{c->id(), c->record.config.tty};
  }
  Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                std::string leftover) override {
    CO_TRY(auto c, context_.table.find(checked.id));
    co_return co_await attach_client(context_.io, *context_.events, logs_, std::move(c),
                                     std::move(options), std::move(client), std::move(leftover));
  }
  Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await logs_.open(std::move(c), options);
  }

  // -- files of a container
  Task<PathStat> stat_path(std::string name, std::string path) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await coracle::stat_path(context_, std::move(c), std::move(name), std::move(path));
  }
  Task<> copy_out(std::string name, std::string path, UniqueFd to,
                  std::function<void(const PathStat&)> told) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await coracle::copy_out(context_, std::move(c), std::move(name), std::move(path),
                                         std::move(to), std::move(told));
  }
  Task<> copy_in(std::string name, std::string path, CopyInOptions options,
                 UniqueFd from) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await coracle::copy_in(context_, std::move(c), std::move(name), std::move(path),
                                        options, std::move(from));
  }
  Task<std::vector<storage::Change>> changes(std::string name) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await changes_of(context_.io, *context_.storage, std::move(c));
  }
  Task<> export_container(std::string name, UniqueFd to) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await coracle::export_container(context_, std::move(c), std::move(to));
  }
  Task<std::string> commit(std::string name, CommitRequest request) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await commit_container(context_, life_, std::move(c), std::move(request));
  }

  // -- exec
  Task<std::string> exec_create(std::string container, ExecRequest request) override {
    CO_TRY(auto c, context_.table.find(container));
    co_return co_await execs_.create(std::move(c), std::move(request));
  }
  Result<ExecView> check_exec_start(const std::string& exec_id) override {
    return execs_.check_start(exec_id);
  }
  Task<> exec_start_attached(std::string exec_id, std::vector<std::uint32_t> console_size,
                             UniqueFd client, std::string leftover) override {
    return context_.owned("exec", execs_.start_attached(std::move(exec_id), std::move(console_size),
                                                        std::move(client), std::move(leftover)));
  }
  Task<> exec_start_detached(std::string exec_id) override {
    return context_.owned("exec", execs_.start_detached(std::move(exec_id)));
  }
  Task<> exec_resize(std::string exec_id, std::uint16_t height, std::uint16_t width) override {
    return execs_.resize(std::move(exec_id), height, width);
  }
  [[nodiscard]] Result<ExecView> exec_inspect(const std::string& exec_id) const override {
    return execs_.inspect(exec_id);
  }

  // -- images
  [[nodiscard]] Result<std::vector<storage::Image>> images(const Filters& filters,
                                                           bool all) const override {
    return images_.list(filters, all);
  }
  [[nodiscard]] Result<storage::Image> image(const std::string& name) const override {
    return context_.storage->find(name);
  }
  [[nodiscard]] std::size_t containers_of(const std::string& image_id) const override {
    return images_.containers_of(image_id);
  }
  Task<storage::Image> pull(storage::Reference ref, storage::RegistryAuth auth,
                            storage::Platform platform, storage::ProgressSink progress) override {
    return images_.pull(std::move(ref), std::move(auth), std::move(platform), std::move(progress));
  }
  Task<std::vector<storage::Image>> load(UniqueFd from, storage::ProgressSink progress) override {
    return images_.load(std::move(from), std::move(progress));
  }
  Task<storage::Image> import(UniqueFd from, storage::ImportOptions options) override {
    return images_.import(std::move(from), std::move(options));
  }
  Task<> save(std::vector<std::string> names, UniqueFd to) override {
    return images_.save(std::move(names), std::move(to));
  }
  Task<> tag(std::string name, std::string repo, std::string tag) override {
    return images_.tag(std::move(name), std::move(repo), std::move(tag));
  }
  Task<storage::Removed> remove_image(std::string name, bool force) override {
    return images_.remove(std::move(name), force);
  }
  Task<> login(storage::RegistryAuth auth) override {
    return context_.storage->login(std::move(auth));
  }

  // -- volumes and networks
  [[nodiscard]] Result<std::vector<storage::Volume>> volumes(
      const Filters& filters) const override {
    return volumes_.list(filters);
  }
  [[nodiscard]] Result<storage::Volume> volume(const std::string& name) const override {
    return context_.storage->find_volume(name);
  }
  Task<storage::Volume> create_volume(std::string name, std::string driver,
                                      std::map<std::string, std::string> options,
                                      std::map<std::string, std::string> labels) override {
    return context_.owned("create volume", volumes_.create(std::move(name), std::move(driver),
                                                           std::move(options), std::move(labels)));
  }
  Task<> remove_volume(std::string name, bool force) override {
    return context_.owned("remove volume", volumes_.remove(std::move(name), force));
  }
  [[nodiscard]] Result<std::vector<NetworkView>> networks(const Filters& filters) const override {
    return networks_.list(filters);
  }
  [[nodiscard]] Result<NetworkView> network(const std::string& name) const override {
    return networks_.find(name);
  }

  // -- what is used, and what is given back
  Result<std::unique_ptr<StatsStream>> stats(const std::string& name,
                                             StatsOptions options) override {
    TRY(auto c, context_.table.find(name));
    return open_stats(context_, std::move(c), options);
  }
  Task<ProcessList> top(std::string name, std::string ps_args) override {
    CO_TRY(auto c, context_.table.find(name));
    co_return co_await list_processes(context_, std::move(c), std::move(ps_args));
  }
  Task<std::map<std::string, ContainerSize>> container_sizes(
      std::vector<std::string> ids) override {
    return coracle::container_sizes(context_, std::move(ids));
  }
  Task<DiskUsage> disk_usage(DiskUsageParts wanted) override {
    return coracle::disk_usage(context_, wanted);
  }
  Task<Pruned> prune_containers(Filters filters) override {
    return context_.owned("prune containers", prune_.containers(std::move(filters)));
  }
  Task<PrunedImages> prune_images(Filters filters) override {
    return context_.owned("prune images", prune_.images(std::move(filters)));
  }
  Task<Pruned> prune_volumes(Filters filters) override {
    return context_.owned("prune volumes", prune_.volumes(std::move(filters)));
  }

 private:
  Context context_;
  Networks networks_;
  Volumes volumes_;
  Logs logs_;
  Execs execs_;
  HealthChecks health_;
  Lifecycle life_;
  Images images_;
  Prune prune_{context_, life_, images_, volumes_};
};

std::string helper_or_empty(const char* name) {
  auto path = find_helper(name);
  if (path) return *path;
  log::warn("helper not found name={} reason={}", name, path.error().message);
  return "";
}

Task<> EngineImpl::prepare() {
  // What a killed monitor leaves behind becomes our child, and is reaped by us (exit.cpp).
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  CO_CHECK(make_dirs(context_.config.data_root));
  CO_CHECK(context_.store.prepare());
  if (auto good = check_log(context_.config.log); !good)
    co_return std::unexpected(good.error().within("the daemon's log driver"));
  CO_TRY(context_.host, look_at_host(context_.config.data_root));
  CO_CHECK(make_dirs(context_.config.data_root + "/seccomp"));
  CO_CHECK(networks_.open());
  context_.monitor_program = helper_or_empty("coracle-monitor");
  context_.init_program = helper_or_empty("coracle-init");
  context_.events = EventLog::open(context_.io, context_.config.data_root);
  storage::Config config = context_.config.storage;
  if (config.root.empty()) config.root = context_.config.data_root + "/storage";
  config.one_id = context_.config.one_id;
  CO_TRY(context_.storage,
         storage::Storage::open(context_.io, context_.workers, std::move(config)));
  for (const auto& d : context_.storage->damaged())
    log::error("storage object damaged path={} reason={}", d.path, d.reason);
  context_.scope.start("keeper watch", watch_keeper(context_, networks_));
  co_return co_await life_.reattach();
}

Coro<void> EngineImpl::close() {
  context_.closing = true;
  networks_.stop_waiting();
  if (context_.events) context_.events->close();
  // What is under way may still need its monitor: it is asked to end first.
  co_await context_.scope.close();
  life_.let_go();
  networks_.close();
  if (context_.storage) co_await context_.storage->close();
}

}  // namespace

Task<std::unique_ptr<Engine>> Engine::open(asio::io_context& io, Workers& workers,
                                           EngineConfig config) {
  auto engine = std::make_unique<EngineImpl>(io, workers, std::move(config));
  auto prepared = co_await engine->prepare();
  if (!prepared) {
    co_await engine->close();  // what it has started uses it
    co_return std::unexpected(std::move(prepared).error());
  }
  std::unique_ptr<Engine> face = std::move(engine);
  co_return face;
}

}  // namespace coracle
