#include "storage/snapshots/merged_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <limits.h>

#include "engine/base/at.hpp"

namespace coracle::storage {
namespace {

constexpr int kMostLinksToRoot = 40;  // as the kernel: path_resolution(7)

// The names that mark an opaque directory: the kernel's in a user namespace, the kernel's with
// root, and fuse-overlayfs's own.
constexpr std::array kOpaqueNames{"user.overlay.opaque", "trusted.overlay.opaque",
                                  "user.fuseoverlayfs.opaque"};

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

Result<std::string> read_link(const UniqueFd& dir, const std::string& name) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = at::read_link(dir, name, target.data(), target.size());
  if (n < 0) return sys_error("read the link {}", name);
  return std::string(target.data(), static_cast<std::size_t>(n));
}

}  // namespace

bool is_gone(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

std::string below(const std::string& path, const std::string& name) {
  if (path.empty()) return name;
  return path.ends_with('/') ? path + name : path + "/" + name;
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

Result<Way> way_from(const MergedEntry& dir) {
  std::vector<UniqueFd> tops;
  for (const auto& layer : dir.dirs) {
    TRY(auto top, duplicate(layer));
    tops.push_back(std::move(top));
  }
  return Way(std::move(tops));
}

Result<MergedChild> child_of(const Way& way, std::size_t first, const std::string& name) {
  MergedChild found;
  for (std::size_t tree = first; tree < way.trees(); ++tree) {
    const UniqueFd* layer = way.dir(tree);
    if (layer == nullptr) continue;
    struct stat st {};
    if (at::look(*layer, name, st) != 0) {
      if (errno == ENOENT) continue;
      return sys_error("look at {}", name);
    }
    if (is_whiteout(st)) break;
    if (!S_ISDIR(st.st_mode)) {
      if (found.is_directory()) break;  // a directory above hides it
      found.st = st;
      found.tree = tree;
      return found;
    }
    UniqueFd fd = at::open_dir(*layer, name);
    if (!fd) return sys_error("open directory {}", name);
    if (!found.is_directory()) {
      found.st = st;
      found.dirs.resize(way.trees());
    }
    const bool opaque = is_opaque(fd);
    found.dirs[tree] = std::move(fd);
    if (opaque) break;
  }
  if (!found.is_directory()) return fail_as(ENOENT, "{}: no such file or directory", name);
  return found;
}

Result<> list_layers(const Way& way, std::size_t first, Piece& piece) {
  constexpr unsigned char kHidden = 254;  // no DT_…: a name that is hidden hides those below
  for (std::size_t tree = first; tree < way.trees(); ++tree) {
    const UniqueFd* layer = way.dir(tree);
    if (layer == nullptr) continue;
    Result<> looked;
    CHECK(read_dir(*layer, [&](std::string_view name, unsigned char type) {
      if (type == DT_CHR || type == DT_UNKNOWN) {
        struct stat st {};
        if (at::look(*layer, std::string(name), st) != 0) {
          if (errno != ENOENT && looked) looked = sys_error("look at {}", name);
        } else if (is_whiteout(st)) {
          type = kHidden;
        }
      }
      piece.add(name, type);
    }));
    if (!looked) return looked;
  }
  piece.drop(kHidden);
  return {};
}

namespace {

// What lookup_path found, with descriptors of its own.
Result<MergedEntry> entry_at(const Way& way, const MergedChild* leaf, const std::string& name) {
  MergedEntry out;
  if (leaf != nullptr) {
    out.st = leaf->st;
    out.name = name;
    TRY(out.parent, duplicate(*way.dir(leaf->tree)));
    return out;
  }
  for (std::size_t tree = 0; tree < way.trees(); ++tree) {
    if (way.dir(tree) == nullptr) continue;
    TRY(auto dir, duplicate(*way.dir(tree)));
    if (out.dirs.empty() && ::fstat(dir.get(), &out.st) != 0)
      return sys_error("look at {}", way.shown());
    out.dirs.push_back(std::move(dir));
  }
  return out;
}

}  // namespace

Result<MergedEntry> lookup_path(const std::vector<std::string>& layers, const std::string& path) {
  TRY(const auto root, open_merged(layers));
  TRY(auto way, way_from(root));
  auto todo = parts_of(path);
  std::optional<MergedChild> leaf;  // something that is no directory: the end of the way
  std::string name;
  int links = 0;
  for (std::size_t i = 0; i < todo.size(); ++i) {
    if (leaf) return fail(Errc::invalid_argument, "{}: not a directory", path);
    if (todo[i] == "..") {
      if (way.depth() > 0) way.up();
      continue;
    }
    auto next = child_of(way, 0, todo[i]);
    if (!next && next.error().code == Errc::not_found)
      return fail_as(ENOENT, "{}: no such file or directory", path);
    if (!next) return std::unexpected(next.error().within("{}", path));
    name = todo[i];
    if (next->is_directory()) {
      CHECK(way.down(name, std::move(next->dirs)));
      continue;
    }
    if (!S_ISLNK(next->st.st_mode)) {
      leaf = *std::move(next);
      continue;
    }
    if (++links > kMostLinksToRoot)
      return fail(Errc::invalid_argument, "{}: too many symbolic links", path);
    TRY(const auto target, read_link(*way.dir(next->tree), name));
    auto rest = parts_of(target);
    rest.insert(rest.end(), todo.begin() + static_cast<std::ptrdiff_t>(i) + 1, todo.end());
    while (target.starts_with('/') && way.depth() > 0) way.up();
    todo = std::move(rest);
    i = static_cast<std::size_t>(-1);
  }
  return entry_at(way, leaf ? &*leaf : nullptr, name);
}

}  // namespace coracle::storage
