#include "engine/runtime/mounts/mount_point.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include <limits.h>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

constexpr mode_t kDirMode = 0755;
constexpr mode_t kFileMode = 0644;
constexpr int kMostLinks = 40;  // as many as the kernel follows; path_resolution(7)

// Where a link at `path` points, as a path below the root; nothing if there is no link.
std::optional<std::string> link_target(const UniqueFd& root, const std::string& path) {
  const auto place = open_parent_in_root(root, path);
  if (!place) return std::nullopt;
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n = at::read_link(place->parent, place->name, buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  const std::string target(buffer.data(), static_cast<std::size_t>(n));
  return target.starts_with('/') ? target : join_path(parent_path(path), target);
}

Result<> make(const UniqueFd& root, const std::string& path, PlaceKind kind) {
  TRY(const auto parent, make_dirs_in_root(root, parent_path(path), kDirMode));
  const std::string name = base_name(path);
  if (kind == PlaceKind::directory) {
    if (at::make_dir(parent, name, kDirMode) != 0 && errno != EEXIST)
      return sys_error("make directory {}", path);
    return {};
  }
  const UniqueFd file = at::open(parent, name, O_WRONLY | O_CREAT | O_EXCL, kFileMode);
  if (!file && errno != EEXIST) return sys_error("make file {}", path);
  return {};
}

}  // namespace

Result<UniqueFd> mount_point(const UniqueFd& root, const std::string& path, PlaceKind kind) {
  std::string now = path;
  for (int links = 0; links < kMostLinks; ++links) {
    auto found = open_in_root(root, now, O_PATH);
    if (found || found.error().sys != ENOENT) return found;
    if (auto target = link_target(root, now)) {
      now = *std::move(target);
      continue;
    }
    CHECK(make(root, now, kind));
  }
  return sys_error_of(ELOOP, "resolve {}", path);
}

}  // namespace coracle::runtime
