// The face of the engine: all that the shim may ask for. Docker's semantics in our own types;
// errors carry Docker's texts where clients read them. A container is named by its full id, its
// name (with or without "/"), or a unique prefix of its id.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async.hpp"
#include "engine/face/config.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/face/stats.hpp"
#include "engine/face/streams.hpp"
#include "engine/face/types.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/image.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/snapshots/mount_plan.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle {

struct ContainerUpdate;  // engine/face/update.hpp

struct PathStat;  // engine/face/archive.hpp
struct CopyInOptions;
struct CommitRequest;

using ContainerVisitor = std::function<void(const ContainerView&)>;

class Engine {
 public:
  // Opens the stores, finds the containers that run, reconciles what happened meanwhile, and is
  // ready.
  static Task<std::unique_ptr<Engine>> open(asio::io_context& io, Workers& workers,
                                            EngineConfig config);
  virtual ~Engine() = default;
  // Lets go of monitors and netstack without stopping any container.
  virtual Coro<void> close() = 0;

  // -- system
  [[nodiscard]] virtual SystemInfo info() const = 0;
  //   filters  type, event, container, image, volume, network, label, scope, daemon
  virtual Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) = 0;
  // Told after the settings were read again (SIGHUP), with what they are now: the event `reload`.
  virtual void reloaded(std::map<std::string, std::string> settings) = 0;

  // -- containers
  //   errors  not_found "No such image: X"; conflict (name, Docker's text); invalid_argument
  virtual Task<Created> create(CreateRequest request) = 0;
  // Shows the containers that `options` asks for, the newest first. A view lives for one call of
  // `visit`: a thousand of them at once would be megabytes.
  [[nodiscard]] virtual Result<> list(const ListOptions& options,
                                      const ContainerVisitor& visit) const = 0;
  [[nodiscard]] virtual Result<ContainerView> inspect(const std::string& name) const = 0;
  //   errors  unchanged (running); conflict; Docker's texts for failing commands and taken ports
  virtual Task<> start(std::string name) = 0;
  virtual Task<> stop(std::string name, StopOptions options) = 0;  // unchanged when it does not run
  virtual Task<> restart(std::string name, StopOptions options) = 0;
  virtual Task<> kill(std::string name,
                      std::string signal) = 0;  // signal: name, SIGname, number, "" = KILL
  virtual Task<> rename(std::string name, std::string to) = 0;
  virtual Task<> remove(std::string name, bool force, bool volumes) = 0;
  // Takes away a legacy link: "web/db", the container that has it and its alias.
  virtual Task<> remove_link(std::string name) = 0;
  virtual Result<std::unique_ptr<Waiter>> wait(const std::string& name,
                                               WaitCondition condition) = 0;
  virtual Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) = 0;

  // -- pause, unpause, update
  //   errors  conflict with Docker's texts
  virtual Task<> pause(std::string name) = 0;
  virtual Task<> unpause(std::string name) = 0;
  // Answers warnings: what was asked for and cannot be kept on this host (it is not stored).
  //   errors  invalid_argument; conflict: --rm and a restart policy, being removed
  virtual Task<std::vector<std::string>> update(std::string name, ContainerUpdate update) = 0;

  // Attach in two steps, because the answer "101" stands between them: check, then hand the
  // connection over. From then on it belongs to the container's monitor (before start: to the
  // engine, until there is one).
  struct AttachCheck {
    std::string id;  // full
    bool tty = false;
  };
  virtual Result<AttachCheck> check_attach(const std::string& name,
                                           const AttachOptions& options) = 0;
  virtual Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                        std::string leftover) = 0;

  virtual Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) = 0;

  // -- files of a container; it may be created, running, paused or stopped
  virtual Task<PathStat> stat_path(std::string name, std::string path) = 0;
  // A tar of what is at `path`; `told` comes before its first byte. Ends by closing `to`.
  virtual Task<> copy_out(std::string name, std::string path, UniqueFd to,
                          std::function<void(const PathStat&)> told) = 0;
  // A tar (any compression) into the directory at `path`.
  virtual Task<> copy_in(std::string name, std::string path, CopyInOptions options,
                         UniqueFd from) = 0;
  virtual Task<std::vector<storage::Change>> changes(std::string name) = 0;
  virtual Task<> export_container(std::string name, UniqueFd to) = 0;
  virtual Task<std::string> commit(std::string name, CommitRequest request) = 0;  // the image's id

  // -- exec
  virtual Task<std::string> exec_create(std::string container, ExecRequest request) = 0;
  // Before "101": errors not_found "No such exec instance: X", conflict "… has already run", …
  virtual Result<ExecView> check_exec_start(const std::string& exec_id) = 0;
  // Runs it with the client's connection; a failing start is told in the stream and by the exit
  // code.
  virtual Task<> exec_start_attached(std::string exec_id, std::vector<std::uint32_t> console_size,
                                     UniqueFd client, std::string leftover) = 0;
  virtual Task<> exec_start_detached(std::string exec_id) = 0;
  virtual Task<> exec_resize(std::string exec_id, std::uint16_t height, std::uint16_t width) = 0;
  [[nodiscard]] virtual Result<ExecView> exec_inspect(const std::string& exec_id) const = 0;

  // -- images (the rules across areas: an image in use stays; events)
  [[nodiscard]] virtual Result<std::vector<storage::Image>> images(const Filters& filters,
                                                                   bool all) const = 0;
  [[nodiscard]] virtual Result<storage::Image> image(const std::string& name) const = 0;
  [[nodiscard]] virtual std::size_t containers_of(const std::string& image_id) const = 0;
  virtual Task<storage::Image> pull(storage::Reference ref, storage::RegistryAuth auth,
                                    storage::Platform platform, storage::ProgressSink progress) = 0;
  virtual Task<std::vector<storage::Image>> load(UniqueFd from, storage::ProgressSink progress) = 0;
  virtual Task<storage::Image> import(UniqueFd from, storage::ImportOptions options) = 0;
  virtual Task<> save(std::vector<std::string> names, UniqueFd to) = 0;
  virtual Task<> tag(std::string name, std::string repo, std::string tag) = 0;
  virtual Task<storage::Removed> remove_image(std::string name, bool force) = 0;
  // Tries a login at a registry. errors: unauthorized with the registry's text
  virtual Task<> login(storage::RegistryAuth auth) = 0;

  // -- volumes and networks (so far: what run -v needs; the predefined networks)
  [[nodiscard]] virtual Result<std::vector<storage::Volume>> volumes(
      const Filters& filters) const = 0;
  [[nodiscard]] virtual Result<storage::Volume> volume(const std::string& name) const = 0;
  virtual Task<storage::Volume> create_volume(std::string name, std::string driver,
                                              std::map<std::string, std::string> options,
                                              std::map<std::string, std::string> labels) = 0;
  virtual Task<> remove_volume(std::string name, bool force) = 0;
  [[nodiscard]] virtual Result<std::vector<NetworkView>> networks(const Filters& filters) const = 0;
  [[nodiscard]] virtual Result<NetworkView> network(const std::string& name) const = 0;

  // -- what is used, and what is given back
  virtual Result<std::unique_ptr<StatsStream>> stats(const std::string& name,
                                                     StatsOptions options) = 0;
  //   ps_args  of ps(1); "" is -ef.   errors  conflict (not running), ps's own
  virtual Task<ProcessList> top(std::string name, std::string ps_args) = 0;
  // By id; a container that is gone meanwhile is left out.
  virtual Task<std::map<std::string, ContainerSize>> container_sizes(
      std::vector<std::string> ids) = 0;
  virtual Task<DiskUsage> disk_usage(DiskUsageParts wanted) = 0;
  // Filters: until, label, label!; images: dangling; volumes: all, and no until.
  //   errors  conflict "a prune operation is already running"
  virtual Task<Pruned> prune_containers(Filters filters) = 0;
  virtual Task<PrunedImages> prune_images(Filters filters) = 0;
  virtual Task<Pruned> prune_volumes(Filters filters) = 0;
};

}  // namespace coracle
