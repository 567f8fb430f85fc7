#include "engine/reset.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <span>
#include <string_view>
#include <thread>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/text.hpp"
#include "engine/base/tree/remove.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;
// See docs/formats.md. The lock goes last: it is held.
constexpr std::array<const char*, 12> kOfDataRoot = {
    "containers",    "storage",      "volumes",        "trash",   "seccomp",   "lost+found",
    "networks.json", "events.jsonl", "events.jsonl.1", "reserve", "engine-id", "coracled.lock"};

std::size_t count_in(const std::string& folder) {
  const auto names = list_dir(folder);
  return names ? names->size() : 0;
}

// "\040" is a space. See proc(5), mountinfo.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 3 >= text.size()) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return out;
}

Result<std::string> real_path(const std::string& path) {
  std::array<char, PATH_MAX> real{};
  if (::realpath(path.c_str(), real.data()) == nullptr) return sys_error("resolve {}", path);
  return std::string(real.data());
}

// The mount points below a folder, as mountinfo names them; the innermost first.
Result<std::vector<std::string>> mounts_below(const std::string& folder) {
  TRY(const auto text, read_file("/proc/self/mountinfo", std::size_t{16} << 20));
  std::vector<std::string> out;
  for (const auto& line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    auto place = unescaped(fields[4]);
    if (place.starts_with(folder + "/")) out.push_back(std::move(place));
  }
  std::ranges::reverse(out);
  return out;
}

// A volume's bind mount shows a folder of the user's, which is not ours to empty.
Result<> unmount_below(const std::string& folder) {
  TRY(const auto mounted, mounts_below(folder));
  for (const auto& place : mounted) {
    if (::umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL)
      return sys_error("unmount {}", place);
  }
  TRY(const auto left, mounts_below(folder));
  if (left.empty()) return {};
  return fail(Errc::conflict, "{} is still mounted: nothing was removed", left.front());
}

Result<> empty_root(const std::string& root, std::span<const char* const> names) {
  TRY(const auto dir, open_dir(root));
  for (const char* name : names) {
    if (auto done = remove_in(dir, name); !done)
      return std::unexpected(done.error().within("in {}", root));
  }
  return {};
}

}  // namespace

Result<ResetReport> look_before_reset(const std::string& data_root, const std::string& exec_root) {
  if (!exists(data_root))
    return fail(Errc::not_found, "reset {}: there is no such data root", data_root);
  ResetReport out;
  out.containers = count_in(data_root + "/containers");
  out.images = count_in(data_root + "/storage/images");
  out.volumes = count_in(data_root + "/volumes");
  const auto ids = list_dir(exec_root + "/containers");
  if (!ids) return out;
  for (const auto& id : *ids) {
    const auto text =
        read_file(fmt::format("{}/containers/{}/{}", exec_root, id, monitor::kIdentityName));
    const auto identity = text ? json::from_text<monitor::Identity>(*text)
                               : Result<monitor::Identity>(std::unexpected(text.error()));
    if (identity && Pidfd::open(identity->monitor)) out.running.push_back(*identity);
  }
  return out;
}

Result<> end_containers(const std::vector<monitor::Identity>& running) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (const auto& who : running) {
    const auto monitor = Pidfd::open(who.monitor);
    const auto init = Pidfd::open(who.init);
    for (const auto* process : {&init, &monitor}) {
      if (*process) (void)(*process)->send_signal(SIGKILL);  // it may have ended by itself
    }
    for (const auto* process : {&init, &monitor}) {
      while (*process && !(*process)->ended()) {
        if (std::chrono::steady_clock::now() > end)
          return fail(Errc::unavailable, "process {} of a container does not end",
                      (*process)->pid());
        std::this_thread::sleep_for(10ms);
      }
    }
  }
  return {};
}

Result<> reset(const std::string& data_root, const std::string& exec_root) {
  TRY(const auto real, real_path(data_root));
  CHECK(unmount_below(real));
  constexpr std::array<const char*, 1> kOfExecRoot = {"containers"};
  CHECK(empty_root(exec_root, kOfExecRoot));
  return empty_root(data_root, kOfDataRoot);
}

}  // namespace coracle
