#include "engine/check.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <thread>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "engine/container/record.hpp"
#include "engine/container/state.hpp"
#include "engine/monitor/protocol.hpp"

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

  Result<std::vector<Finding>> run() {
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
    options.repair = r_.repair;
    options.deep = r_.deep;
    options.running = running_;
    options.containers = volumes_of_;
    TRY(auto stored, storage::check(options));
    findings_.insert(findings_.end(), stored.begin(), stored.end());
    return std::move(findings_);
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

std::size_t CheckReport::open() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      findings, [](const Finding& f) { return !f.note && f.mended.empty(); }));
}

Result<CheckReport> check(const CheckRequest& request) {
  if (!exists(request.data_root))
    return fail(Errc::not_found, "check {}: there is no such data root", request.data_root);
  TRY(const auto lock, lock_root(request.data_root));
  if (lock.running && request.repair)
    return fail(Errc::conflict,
                "repair {}: coracled (pid {}) uses it: stop the daemon first; containers go on "
                "without it",
                request.data_root, lock.pid.empty() ? "unknown" : lock.pid);
  CheckReport report;
  report.running = lock.running;
  TRY(report.findings, Checker(request, lock.running).run());
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
