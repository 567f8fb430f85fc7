#include "storage/tar_tree.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include <limits.h>

namespace coracle::storage {
namespace {

constexpr long kMqueueMagic = 0x19800202;

bool holds_files(const UniqueFd& directory) {
  struct statfs fs {};
  if (::fstatfs(directory.get(), &fs) != 0) return true;
  switch (static_cast<long>(fs.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case kMqueueMagic: return false;
    default: return true;
  }
}

bool is_gone(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

ArchiveEntry entry_of(const struct stat& st, const std::string& path) {
  ArchiveEntry out;
  out.path = path;
  out.type = st.st_mode & S_IFMT;
  out.mode = st.st_mode & 07777;
  out.uid = st.st_uid;
  out.gid = st.st_gid;
  out.size = S_ISREG(st.st_mode) ? st.st_size : 0;
  out.device = st.st_rdev;
  out.mtime = st.st_mtim;
  return out;
}

std::string below(const std::string& path, const std::string& name) {
  if (path.empty()) return name;
  return path.ends_with('/') ? path + name : path + "/" + name;
}

}  // namespace

Result<> TarTree::fill(ArchiveEntry& entry, const UniqueFd& fd) {
  const auto size = ::flistxattr(fd.get(), nullptr, 0);
  if (size <= 0) return {};
  std::string names(static_cast<std::size_t>(size), '\0');
  const auto got = ::flistxattr(fd.get(), names.data(), names.size());
  if (got <= 0) return {};
  names.resize(static_cast<std::size_t>(got));
  std::string value;
  for (std::size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!is_kept_xattr(name)) continue;
    const auto length = ::fgetxattr(fd.get(), name.c_str(), nullptr, 0);
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    const auto n = ::fgetxattr(fd.get(), name.c_str(), value.data(), value.size());
    if (n < 0) continue;
    value.resize(static_cast<std::size_t>(n));
    entry.xattrs.push_back({name, value});
  }
  return {};
}

Result<> TarTree::add(const UniqueFd& parent, const std::string& name, const struct stat& st,
                      const std::string& path) {
  auto entry = entry_of(st, path);
  if (S_ISSOCK(st.st_mode)) return {};
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
    const auto [first, fresh] = links_.emplace(std::pair(st.st_dev, st.st_ino), path);
    if (!fresh) {
      entry.hardlink = first->second;
      entry.size = 0;
      return to_.entry(entry);
    }
  }
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> text{};
    const auto n = ::readlinkat(parent.get(), name.c_str(), text.data(), text.size());
    if (n < 0 && (is_gone(errno) || errno == EINVAL)) return {};
    if (n < 0) return sys_error("read the link {}", path);
    entry.symlink.assign(text.data(), static_cast<std::size_t>(n));
    return to_.entry(entry);
  }
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return to_.entry(entry);
  const int kind = S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK;
  const UniqueFd fd(::openat(parent.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind));
  if (!fd && is_gone(errno)) return {};
  if (!fd) return sys_error("open {}", path);
  // What was opened counts: it may be another by now.
  struct stat now {};
  if (::fstat(fd.get(), &now) != 0) return sys_error("look at {}", path);
  if ((now.st_mode & S_IFMT) != (st.st_mode & S_IFMT)) return {};
  entry = entry_of(now, path);
  CHECK(fill(entry, fd));
  file_bytes_ += entry.size;
  return to_.entry(entry, S_ISREG(now.st_mode) ? &fd : nullptr);
}

Result<> TarTree::add_directory(const UniqueFd& directory, const std::string& path) {
  struct stat st {};
  if (::fstat(directory.get(), &st) != 0) return sys_error("look at {}", path);
  auto entry = entry_of(st, path);
  CHECK(fill(entry, directory));
  return to_.entry(entry);
}

Result<> TarTree::add_marker(const std::string& path) {
  ArchiveEntry entry;
  entry.path = path;
  entry.type = S_IFREG;
  entry.mode = 0600;
  return to_.entry(entry);
}

Result<> TarTree::add_all(const UniqueFd& parent, const std::string& name,
                          const std::string& path) {
  struct stat st {};
  if (::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return sys_error("look at {}", path);
  if (!S_ISDIR(st.st_mode)) return add(parent, name, st, path);
  const UniqueFd fd(
      ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  return add_all_in(fd, path);
}

Result<> TarTree::add_all_in(const UniqueFd& directory, const std::string& path) {
  CHECK(add_directory(directory, path));
  if (!holds_files(directory)) return {};
  TRY(auto names, names_in(directory));
  std::ranges::sort(names);
  for (const auto& name : names) {
    struct stat st {};
    if (::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (is_gone(errno)) continue;
      return sys_error("look at {}", below(path, name));
    }
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) continue;
    if (!S_ISDIR(st.st_mode)) {
      CHECK(add(directory, name, st, below(path, name)));
      continue;
    }
    const UniqueFd fd(
        ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && is_gone(errno)) continue;
    if (!fd) return sys_error("open {}", below(path, name));
    CHECK(add_all_in(fd, below(path, name)));
  }
  return {};
}

namespace {

Result<> merged_directory(TarTree& tar, const MergedEntry& directory, const std::string& path,
                          bool named_whiteouts) {
  TRY(const auto names, list_merged(directory));
  for (const auto& name : names) {
    if (named_whiteouts && name.starts_with(".wh.")) continue;
    const auto at = below(path, name);
    auto child = lookup_child(directory, name);
    if (!child && child.error().code == Errc::not_found) continue;
    if (!child) return std::unexpected(child.error().within("{}", at));
    if (child->dirs.empty()) {
      CHECK(tar.add(child->parent, child->name, child->st, at));
      continue;
    }
    CHECK(tar.add_directory(child->dirs.front(), at));
    CHECK(merged_directory(tar, *child, at, named_whiteouts));
  }
  return {};
}

}  // namespace

Result<> write_merged(const MergedEntry& root, bool named_whiteouts, const UniqueFd& to) {
  ArchiveWriter archive(to);
  TarTree tar(archive);
  CHECK(merged_directory(tar, root, "", named_whiteouts));
  return archive.finish();
}

Result<std::int64_t> write_diff(const DiffSource& source, ArchiveWriter::Sink to) {
  ArchiveWriter archive(std::move(to));
  TarTree tar(archive);
  // "/" of a layer that does not name it is 0755 and root's (LayerStore::stage).
  const auto& top = source.upper.empty() ? source.copy : source.upper;
  const UniqueFd root(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat st {};
  if (!root || ::fstat(root.get(), &st) != 0) return sys_error("open the writable layer {}", top);
  constexpr mode_t kUsual = 0755;
  if ((st.st_mode & 07777) != kUsual || st.st_uid != 0 || st.st_gid != 0)
    CHECK(tar.add_directory(root, "./"));
  CHECK(walk_diff(source, false, [&](const DiffEntry& entry) -> Result<> {
    if (entry.kind == DiffKind::deleted) {
      const auto slash = entry.path.rfind('/') + 1;  // npos + 1 is 0
      return tar.add_marker(entry.path.substr(0, slash) + ".wh." + entry.path.substr(slash));
    }
    if (entry.name.starts_with(".wh.")) return {};  // no layer can hold it
    CHECK(tar.add(*entry.parent, entry.name, entry.st, entry.path));
    return entry.opaque ? tar.add_marker(entry.path + "/.wh..wh..opq") : Result<>{};
  }));
  CHECK(archive.finish());
  return tar.file_bytes();
}

}  // namespace coracle::storage
