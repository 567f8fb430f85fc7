#include "engine/check.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <thread>

#include "engine/base/async/async.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "engine/container/record.hpp"
#include "engine/container/state.hpp"
#include "engine/monitor/protocol.hpp"
#include "storage/images/platform.hpp"
#include "storage/images/reference.hpp"
#include "storage/storage.hpp"

namespace coracle {
namespace {

using storage::Finding;

// Held: no daemon starts meanwhile. Not held: one runs.
struct RootLock {
  UniqueFd fd;
  bool running = false;
  std::string pid;
};
Result<RootLock> lock_root(const std::string& data_root) {
  RootLock lock;
  const auto path = data_root + "/coracled.lock";
  lock.fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock.fd && errno == ENOENT) return lock;  // none has ever run here
  if (!lock.fd) return sys_error("open {}", path);
  if (::flock(lock.fd.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return sys_error("lock {}", path);
  lock.running = true;
  if (auto text = read_file(path, 64)) {
    while (text->ends_with('\n')) text->pop_back();
    lock.pid = *text;
  }
  return lock;
}

class Checker {
 public:
  Checker(const CheckRequest& request, bool running) : r_(request), running_(running) {}

  Result<storage::Checked> run() {
    auto ids = list_dir(r_.data_root + "/containers");
    if (!ids && ids.error().code != Errc::not_found) return std::unexpected(ids.error());
    if (ids) {
      for (const auto& id : *ids) container(id);
    }
    files();
    trash();
    storage::CheckOptions options;
    options.root = r_.data_root + "/storage";
    const auto before = options.root + "/volumes";  // until a daemon moves them
    options.volumes = exists(before) ? before : r_.data_root + "/volumes";
    options.aside = aside();
    options.repair = options.will_pull = r_.repair;
    options.deep = r_.deep;
    options.in_namespaces = r_.in_namespaces;
    options.one_id = r_.one_id;
    options.running = running_;
    options.containers = volumes_of_;
    TRY(auto stored, storage::check(options));
    findings_.insert(findings_.end(), stored.findings.begin(), stored.findings.end());
    stored.findings = std::move(findings_);
    return stored;
  }

 private:
  [[nodiscard]] std::string aside() const { return r_.data_root + "/lost+found"; }
  [[nodiscard]] std::string dir(const std::string& id) const {
    return r_.data_root + "/containers/" + id;
  }

  Finding& found(const char* kind, std::string object, std::string reason, std::string remedy) {
    findings_.push_back({kind, std::move(object), std::move(reason), std::move(remedy)});
    return findings_.back();
  }

  void set_aside(Finding& finding, const std::string& path, const std::string& kind,
                 const std::string& name) {
    if (!r_.repair) return;
    auto moved = storage::move_aside(path, aside(), kind, name);
    if (moved) {
      finding.mended = "moved to " + *moved;
    } else {
      finding.reason += "; not mended: " + moved.error().message;
    }
  }

  void container(const std::string& id) {
    const auto text = read_file(dir(id) + "/config.json");
    if (!text && text.error().code == Errc::not_found) {
      if (!running_)
        found("left-over", "containers/" + id, "it was never finished", "the next start removes it")
            .note = true;
      return;
    }
    auto record = text ? json::from_text<ContainerRecord>(*text)
                       : Result<ContainerRecord>(std::unexpected(text.error()));
    if (record && record->id != id)
      record = fail(Errc::invalid_argument, "it speaks of container {}", record->id);
    if (!record) {
      auto& f = found("container", id, "config.json: " + record.error().message,
                      "docker rm -f " + short_id(id));
      set_aside(f, dir(id), "container", id);
      // Its writable layer stays where it is when nothing was moved.
      if (f.mended.empty()) volumes_of_[id];
      if (!f.mended.empty()) set_layer_aside(id);
      return;
    }
    auto& volumes = volumes_of_[id];
    for (const auto& m : record->mounts) {
      if (m.type == MountType::volume) volumes.push_back(m.name);
    }
    const auto [first, is_new] = names_.emplace(record->name, id);
    if (!is_new)
      found("container", id, "its name " + record->name + " is that of " + first->second + " too",
            "docker rename or docker rm one of them");
    state(id);
  }

  // With the container's record its writable layer has no owner; what was written stays to be had.
  void set_layer_aside(const std::string& id) {
    const auto path = r_.data_root + "/storage/containers/" + id;
    if (!exists(path)) return;
    auto& f = found("writable-layer", id, "its container was moved aside", "");
    set_aside(f, path, "writable-layer", id);
  }

  void state(const std::string& id) {
    const auto path = dir(id) + "/state.json";
    const auto text = read_file(path);
    if (!text && text.error().code == Errc::not_found) return;  // never started
    const auto state = text ? json::from_text<StateRecord>(*text)
                            : Result<StateRecord>(std::unexpected(text.error()));
    if (!state) {
      auto& f = found("container", id, "state.json: " + state.error().message,
                      "coracle check --repair makes it a container that never ran");
      set_aside(f, path, "state.json", id);
      return;
    }
    if (is_alive(state->status) && !lives(id)) {
      auto& f = found(
          "container", id,
          fmt::format("state.json says {}, but its process has ended", name_of(state->status)),
          running_ ? "docker restart " + short_id(id) : "the next start looks after it");
      f.note = !running_;
    }
  }

  // Does its monitor live? A daemon may be about to write down an end: it gets some time.
  [[nodiscard]] bool lives(const std::string& id) const {
    const auto path =
        r_.exec_root + "/containers/" + id + "/" + std::string(monitor::kIdentityName);
    for (int tries = running_ ? 20 : 1; tries > 0; --tries) {
      const auto text = read_file(path);
      const auto identity = text ? json::from_text<monitor::Identity>(*text)
                                 : Result<monitor::Identity>(std::unexpected(text.error()));
      if (identity && Pidfd::open(identity->monitor)) return true;
      if (running_) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const auto now_text = read_file(dir(id) + "/state.json");
      const auto state = now_text ? json::from_text<StateRecord>(*now_text)
                                  : Result<StateRecord>(std::unexpected(now_text.error()));
      if (!state || !is_alive(state->status)) return true;  // it has been told by now
    }
    return false;
  }

  // A file that the daemon cannot start without.
  void files() {
    const auto path = r_.data_root + "/networks.json";
    const auto text = read_file(path);
    if (text && !json::parse(*text)) {
      auto& f = found("file", "networks.json", json::parse(*text).error().message,
                      "coracle check --repair: it is made anew");
      set_aside(f, path, "file", "networks.json");
    }
  }

  void trash() {
    const auto names = list_dir(r_.data_root + "/trash");
    if (running_ || !names || names->empty()) return;
    found("left-over", "trash",
          fmt::format("{} removed containers are not unlinked yet", names->size()),
          "the next start unlinks them")
        .note = true;
  }

  const CheckRequest& r_;
  bool running_;
  std::vector<Finding> findings_;
  std::map<std::string, std::vector<std::string>> volumes_of_;  // by container
  std::map<std::string, std::string> names_;                    // -> id
};

}  // namespace

namespace {

constexpr std::size_t kWorkers = 4;

// The very image; its name there. Its platform is not asked for: the manifest's own digest is that
// of one.
Task<std::string> pull_one(storage::Storage& store, storage::LostImage lost) {
  Error why{Errc::not_found, 0, "no registry has it"};
  const storage::RegistryAuth nobody;
  const storage::Platform any;
  const storage::ProgressSink silent = [](const storage::Progress&) {};
  for (const auto& known : lost.digests) {
    CO_TRY(auto ref, storage::from_canonical(known));
    const auto first = ref.digest;
    ref.digest = lost.manifest.empty() ? first : lost.manifest;
    const auto name = ref.familiar();
    const auto pulled = co_await store.pull(ref, nobody, any, silent);
    if (!pulled) {
      why = pulled.error();
      continue;
    }
    if (pulled->id != lost.id) {
      why = {Errc::conflict, 0, name + " is another image by now"};
      continue;
    }
    for (const auto& text : lost.names) {
      CO_TRY(auto tag, storage::from_canonical(text));
      if (!store.find(tag.familiar())) CO_CHECK(co_await store.tag(lost.id, std::move(tag)));
    }
    // An index that it was found by: only a pull for this host's platform leads to it again.
    ref.digest = first;
    if (first != lost.manifest && storage::serves(storage::platform_of(*pulled), {}))
      (void)co_await store.pull(ref, nobody, any, silent);
    co_return name;
  }
  co_return std::unexpected(why);
}

Coro<void> pull_all(storage::Storage& store, CheckReport& report, std::string data_root) {
  for (const auto& lost : report.lost) {
    const auto found = std::ranges::find_if(report.findings, [&](const Finding& f) {
      return f.kind == "image" && f.object == lost.id;
    });
    auto from = co_await pull_one(store, lost);
    if (from) {
      found->mended = "pulled again from " + *from;
      continue;
    }
    const auto hex = lost.id.substr(lost.id.find(':') + 1);
    const auto moved = storage::move_aside(data_root + "/storage/images/" + hex,
                                           data_root + "/lost+found", "image", hex);
    found->reason += fmt::format("; not pulled again: {}", from.error().message);
    if (moved) found->mended = fmt::format("moved to {}; {}", *moved, found->remedy);
  }
  co_await store.close();
}

}  // namespace

Result<> pull_again(CheckReport& report, const CheckRequest& request, storage::Config config) {
  asio::io_context io{1};
  Workers workers(io, kWorkers);
  {
    TRY(const auto store, storage::Storage::open(io, workers, std::move(config)));
    Scope scope(io);
    scope.start("pull again", pull_all(*store, report, request.data_root));
    io.run();
  }
  std::erase_if(report.findings, [](const Finding& f) { return f.mended.empty(); });
  CheckRequest look = request;
  look.repair = false;
  TRY(auto still, Checker(look, false).run());
  std::ranges::move(still.findings, std::back_inserter(report.findings));
  return {};
}

std::size_t CheckReport::open() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      findings, [](const Finding& f) { return !f.note && f.mended.empty(); }));
}

Result<CheckReport> check(const CheckRequest& request) {
  if (!exists(request.data_root))
    return fail(Errc::not_found, "check {}: there is no such data root", request.data_root);
  TRY(auto lock, lock_root(request.data_root));
  if (lock.running && request.repair)
    return fail(Errc::conflict,
                "repair {}: coracled (pid {}) uses it: stop the daemon first; containers go on "
                "without it",
                request.data_root, lock.pid.empty() ? "unknown" : lock.pid);
  CheckReport report;
  report.running = lock.running;
  TRY(auto checked, Checker(request, lock.running).run());
  report.findings = std::move(checked.findings);
  report.lost = std::move(checked.lost);
  report.lock = std::move(lock.fd);
  return report;
}

std::string to_text(const CheckReport& report) {
  std::string text;
  for (const auto& f : report.findings) {
    text += fmt::format("{}{} {}: {}", f.note ? "note: " : "", f.kind, f.object, f.reason);
    if (!f.mended.empty()) {
      text += "; mended: " + f.mended;
    } else if (!f.remedy.empty()) {
      text += "; " + f.remedy;
    }
    text += '\n';
  }
  return text;
}

}  // namespace coracle
