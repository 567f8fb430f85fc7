#include "tests/unit/shim/fake_engine.hpp"

#include <utility>

namespace coracle::test {
namespace {

// Sleeps until `signal`, or reports that the shim cancelled it.
class FakeEvents final : public EventStream {
 public:
  explicit FakeEvents(FakeEngine& engine) : engine_(engine) { ++engine_.streams_open; }
  ~FakeEvents() override { --engine_.streams_open; }
  Task<std::optional<Event>> next() override {
    if (!std::exchange(first_, false)) {
      const bool heard = co_await engine_.next_happening(seen_);
      if (!heard) {
        engine_.cancelled = true;
        co_return fail(Errc::unavailable, "cancelled");
      }
      co_return std::optional<Event>();
    }
    Event e;
    e.type = "container";
    e.action = "start";
    e.actor_id = "abc";
    e.attributes = {{"image", "busybox"}, {"name", "web"}};
    e.time = Time{1'700'000'000'123'456'789};
    co_return std::optional<Event>(std::move(e));
  }

 private:
  FakeEngine& engine_;
  int seen_ = engine_.happenings;
  bool first_ = true;
};

class FakeLogs final : public LogStream {
 public:
  FakeLogs(FakeEngine& engine, bool follow) : engine_(engine), follow_(follow) {
    tty = engine.log_tty;
    ++engine_.streams_open;
  }
  ~FakeLogs() override { --engine_.streams_open; }
  Task<std::vector<LogEntry>> next() override {
    if (std::exchange(first_, false)) co_return engine_.log_entries;
    if (!follow_) co_return std::vector<LogEntry>();
    const bool heard = co_await engine_.next_happening(seen_);
    if (!heard) {
      engine_.cancelled = true;
      co_return fail(Errc::unavailable, "cancelled");
    }
    co_return std::vector<LogEntry>();
  }

 private:
  FakeEngine& engine_;
  int seen_ = engine_.happenings;
  bool follow_, first_ = true;
};

class FakeWaiter final : public Waiter {
 public:
  explicit FakeWaiter(FakeEngine& engine) : engine_(engine) { engine_.waiter_armed = true; }
  Task<WaitResult> result() override {
    const bool heard = co_await engine_.next_happening(seen_);
    if (!heard) {
      engine_.cancelled = true;
      co_return fail(Errc::unavailable, "cancelled");
    }
    WaitResult result;
    result.code = 7;
    co_return result;
  }

 private:
  FakeEngine& engine_;
  int seen_ = engine_.happenings;
};

}  // namespace

Task<> FakeEngine::asked(std::string text) {
  last = std::move(text);
  co_return Result<>{};
}

void FakeEngine::happen() {
  ++happenings;
  asio::post(io_, [this] { happened_.notify_all(); });
}

Coro<bool> FakeEngine::next_happening(int seen) {
  while (happenings == seen) {
    const bool heard = co_await happened_.wait();
    if (!heard) co_return false;
  }
  co_return true;
}

Coro<void> FakeEngine::close() { co_return; }

SystemInfo FakeEngine::info() const {
  SystemInfo i;
  i.id = "an-id";
  i.name = "host";
  i.architecture = "x86_64";
  i.kernel_version = "6.1";
  i.cpus = 2;
  i.memory = std::int64_t{4} << 30;
  i.driver = "overlay";
  i.security_options = {"name=seccomp,profile=builtin", "name=rootless"};
  i.warnings = {"WARNING: No cpuset support"};
  return i;
}

Result<std::unique_ptr<EventStream>> FakeEngine::events(Time, Time, Filters filters) {
  last_filters = std::move(filters);
  return std::make_unique<FakeEvents>(*this);
}

Task<Created> FakeEngine::create(CreateRequest request) {
  created = std::move(request);
  if (created.config.image == "missing")
    co_return fail(Errc::not_found, "No such image: {}", created.config.image);
  co_return Created{std::string(64, 'c'), {"a warning"}};
}

Result<> FakeEngine::list(const ListOptions& options, const ContainerVisitor& visit) const {
  for (const auto& [name, view] : containers) {
    if (options.all || view.status == Status::running) visit(view);
  }
  return {};
}

Result<ContainerView> FakeEngine::inspect(const std::string& name) const {
  if (name == "defect") throw std::logic_error("a defect");
  const auto found = containers.find(name);
  if (found == containers.end()) return fail(Errc::not_found, "No such container: {}", name);
  return found->second;
}

Task<> FakeEngine::start(std::string name) {
  if (start_error) co_return std::unexpected(*start_error);
  co_return co_await asked("start " + name);
}
Task<> FakeEngine::stop(std::string name, StopOptions options) {
  co_return co_await asked(
      fmt::format("stop {} {} {}", name, options.timeout_s.value_or(-99), options.signal));
}
Task<> FakeEngine::restart(std::string name, StopOptions options) {
  co_return co_await asked(fmt::format("restart {} {}", name, options.timeout_s.value_or(-99)));
}
Task<> FakeEngine::kill(std::string name, std::string signal) {
  co_return co_await asked("kill " + name + " " + signal);
}
Task<> FakeEngine::rename(std::string name, std::string to) {
  co_return co_await asked("rename " + name + " " + to);
}
Task<> FakeEngine::remove_link(std::string name) {
  co_return co_await asked("remove link " + name);
}
Task<> FakeEngine::remove(std::string name, bool force, bool volumes) {
  co_return co_await asked(fmt::format("remove {} {} {}", name, force, volumes));
}
Result<std::unique_ptr<Waiter>> FakeEngine::wait(const std::string& name, WaitCondition) {
  last = "wait " + name;
  return std::make_unique<FakeWaiter>(*this);
}
Task<> FakeEngine::resize(std::string name, std::uint16_t height, std::uint16_t width) {
  co_return co_await asked(fmt::format("resize {} {} {}", name, height, width));
}
Task<> FakeEngine::pause(std::string name) { co_return co_await asked("pause " + name); }
Task<> FakeEngine::unpause(std::string name) { co_return co_await asked("unpause " + name); }
Task<std::vector<std::string>> FakeEngine::update(std::string name, ContainerUpdate update) {
  last = "update " + name;
  updated = std::move(update);
  co_return std::vector<std::string>{};
}
Result<Engine::AttachCheck> FakeEngine::check_attach(const std::string& name,
                                                     const AttachOptions&) {
  TRY(const auto view, inspect(name));
  return AttachCheck{view.id, view.config.tty};
}

// Echoes, in a frame, what came behind the request and what comes until the client's half-close.
Task<> FakeEngine::attach(AttachCheck, AttachOptions, UniqueFd client, std::string leftover) {
  auto job = [fd = std::make_shared<UniqueFd>(std::move(client)), leftover]() -> Result<> {
    CHECK(set_nonblocking(*fd, false));
    TRY(const auto rest, read_all(*fd, std::size_t{64} << 20));
    return write_all(*fd, "echo:" + leftover + rest);
  };
  co_return co_await workers_.run(std::move(job));
}

Task<std::unique_ptr<LogStream>> FakeEngine::logs(std::string name, LogOptions options) {
  CO_CHECK(inspect(name));
  last_logs = options;
  std::unique_ptr<LogStream> out = std::make_unique<FakeLogs>(*this, options.follow);
  co_return out;
}

Task<PathStat> FakeEngine::stat_path(std::string name, std::string path) {
  co_return fail(Errc::not_found, "Could not find the file {} in container {}", path, name);
}

Task<> FakeEngine::copy_out(std::string name, std::string path, UniqueFd /*to*/,
                            std::function<void(const PathStat&)> /*told*/) {
  co_return fail(Errc::not_found, "Could not find the file {} in container {}", path, name);
}

Task<> FakeEngine::copy_in(std::string /*name*/, std::string /*path*/, CopyInOptions /*options*/,
                           UniqueFd from) {
  if (copy_takes == 0)
    co_return fail(Errc::invalid_argument, "extraction point is not a directory");
  auto job = [takes = copy_takes, fd = std::make_shared<UniqueFd>(std::move(from))]() -> Result<> {
    std::string piece(takes, '\0');
    for (std::size_t got = 0; got < takes;) {
      TRY(const auto n, read_some(*fd, piece));
      if (n == 0) return fail(Errc::invalid_argument, "too short");
      got += n;
    }
    return {};
  };
  co_return co_await workers_.run(std::move(job));
}

Task<std::vector<storage::Change>> FakeEngine::changes(std::string name) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

Task<> FakeEngine::export_container(std::string name, UniqueFd /*to*/) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

Task<std::string> FakeEngine::commit(std::string name, CommitRequest /*request*/) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

Task<std::string> FakeEngine::exec_create(std::string container, ExecRequest request) {
  CO_CHECK(inspect(container));
  co_return "exec-" + request.cmd.items.front();
}
Result<ExecView> FakeEngine::check_exec_start(const std::string& exec_id) {
  return exec_inspect(exec_id);
}
Task<> FakeEngine::exec_start_attached(std::string, std::vector<std::uint32_t>, UniqueFd client,
                                       std::string leftover) {
  AttachCheck checked;
  AttachOptions options;
  co_return co_await attach(std::move(checked), std::move(options), std::move(client),
                            std::move(leftover));
}
Task<> FakeEngine::exec_start_detached(std::string exec_id) {
  co_return co_await asked("exec " + exec_id);
}
Task<> FakeEngine::exec_resize(std::string exec_id, std::uint16_t height, std::uint16_t width) {
  co_return co_await asked(fmt::format("exec resize {} {} {}", exec_id, height, width));
}
Result<ExecView> FakeEngine::exec_inspect(const std::string& exec_id) const {
  if (exec_id != "exec-ls") return fail(Errc::not_found, "No such exec instance: {}", exec_id);
  ExecView v;
  v.id = exec_id;
  v.container_id = "abc";
  v.request.cmd.items = {"ls", "-l"};
  return v;
}

Result<std::vector<storage::Image>> FakeEngine::images(const Filters& /*filters*/, bool) const {
  std::vector<storage::Image> out;
  for (const auto& [name, image] : image_list) out.push_back(image);
  return out;
}
Result<storage::Image> FakeEngine::image(const std::string& name) const {
  const auto found = image_list.find(name);
  if (found == image_list.end()) return fail(Errc::not_found, "No such image: {}", name);
  return found->second;
}
std::size_t FakeEngine::containers_of(const std::string&) const { return 3; }

Task<storage::Image> FakeEngine::pull(storage::Reference ref, storage::RegistryAuth auth,
                                      storage::Platform, storage::ProgressSink progress) {
  last_reference = std::move(ref);
  last_auth = std::move(auth);
  for (const auto& line : pull_lines) progress(line);
  if (pull_never_ends) {
    co_await happened_.wait();
    cancelled = true;
    co_return fail(Errc::unavailable, "cancelled");
  }
  if (pull_error) co_return std::unexpected(*pull_error);
  co_return storage::Image{};
}

Task<std::vector<storage::Image>> FakeEngine::load(UniqueFd from, storage::ProgressSink progress) {
  auto job = [this, fd = std::make_shared<UniqueFd>(std::move(from))]() -> Result<> {
    std::string piece(65536, '\0');
    for (;;) {
      TRY(const auto n, read_some(*fd, piece));
      if (n == 0) break;
      loaded_bytes += n;
    }
    load_whole = true;
    return {};
  };
  CO_CHECK(co_await workers_.run(std::move(job)));
  storage::Progress p;
  p.stream = "Loaded image: x:1\n";
  progress(p);
  co_return std::vector<storage::Image>();
}

Task<storage::Image> FakeEngine::import(UniqueFd from, storage::ImportOptions options) {
  last = options.tag ? options.tag->familiar() : "";
  auto quiet = [](const storage::Progress&) {};
  storage::ProgressSink sink = quiet;
  CO_CHECK(co_await load(std::move(from), std::move(sink)));
  storage::Image image;
  image.id = "sha256:" + std::string(64, 'a');
  co_return image;
}

Task<> FakeEngine::save(std::vector<std::string>, UniqueFd to) {
  auto job = [size = save_bytes, fd = std::make_shared<UniqueFd>(std::move(to))]() -> Result<> {
    return write_all(*fd, std::string(size, 's'));
  };
  const auto done = co_await workers_.run(std::move(job));
  if (!done) cancelled = true;
  co_return done;
}

Task<> FakeEngine::tag(std::string name, std::string repo, std::string tag) {
  co_return co_await asked("tag " + name + " " + repo + " " + tag);
}
Task<storage::Removed> FakeEngine::remove_image(std::string name, bool force) {
  last = fmt::format("rmi {} {}", name, force);
  co_return storage::Removed{{name}, {"sha256:1"}};
}
Task<> FakeEngine::login(storage::RegistryAuth auth) {
  if (auth.password == "right") co_return Result<>{};
  co_return fail(Errc::unauthorized, "incorrect username or password");
}
Result<std::vector<storage::Volume>> FakeEngine::volumes(const Filters&) const {
  return std::vector<storage::Volume>{};
}
Result<storage::Volume> FakeEngine::volume(const std::string& name) const {
  return fail(Errc::not_found, "get {}: no such volume", name);
}
Task<storage::Volume> FakeEngine::create_volume(std::string name, std::string driver,
                                                std::map<std::string, std::string>,
                                                std::map<std::string, std::string>) {
  storage::Volume v;
  v.name = std::move(name);
  v.driver = driver.empty() ? "local" : std::move(driver);
  co_return v;
}
Task<> FakeEngine::remove_volume(std::string name, bool force) {
  co_return co_await asked(fmt::format("rm volume {} {}", name, force));
}
Result<std::vector<NetworkView>> FakeEngine::networks(const Filters&) const {
  TRY(const auto bridge, network("bridge"));
  return std::vector<NetworkView>{bridge};
}
Result<NetworkView> FakeEngine::network(const std::string& name) const {
  if (name != "bridge") return fail(Errc::not_found, "network {} not found", name);
  NetworkView n;
  n.id = std::string(64, 'b');
  n.name = "bridge";
  n.driver = "bridge";
  n.subnet = "172.17.0.0/16";
  n.gateway = "172.17.0.1";
  n.members["abc"] = {"web", "e", "02:42:ac:11:00:02", "172.17.0.2/16"};
  return n;
}

Result<std::unique_ptr<StatsStream>> FakeEngine::stats(const std::string& name, StatsOptions) {
  return fail(Errc::not_found, "No such container: {}", name);
}
Task<ProcessList> FakeEngine::top(std::string name, std::string ps_args) {
  last = "top " + name + " " + ps_args;
  ProcessList list;
  list.titles = {"PID", "CMD"};
  list.rows = {{"1", "sh"}};
  co_return list;
}
Task<std::map<std::string, ContainerSize>> FakeEngine::container_sizes(
    std::vector<std::string> ids) {
  std::map<std::string, ContainerSize> sizes;
  for (const auto& id : ids) sizes[id] = ContainerSize{7, 1007};
  co_return sizes;
}
Task<DiskUsage> FakeEngine::disk_usage(DiskUsageParts) {
  DiskUsage usage;
  usage.images.emplace();
  usage.layers = 5;
  co_return usage;
}
Task<Pruned> FakeEngine::prune_containers(Filters filters) {
  last_filters = std::move(filters);
  Pruned pruned;
  pruned.deleted = {"abc"};
  pruned.reclaimed = 3;
  co_return pruned;
}
Task<PrunedImages> FakeEngine::prune_images(Filters filters) {
  last_filters = std::move(filters);
  co_return PrunedImages{};
}
Task<Pruned> FakeEngine::prune_volumes(Filters filters) {
  last_filters = std::move(filters);
  co_return Pruned{};
}

}  // namespace coracle::test
