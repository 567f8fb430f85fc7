#include "engine/rootless/survivor.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/rootless/protocol.hpp"

namespace coracle::rootless {
namespace {

// What is of interest here of a monitor's monitor.json (engine/monitor/protocol.hpp).
struct MonitorFile {
  ProcessIdentity monitor;
};
void describe(auto& field, MonitorFile& m) { field("monitor", m.monitor); }

Pidfd living_monitor(const std::string& run_dir) {
  const auto text = read_file(join_path(run_dir, "monitor.json"), 1 << 16);
  if (!text) return {};
  const auto file = json::from_text<MonitorFile>(*text);
  if (!file || file->monitor.pid == 0) return {};
  auto process = Pidfd::open(file->monitor);
  return process && !process->ended() ? *std::move(process) : Pidfd();
}

// A write end of its own of the pipe with this inode, if the process has one open.
UniqueFd lifeline_of(const Pidfd& process, std::uint64_t inode) {
  const auto folder = fmt::format("/proc/{}/fd", process.pid());
  const auto names = list_dir(folder);
  if (!names) return {};
  for (const auto& name : *names) {
    const auto path = join_path(folder, name);
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 || !S_ISFIFO(st.st_mode) || st.st_ino != inode) continue;
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    // Between stat and open it may have become another one.
    if (fd && ::fstat(fd.get(), &st) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == inode) return fd;
  }
  return {};
}

}  // namespace

Result<Survivor> find_survivor(const std::string& exec_root) {
  TRY(const auto text, read_file(join_path(exec_root, kRecordName), 1 << 16));
  auto record = json::from_text<KeeperRecord>(text);
  if (!record || record->lifeline == 0) return fail(Errc::not_found, "no keeper left its record");
  const auto containers = join_path(exec_root, "containers");
  const auto names = list_dir(containers);
  if (!names) return fail(Errc::not_found, "no container runs");
  std::string trouble;
  for (const auto& name : *names) {
    auto process = living_monitor(join_path(containers, name));
    if (!process) continue;
    auto lifeline = lifeline_of(process, record->lifeline);
    // By descriptors from here on: what was asked by its number was that process's if it still is.
    if (process.ended()) continue;
    if (!lifeline) {
      trouble = fmt::format("monitor {} holds no lifeline of it", process.pid());
      continue;
    }
    Survivor found;
    found.process = std::move(process);
    found.heritage.one_id = record->maps.one_id;
    found.heritage.warnings = std::move(record->maps.warnings);
    found.heritage.lifeline = std::move(lifeline);
    return found;
  }
  if (!trouble.empty()) return fail(Errc::unavailable, "{}", trouble);
  return fail(Errc::not_found, "no container runs");
}

Result<> join_survivor(const Survivor& survivor) {
  // Both at once, by its pidfd: Linux 5.8. See setns(2).
  if (::setns(survivor.process.fd().get(), CLONE_NEWUSER | CLONE_NEWNS) != 0)
    return sys_error("enter the namespaces of monitor {}", survivor.process.pid());
  return {};
}

}  // namespace coracle::rootless
