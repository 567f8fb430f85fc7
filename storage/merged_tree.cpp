#include "storage/merged_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>

namespace coracle::storage {
namespace {

constexpr int kMostLinks = 40;  // as the kernel: path_resolution(7)

// The names that mark an opaque directory: the kernel's in a user namespace, the kernel's with
// root, and fuse-overlayfs's own.
constexpr std::array kOpaqueNames{"user.overlay.opaque", "trusted.overlay.opaque",
                                  "user.fuseoverlayfs.opaque"};

Result<UniqueFd> open_entry_dir(const UniqueFd& parent, const std::string& name) {
  UniqueFd fd(
      ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return sys_error("open directory {}", name);
  return fd;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at < path.size()) {
    auto slash = path.find('/', at);
    if (slash == std::string::npos) slash = path.size();
    std::string part = path.substr(at, slash - at);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    at = slash + 1;
  }
  return parts;
}

Result<std::string> read_link(const MergedEntry& entry) {
  std::string target(static_cast<std::size_t>(entry.st.st_size) + 256, 0);
  const ssize_t n =
      ::readlinkat(entry.parent.get(), entry.name.c_str(), target.data(), target.size());
  if (n < 0) return sys_error("read the link {}", entry.name);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

}  // namespace

Result<std::vector<std::string>> names_in(const UniqueFd& dir) {
  TRY(const auto entries, entries_in(dir));
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const auto& [name, type] : entries) names.push_back(name);
  return names;
}

Result<std::vector<DirEntry>> entries_in(const UniqueFd& dir) {
  // An open file of its own: the position in a directory is shared by duplicates.
  UniqueFd again(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!again) return sys_error("open a layer's directory");
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(again.get()));
  if (!stream) return sys_error("read a layer's directory");
  static_cast<void>(again.release());  // closedir owns it now
  std::vector<DirEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({std::string(name), entry->d_type});
  }
  if (errno != 0) return sys_error("read a layer's directory");
  return entries;
}

bool is_whiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

bool is_opaque(const UniqueFd& dir) {
  for (const char* name : kOpaqueNames) {
    char value = 0;
    if (::fgetxattr(dir.get(), name, &value, 1) == 1 && value == 'y') return true;
  }
  return false;
}

Result<MergedEntry> open_merged(const std::vector<std::string>& layers) {
  MergedEntry root;
  for (const auto& layer : layers) {
    UniqueFd fd(::open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return sys_error("open the layer {}", layer);
    if (root.dirs.empty() && ::fstat(fd.get(), &root.st) != 0)
      return sys_error("look at the layer {}", layer);
    const bool opaque = is_opaque(fd);
    root.dirs.push_back(std::move(fd));
    if (opaque) break;
  }
  return root;
}

Result<MergedEntry> lookup_child(const MergedEntry& dir, const std::string& name) {
  MergedEntry found;
  for (const auto& layer : dir.dirs) {
    struct stat st {};
    if (::fstatat(layer.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return sys_error("look at {}", name);
    }
    if (is_whiteout(st)) break;
    if (!S_ISDIR(st.st_mode)) {
      if (!found.dirs.empty()) break;  // a directory above hides it
      found.st = st;
      TRY(found.parent, duplicate(layer));
      found.name = name;
      return found;
    }
    TRY(auto fd, open_entry_dir(layer, name));
    if (found.dirs.empty()) found.st = st;
    const bool opaque = is_opaque(fd);
    found.dirs.push_back(std::move(fd));
    if (opaque) break;
  }
  if (found.dirs.empty()) return fail(Errc::not_found, "{}: no such file or directory", name);
  return found;
}

Result<MergedEntry> lookup_path(const std::vector<std::string>& layers, const std::string& path) {
  std::vector<MergedEntry> way;  // from the root to where we are
  TRY(auto root, open_merged(layers));
  way.push_back(std::move(root));
  auto todo = parts_of(path);
  int links = 0;
  for (std::size_t i = 0; i < todo.size(); ++i) {
    if (way.back().dirs.empty() && way.size() > 1)
      return fail(Errc::invalid_argument, "{}: not a directory", path);
    if (todo[i] == "..") {
      if (way.size() > 1) way.pop_back();
      continue;
    }
    auto next = lookup_child(way.back(), todo[i]);
    if (!next && next.error().code == Errc::not_found)
      return fail(Errc::not_found, "{}: no such file or directory", path);
    if (!next) return std::unexpected(next.error().within("{}", path));
    if (!S_ISLNK(next->st.st_mode)) {
      way.push_back(*std::move(next));
      continue;
    }
    if (++links > kMostLinks)
      return fail(Errc::invalid_argument, "{}: too many symbolic links", path);
    TRY(const auto target, read_link(*next));
    auto rest = parts_of(target);
    rest.insert(rest.end(), todo.begin() + static_cast<std::ptrdiff_t>(i) + 1, todo.end());
    if (target.starts_with('/')) way.erase(way.begin() + 1, way.end());
    todo = std::move(rest);
    i = static_cast<std::size_t>(-1);
  }
  return std::move(way.back());
}

Result<std::vector<std::string>> list_merged(const MergedEntry& dir) {
  std::set<std::string> seen;  // a name that was met, hidden or not, hides those below
  std::vector<std::string> out;
  for (const auto& layer : dir.dirs) {
    TRY(const auto names, names_in(layer));
    for (const auto& name : names) {
      if (!seen.insert(name).second) continue;
      struct stat st {};
      if (::fstatat(layer.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return sys_error("look at {}", name);
      if (!is_whiteout(st)) out.push_back(name);
    }
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace coracle::storage
