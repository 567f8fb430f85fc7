// The class behind the engine's face: opens the rooms, wires them, and shows those that answer.
#include "engine/engine.hpp"

#include <sys/prctl.h>

#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/process.hpp"
#include "engine/containers.hpp"
#include "engine/context.hpp"
#include "engine/exec/exec.hpp"
#include "engine/exec/health.hpp"
#include "engine/exec/streams.hpp"
#include "engine/files/files.hpp"
#include "engine/images.hpp"
#include "engine/inspect/system.hpp"
#include "engine/inspect/usage.hpp"
#include "engine/keeper_watch.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/logs/logs.hpp"
#include "engine/network/networks.hpp"
#include "engine/prune.hpp"
#include "engine/request/log_options.hpp"
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

class EngineImpl final : public Engine {
 public:
  EngineImpl(asio::io_context& io, Workers& workers, EngineConfig config)
      : context_(io, workers, std::move(config)) {}

  Task<> prepare();
  Coro<void> close() override;

  face::Containers& containers() override { return containers_; }
  face::Streams& streams() override { return streams_; }
  face::Files& files() override { return files_; }
  face::Execs& execs() override { return execs_; }
  face::Images& images() override { return images_; }
  face::Volumes& volumes() override { return volumes_; }
  face::Networks& networks() override { return networks_; }
  face::Usage& usage() override { return usage_; }
  face::Prune& prune() override { return prune_; }
  face::System& system() override { return system_; }

 private:
  Context context_;
  Networks networks_{context_};
  Volumes volumes_{context_};
  Logs logs_{context_};
  Execs execs_{context_};
  HealthChecks health_{context_, execs_};
  Lifecycle life_{context_, networks_, volumes_, hooks_of(execs_, health_)};
  Containers containers_{context_, life_};
  Streams streams_{context_, logs_};
  Files files_{context_, life_};
  Images images_{context_};
  Usage usage_{context_};
  Prune prune_{context_, life_, images_, volumes_};
  System system_{context_};
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
  // Where Docker has them: tools build the path of a volume from DockerRootDir.
  if (config.volumes.empty()) config.volumes = context_.config.data_root + "/volumes";
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
  std::unique_ptr<Engine> opened = std::move(engine);
  co_return opened;
}

}  // namespace coracle
