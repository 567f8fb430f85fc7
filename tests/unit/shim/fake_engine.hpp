// An engine for the tests of the shim: answers from what the test has put in, remembers what it was
// asked. Runs on the loop's thread; tests look at it under the lock that `with` takes.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.hpp"
#include "engine/face/archive.hpp"
#include "engine/face/update.hpp"

namespace coracle::test {

class FakeEngine final : public Engine {
 public:
  FakeEngine(asio::io_context& io, Workers& workers) : io_(io), workers_(workers), happened_(io) {}

  // What tests set before they ask.
  std::map<std::string, ContainerView> containers;
  std::map<std::string, storage::Image> image_list;
  std::vector<LogEntry> log_entries;
  bool log_tty = false;
  std::vector<storage::Progress> pull_lines;
  std::optional<Error> pull_error;
  bool pull_never_ends = false;
  std::optional<Error> start_error;
  std::size_t save_bytes = 0;
  std::size_t copy_takes = 0;  // bytes of an archive after which a copy in is content

  // What tests look at afterwards.
  CreateRequest created;
  ContainerUpdate updated;
  std::string last;  // "stop web 5 INT"
  Filters last_filters;
  LogOptions last_logs;
  storage::Reference last_reference;
  storage::RegistryAuth last_auth;
  std::atomic<std::size_t> loaded_bytes{0};
  std::atomic<bool> load_whole{false}, cancelled{false}, waiter_armed{false};
  std::atomic<int> streams_open{0};

  Coro<void> close() override;
  [[nodiscard]] SystemInfo info() const override;
  Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) override;
  void reloaded(std::map<std::string, std::string> /*settings*/) override { last = "reloaded"; }
  Task<Created> create(CreateRequest request) override;
  [[nodiscard]] Result<> list(const ListOptions& options,
                              const ContainerVisitor& visit) const override;
  [[nodiscard]] Result<ContainerView> inspect(const std::string& name) const override;
  Task<> start(std::string name) override;
  Task<> stop(std::string name, StopOptions options) override;
  Task<> restart(std::string name, StopOptions options) override;
  Task<> kill(std::string name, std::string signal) override;
  Task<> rename(std::string name, std::string to) override;
  Task<> remove(std::string name, bool force, bool volumes) override;
  Task<> remove_link(std::string name) override;
  Result<std::unique_ptr<Waiter>> wait(const std::string& name, WaitCondition condition) override;
  Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) override;
  Task<> pause(std::string name) override;
  Task<> unpause(std::string name) override;
  Task<std::vector<std::string>> update(std::string name, ContainerUpdate update) override;
  Result<AttachCheck> check_attach(const std::string& name, const AttachOptions& options) override;
  Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                std::string leftover) override;
  Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) override;
  Task<PathStat> stat_path(std::string name, std::string path) override;
  Task<> copy_out(std::string name, std::string path, UniqueFd to,
                  std::function<void(const PathStat&)> told) override;
  Task<> copy_in(std::string name, std::string path, CopyInOptions options, UniqueFd from) override;
  Task<std::vector<storage::Change>> changes(std::string name) override;
  Task<> export_container(std::string name, UniqueFd to) override;
  Task<std::string> commit(std::string name, CommitRequest request) override;
  Task<std::string> exec_create(std::string container, ExecRequest request) override;
  Result<ExecView> check_exec_start(const std::string& exec_id) override;
  Task<> exec_start_attached(std::string exec_id, std::vector<std::uint32_t> console_size,
                             UniqueFd client, std::string leftover) override;
  Task<> exec_start_detached(std::string exec_id) override;
  Task<> exec_resize(std::string exec_id, std::uint16_t height, std::uint16_t width) override;
  [[nodiscard]] Result<ExecView> exec_inspect(const std::string& exec_id) const override;
  [[nodiscard]] Result<std::vector<storage::Image>> images(const Filters& filters,
                                                           bool all) const override;
  [[nodiscard]] Result<storage::Image> image(const std::string& name) const override;
  [[nodiscard]] std::size_t containers_of(const std::string& image_id) const override;
  Task<storage::Image> pull(storage::Reference ref, storage::RegistryAuth auth,
                            storage::Platform platform, storage::ProgressSink progress) override;
  Task<std::vector<storage::Image>> load(UniqueFd from, storage::ProgressSink progress) override;
  Task<storage::Image> import(UniqueFd from, storage::ImportOptions options) override;
  Task<> save(std::vector<std::string> names, UniqueFd to) override;
  Task<> tag(std::string name, std::string repo, std::string tag) override;
  Task<storage::Removed> remove_image(std::string name, bool force) override;
  Task<> login(storage::RegistryAuth auth) override;
  [[nodiscard]] Result<std::vector<storage::Volume>> volumes(const Filters& filters) const override;
  [[nodiscard]] Result<storage::Volume> volume(const std::string& name) const override;
  Task<storage::Volume> create_volume(std::string name, std::string driver,
                                      std::map<std::string, std::string> options,
                                      std::map<std::string, std::string> labels) override;
  Task<> remove_volume(std::string name, bool force) override;
  [[nodiscard]] Result<std::vector<NetworkView>> networks(const Filters& filters) const override;
  [[nodiscard]] Result<NetworkView> network(const std::string& name) const override;
  Result<std::unique_ptr<StatsStream>> stats(const std::string& name,
                                             StatsOptions options) override;
  Task<ProcessList> top(std::string name, std::string ps_args) override;
  Task<std::map<std::string, ContainerSize>> container_sizes(std::vector<std::string> ids) override;
  Task<DiskUsage> disk_usage(DiskUsageParts wanted) override;
  Task<Pruned> prune_containers(Filters filters) override;
  Task<PrunedImages> prune_images(Filters filters) override;
  Task<Pruned> prune_volumes(Filters filters) override;

  // Lets waiters, followers and event streams go on (from any thread).
  void happen();
  // Waits for one that `seen` did not count. false: cancelled.
  Coro<bool> next_happening(int seen);
  std::atomic<int> happenings{0};

 private:
  Task<> asked(std::string text);
  asio::io_context& io_;
  Workers& workers_;
  Signal happened_;
};

}  // namespace coracle::test
