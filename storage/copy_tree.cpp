#include "storage/copy_tree.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/log.hpp"
#include "engine/base/path.hpp"

namespace coracle::storage {
namespace {

using FileKey = std::pair<dev_t, ino_t>;

struct Copier {
  UniqueFd root;                         // of the copy
  std::map<FileKey, std::string> links;  // files with more than one name -> their first copy's path

  Result<> directory(const MergedEntry& from, const UniqueFd& to, const std::string& path);
  Result<> entry(const MergedEntry& from, const UniqueFd& into, const std::string& path);
};

bool is_ours(std::string_view name) {
  return name.starts_with("user.overlay.") || name.starts_with("user.fuseoverlayfs.") ||
         name.starts_with("trusted.");
}

// Extended attributes, through the /proc paths of two O_PATH or open descriptors.
Result<> copy_xattrs(const UniqueFd& from, const UniqueFd& to, const std::string& path) {
  const std::string source = proc_path(from);
  const std::string target = proc_path(to);
  ssize_t size = ::listxattr(source.c_str(), nullptr, 0);
  if (size <= 0) return {};
  std::string names(static_cast<std::size_t>(size), 0);
  size = ::listxattr(source.c_str(), names.data(), names.size());
  if (size < 0) return sys_error("list the extended attributes of {}", path);
  names.resize(static_cast<std::size_t>(size));
  std::string value;
  for (std::size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (is_ours(name)) continue;
    const ssize_t length = ::getxattr(source.c_str(), name.c_str(), nullptr, 0);
    if (length < 0) continue;  // one that we may not read (security modules)
    value.resize(static_cast<std::size_t>(length));
    if (::getxattr(source.c_str(), name.c_str(), value.data(), value.size()) != length)
      return sys_error("read {} of {}", name, path);
    if (::setxattr(target.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      // Labels of security modules belong to their place, not to the file.
      if (name.starts_with("security.") && name != "security.capability") continue;
      if (errno == EOPNOTSUPP) continue;
      return sys_error("set {} of {}", name, path);
    }
  }
  return {};
}

// Owner first (it clears the set-uid bits and capabilities), then mode, xattrs, times.
Result<> copy_metadata(const struct stat& st, const UniqueFd& from, const UniqueFd& to,
                       const std::string& path) {
  const std::string target = proc_path(to);
  if (::chown(target.c_str(), st.st_uid, st.st_gid) != 0)
    return sys_error("give {} to {}:{}", path, st.st_uid, st.st_gid);
  if (::chmod(target.c_str(), st.st_mode & 07777) != 0)
    return sys_error("set the mode of {}", path);
  CHECK(copy_xattrs(from, to, path));
  const std::array<timespec, 2> times{st.st_atim, st.st_mtim};
  if (::utimensat(AT_FDCWD, target.c_str(), times.data(), 0) != 0)
    return sys_error("set the times of {}", path);
  return {};
}

Result<> copy_range(const UniqueFd& from, const UniqueFd& to, off_t begin, off_t end,
                    bool& in_kernel) {
  std::vector<char> buffer;
  while (begin < end) {
    const auto left = static_cast<std::size_t>(end - begin);
    ssize_t n = -1;
    if (in_kernel) {
      off_t in = begin;
      off_t out = begin;
      n = ::copy_file_range(from.get(), &in, to.get(), &out, left, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
        in_kernel = false;
      else if (n < 0)
        return sys_error("copy");
    }
    if (!in_kernel) {
      buffer.resize(std::size_t{1} << 17);
      n = ::pread(from.get(), buffer.data(), std::min(left, buffer.size()), begin);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return sys_error("read");
      for (ssize_t done = 0; done < n;) {
        const ssize_t w = ::pwrite(to.get(), buffer.data() + done,
                                   static_cast<std::size_t>(n - done), begin + done);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return sys_error("write");
        done += w;
      }
    }
    if (n == 0) break;  // shorter than it said: somebody writes to it
    begin += n;
  }
  return {};
}

// Data: shared with the original where the file system can, else copied without its holes.
Result<> copy_data(const UniqueFd& from, const UniqueFd& to, off_t size) {
  if (size == 0 || ::ioctl(to.get(), FICLONE, from.get()) == 0) return {};
  bool in_kernel = true;
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    const off_t hole = data < 0 ? size : ::lseek(from.get(), data, SEEK_HOLE);
    const off_t begin = data < 0 ? at : data;
    const off_t end = hole < 0 ? size : std::min(hole, size);
    CHECK(copy_range(from, to, begin, end, in_kernel));
    at = end;
  }
  if (::ftruncate(to.get(), size) != 0) return sys_error("set the size");
  return {};
}

Result<UniqueFd> open_path(const UniqueFd& dir, const std::string& name, const std::string& path) {
  UniqueFd fd(::openat(dir.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  return fd;
}

Result<> copy_file(const MergedEntry& from, const UniqueFd& into, const std::string& path) {
  const UniqueFd in(
      ::openat(from.parent.get(), from.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in) return sys_error("open {}", path);
  const UniqueFd out(::openat(into.get(), from.name.c_str(),
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return sys_error("make {}", path);
  if (auto done = copy_data(in, out, from.st.st_size); !done)
    return std::unexpected(done.error().within("copy {}", path));
  return copy_metadata(from.st, in, out, path);
}

Result<> copy_link(const MergedEntry& from, const UniqueFd& into, const std::string& path) {
  std::string target(static_cast<std::size_t>(from.st.st_size) + 1, 0);
  const ssize_t n =
      ::readlinkat(from.parent.get(), from.name.c_str(), target.data(), target.size());
  if (n < 0) return sys_error("read the link {}", path);
  target.resize(static_cast<std::size_t>(n));
  if (::symlinkat(target.c_str(), into.get(), from.name.c_str()) != 0)
    return sys_error("make the link {}", path);
  if (::fchownat(into.get(), from.name.c_str(), from.st.st_uid, from.st.st_gid,
                 AT_SYMLINK_NOFOLLOW) != 0)
    return sys_error("give {} to {}:{}", path, from.st.st_uid, from.st.st_gid);
  const std::array<timespec, 2> times{from.st.st_atim, from.st.st_mtim};
  if (::utimensat(into.get(), from.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
    return sys_error("set the times of {}", path);
  return {};
}

Result<> copy_special(const MergedEntry& from, const UniqueFd& into, const std::string& path) {
  if (S_ISCHR(from.st.st_mode) || S_ISBLK(from.st.st_mode)) {
    log::debug("device node left out path={}", path);
    return {};
  }
  if (::mknodat(into.get(), from.name.c_str(), (from.st.st_mode & S_IFMT) | 0600, 0) != 0)
    return sys_error("make {}", path);
  TRY(const auto in, open_path(from.parent, from.name, path));
  TRY(const auto out, open_path(into, from.name, path));
  return copy_metadata(from.st, in, out, path);
}

Result<> Copier::entry(const MergedEntry& from, const UniqueFd& into, const std::string& path) {
  const FileKey key{from.st.st_dev, from.st.st_ino};
  const bool linked = from.st.st_nlink > 1;
  if (linked) {
    if (const auto first = links.find(key); first != links.end()) {
      if (::linkat(root.get(), first->second.c_str(), into.get(), from.name.c_str(), 0) == 0)
        return {};
      if (errno != EMLINK) return sys_error("link {} to {}", path, first->second);
    }
  }
  switch (from.st.st_mode & S_IFMT) {
    case S_IFREG: CHECK(copy_file(from, into, path)); break;
    case S_IFLNK: CHECK(copy_link(from, into, path)); break;
    default: CHECK(copy_special(from, into, path)); return {};
  }
  if (linked) links[key] = path;
  return {};
}

Result<> Copier::directory(const MergedEntry& from, const UniqueFd& to, const std::string& path) {
  TRY(const auto names, list_merged(from));
  for (const auto& name : names) {
    const std::string below = path.empty() ? name : path + "/" + name;
    auto child = lookup_child(from, name);
    if (!child) return std::unexpected(child.error().within("{}", below));
    if (child->dirs.empty()) {
      CHECK(entry(*child, to, below));
      continue;
    }
    if (::mkdirat(to.get(), name.c_str(), 0700) != 0) return sys_error("make {}", below);
    const UniqueFd into(
        ::openat(to.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!into) return sys_error("open {}", below);
    CHECK(directory(*child, into, below));
  }
  // Last: what is made inside would change the times.
  if (from.dirs.empty()) return {};
  return copy_metadata(from.st, from.dirs.front(), to, path.empty() ? "the directory" : path);
}

}  // namespace

Result<> copy_tree(const MergedEntry& from, const std::string& into) {
  Copier copier;
  copier.root.reset(::open(into.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copier.root) return sys_error("open {}", into);
  return copier.directory(from, copier.root, "");
}

Result<> copy_directory_metadata(const UniqueFd& from, const UniqueFd& to) {
  struct stat st {};
  if (::fstat(from.get(), &st) != 0) return sys_error("look at a directory");
  return copy_metadata(st, from, to, "the directory");
}

}  // namespace coracle::storage
