#include "storage/snapshots/tar_tree.hpp"

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
#include <vector>

#include <limits.h>

#include "engine/base/at.hpp"
#include "storage/snapshots/root_dir.hpp"

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

// Of a file with more than one name. True: an earlier name is in the archive, and this one is told
// as a link to it.
Result<bool> TarTree::add_link(ArchiveEntry& entry, const struct stat& st) {
  if (const auto* first = links_.find(st)) {
    entry.hardlink = *first;
    entry.size = 0;
    link_text_ -= std::min(link_text_, links_.forget_if_met(st) ? entry.hardlink.size() : 0);
    CHECK(to_.entry(entry));
    return true;
  }
  if (link_text_ + entry.path.size() <= kMostLinkText && links_.keep(st, entry.path))
    link_text_ += entry.path.size();
  return false;
}

Result<> TarTree::add(const UniqueFd& parent, const std::string& name, const struct stat& st,
                      const std::string& path) {
  CHECK(check_path_length(path));
  auto entry = entry_of(st, path);
  if (S_ISSOCK(st.st_mode)) return {};
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
    TRY(const bool linked, add_link(entry, st));
    if (linked) return {};
  }
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> text{};
    const auto n = at::read_link(parent, name, text.data(), text.size());
    if (n < 0 && (is_gone(errno) || errno == EINVAL)) return {};
    if (n < 0) return sys_error("read the link {}", path);
    entry.symlink.assign(text.data(), static_cast<std::size_t>(n));
    return to_.entry(entry);
  }
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return to_.entry(entry);
  const int kind = S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK;
  const UniqueFd fd = at::open(parent, name, O_RDONLY | kind);
  if (!fd && is_gone(errno)) return {};
  if (!fd) return sys_error("open {}", path);
  // What was opened counts: it may be another by now.
  struct stat now {};
  if (::fstat(fd.get(), &now) != 0) return sys_error("look at {}", path);
  if ((now.st_mode & S_IFMT) != (st.st_mode & S_IFMT)) return {};
  entry = entry_of(now, path);
  CHECK(fill(entry, fd));
  file_bytes_ += S_ISLNK(now.st_mode) ? now.st_size : entry.size;
  return to_.entry(entry, S_ISREG(now.st_mode) ? &fd : nullptr);
}

Result<> TarTree::add_directory(const UniqueFd& directory, const std::string& path) {
  CHECK(check_path_length(path));
  struct stat st {};
  if (::fstat(directory.get(), &st) != 0) return sys_error("look at {}", path);
  auto entry = entry_of(st, path);
  CHECK(fill(entry, directory));
  return to_.entry(entry);
}

Result<> TarTree::add_root(const UniqueFd& directory) {
  struct stat st {};
  if (::fstat(directory.get(), &st) != 0) return sys_error("look at the root directory");
  auto entry = entry_of(st, "./");
  CHECK(fill(entry, directory));
  std::erase_if(entry.xattrs, [](const auto& x) { return x.name == kRootMark; });
  entry.xattrs.push_back({kRootMark, "y"});
  return to_.entry(entry);
}

Result<> TarTree::add_marker(const std::string& path) {
  ArchiveEntry entry;
  entry.path = path;
  entry.type = S_IFREG;
  entry.mode = 0600;
  return to_.entry(entry);
}

namespace {

// What a walk puts into an archive: the path of each directory is told before what is in it, and is
// short enough, so that the text is, too.
class TarWalk : public Visitor {
 public:
  TarWalk(TarTree& tar, Way& way, std::string top) : tar_(tar), way_(way), path_(std::move(top)) {}

  Result<> leave() override {
    if (way_.depth() > 0) path_.resize(lengths_.back());
    if (!lengths_.empty()) lengths_.pop_back();
    return {};
  }

 protected:
  Result<> down(const std::string& name, std::vector<UniqueFd> dirs) {
    lengths_.push_back(path_.size());
    path_ = below(path_, name);
    return way_.down(name, std::move(dirs));
  }
  [[nodiscard]] std::string at(const std::string& name) const { return below(path_, name); }

  TarTree& tar_;
  Way& way_;

 private:
  std::string path_;
  std::vector<std::size_t> lengths_;  // of path_, at each level above
};

// One tree that is in use, across mounts.
class LiveTar final : public TarWalk {
 public:
  using TarWalk::TarWalk;

  Result<> list(Piece& piece) override {
    const UniqueFd* dir = way_.dir(0);
    if (dir == nullptr || !holds_files(*dir)) return {};
    return read_dir(*dir,
                    [&](std::string_view name, unsigned char type) { piece.add(name, type); });
  }

  Result<bool> entry(const DirEntry& e) override {
    const UniqueFd* dir = way_.dir(0);
    if (dir == nullptr) return false;
    struct stat st {};
    if (at::look(*dir, e.name, st) != 0) {
      if (is_gone(errno)) return false;
      return sys_error("look at {}", way_.shown(e.name));
    }
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) return false;
    if (!S_ISDIR(st.st_mode)) {
      CHECK(tar_.add(*dir, e.name, st, at(e.name)));
      return false;
    }
    std::vector<UniqueFd> dirs;
    dirs.push_back(at::open_dir(*dir, e.name));
    if (!dirs.front() && is_gone(errno)) return false;
    if (!dirs.front()) return sys_error("open {}", way_.shown(e.name));
    CHECK(tar_.add_directory(dirs.front(), at(e.name)));
    CHECK(down(e.name, std::move(dirs)));
    return true;
  }
};

class MergedTar final : public TarWalk {
 public:
  MergedTar(TarTree& tar, Way& way, bool named_whiteouts)
      : TarWalk(tar, way, ""), named_whiteouts_(named_whiteouts) {}

  Result<> list(Piece& piece) override { return list_layers(way_, 0, piece); }

  Result<bool> entry(const DirEntry& e) override {
    if (named_whiteouts_ && e.name.starts_with(".wh.")) return false;
    auto child = child_of(way_, 0, e.name);
    if (!child && child.error().code == Errc::not_found) return false;
    if (!child) return std::unexpected(child.error().within("{}", way_.shown(e.name)));
    if (!child->is_directory()) {
      CHECK(tar_.add(*way_.dir(child->tree), e.name, child->st, at(e.name)));
      return false;
    }
    const auto top = std::ranges::find_if(child->dirs, [](const UniqueFd& fd) { return !!fd; });
    CHECK(tar_.add_directory(*top, at(e.name)));
    CHECK(down(e.name, std::move(child->dirs)));
    return true;
  }

 private:
  bool named_whiteouts_;
};

}  // namespace

Result<> TarTree::add_all(const UniqueFd& parent, const std::string& name, const std::string& path,
                          Stop stop) {
  struct stat st {};
  if (at::look(parent, name, st) != 0) return sys_error("look at {}", path);
  if (!S_ISDIR(st.st_mode)) return add(parent, name, st, path);
  const UniqueFd fd = at::open_dir(parent, name);
  if (!fd) return sys_error("open {}", path);
  return add_all_in(fd, path, stop);
}

Result<> TarTree::add_all_in(const UniqueFd& directory, const std::string& path, Stop stop) {
  CHECK(add_directory(directory, path));
  std::vector<UniqueFd> top;
  top.push_back(at::reopen(directory));
  if (!top.front()) return sys_error("open {}", path);
  Way way(std::move(top));
  LiveTar visitor(*this, way, path);
  return walk(way, visitor, stop);
}

Result<> write_merged(const MergedEntry& root, bool named_whiteouts, ArchiveWriter::Sink to,
                      Stop stop) {
  ArchiveWriter archive(std::move(to));
  if (stop != nullptr) archive.stop_with(*stop);
  TarTree tar(archive);
  TRY(auto way, way_from(root));
  MergedTar visitor(tar, way, named_whiteouts);
  CHECK(walk(way, visitor, stop));
  return archive.finish();
}

Result<std::int64_t> write_diff(const DiffSource& source, ArchiveWriter::Sink to, Stop stop) {
  ArchiveWriter archive(std::move(to));
  if (stop != nullptr) archive.stop_with(*stop);
  TarTree tar(archive);
  TRY(const auto root, changed_root(source));
  if (root) CHECK(tar.add_root(root));
  const auto visit = [&](const DiffEntry& entry) -> Result<> {
    CHECK(go_on(stop));
    if (entry.kind == DiffKind::deleted) {
      const auto slash = entry.path.rfind('/') + 1;  // npos + 1 is 0
      return tar.add_marker(entry.path.substr(0, slash) + ".wh." + entry.path.substr(slash));
    }
    if (entry.name.starts_with(".wh.")) return {};  // no layer can hold it
    CHECK(tar.add(*entry.parent, entry.name, entry.st, entry.path));
    return entry.opaque ? tar.add_marker(entry.path + "/.wh..wh..opq") : Result<>{};
  };
  CHECK(walk_diff(source, false, visit, stop));
  CHECK(archive.finish());
  return tar.file_bytes();
}

}  // namespace coracle::storage
