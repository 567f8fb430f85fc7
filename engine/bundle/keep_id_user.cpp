#include "engine/bundle/keep_id_user.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "engine/base/path.hpp"
#include "engine/runtime/user_lookup.hpp"

namespace coracle {
namespace {

constexpr std::size_t kFileLimit = std::size_t{8} << 20;
constexpr std::uint32_t kUsualUser = 1000;

// A file as the container sees it: of the topmost layer that has it. A whiteout hides those below.
std::string read_in_layers(const std::vector<std::string>& layers, const std::string& path) {
  for (const auto& layer : layers) {
    const auto root = open_dir(layer);
    if (!root) continue;
    const auto file = open_in_root(*root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file && (file.error().sys == ENOENT || file.error().sys == ENOTDIR)) continue;
    struct stat st {};
    if (!file || ::fstat(file->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
    return read_all(*file, kFileLimit).value_or("");
  }
  return {};
}

}  // namespace

Result<std::string> find_id_mapping_overlay() {
  const char* path = std::getenv("PATH");
  std::string rest = std::string(path != nullptr ? path : "") + ":/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const auto colon = std::min(rest.find(':'), rest.size());
    const std::string program = rest.substr(0, colon) + "/fuse-overlayfs";
    if (program.front() == '/' && ::access(program.c_str(), X_OK) == 0) return program;
    rest.erase(0, colon + 1);
  }
  return fail(Errc::unsupported,
              "keep-id needs the program fuse-overlayfs, which shows an image's files with other "
              "ids; an administrator can install the package fuse-overlayfs");
}

Result<KeepIdMaps> find_keep_id(const KeepIdInput& in) {
  if (in.uids <= 1 || in.gids <= 1)
    return fail(Errc::unsupported,
                "keep-id needs a range of ids, and only one id is mapped here; an administrator "
                "can add a range with usermod --add-subuids and --add-subgids");
  const auto& asked = in.request;
  runtime::ResolvedUser user;
  if (!asked.uid || !asked.gid) {
    const auto passwd = read_in_layers(in.layers, "/etc/passwd");
    const auto group = read_in_layers(in.layers, "/etc/group");
    const auto by_id = [&](std::uint32_t id) {
      return runtime::lookup_user(std::to_string(id), passwd, group);
    };
    if (asked.uid) {
      TRY(user, by_id(*asked.uid));
      if (user.gid == 0) user.gid = *asked.uid;
    } else {
      for (const auto& name : in.users) {
        TRY(user, runtime::lookup_user(name, passwd, group));
        if (user.uid != 0) break;
      }
      if (user.uid == 0) {
        TRY(user, by_id(kUsualUser));
        if (user.gid == 0) user.gid = kUsualUser;
      }
    }
  }
  KeepIdMaps out;
  TRY(out.users, keep_id_map(asked.uid.value_or(user.uid), in.uids));
  TRY(out.groups, keep_id_map(asked.gid.value_or(user.gid), in.gids));
  return out;
}

}  // namespace coracle
