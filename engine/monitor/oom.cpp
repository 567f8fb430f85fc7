#include "engine/monitor/oom.hpp"

#include <charconv>
#include <string_view>

#include "engine/base/file.hpp"

namespace coracle::monitor {
namespace {

// The line "0::/path" of /proc/PID/cgroup; "" without cgroup v2. See cgroups(7).
std::string cgroup_of(const std::string& pid) {
  const auto text = read_file("/proc/" + pid + "/cgroup");
  if (!text) return {};
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    if (line.starts_with("0::")) return std::string(line.substr(3));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return {};
}

std::int64_t kills_in(const std::string& events_path) {
  const auto text = read_file(events_path);
  if (!text) return 0;
  constexpr std::string_view kKey = "oom_kill ";
  const auto at = text->find(kKey);
  if (at == std::string::npos) return 0;
  std::int64_t n = 0;
  std::from_chars(text->data() + at + kKey.size(), text->data() + text->size(), n);
  return n;
}

}  // namespace

std::string own_cgroup_dir(pid_t pid) {
  const std::string theirs = cgroup_of(std::to_string(pid));
  if (theirs.empty() || theirs == cgroup_of("self")) return {};
  return "/sys/fs/cgroup" + theirs;
}

OomWatch::OomWatch(pid_t init) {
  const auto dir = own_cgroup_dir(init);
  if (dir.empty()) return;
  events_path_ = dir + "/memory.events";
  before_ = kills_in(events_path_);
}

bool OomWatch::killed() const { return !events_path_.empty() && kills_in(events_path_) > before_; }

}  // namespace coracle::monitor
