#include "storage/snapshots/copy_tree.hpp"

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
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/at.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/tree/linked.hpp"
#include "engine/base/tree/remove.hpp"

namespace coracle::storage {
namespace {

bool is_ours(std::string_view name) {
  return name.starts_with("user.overlay.") || name.starts_with("user.fuseoverlayfs.") ||
         name.starts_with("trusted.");
}

// Extended attributes, through the /proc paths of two O_PATH or open descriptors.
Result<> copy_xattrs(const UniqueFd& from, const UniqueFd& to) {
  const std::string source = proc_path(from);
  const std::string target = proc_path(to);
  ssize_t size = ::listxattr(source.c_str(), nullptr, 0);
  if (size <= 0) return {};
  std::string names(static_cast<std::size_t>(size), 0);
  size = ::listxattr(source.c_str(), names.data(), names.size());
  if (size < 0) return sys_error("list the extended attributes");
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
      return sys_error("read {}", name);
    if (::setxattr(target.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      // Labels of security modules belong to their place, not to the file.
      if (name.starts_with("security.") && name != "security.capability") continue;
      if (errno == EOPNOTSUPP) continue;
      return sys_error("set {}", name);
    }
  }
  return {};
}

// Owner first (it clears the set-uid bits and capabilities), then mode, xattrs, times.
Result<> copy_metadata(const struct stat& st, const UniqueFd& from, const UniqueFd& to) {
  if (at::set_owner(to, st.st_uid, st.st_gid) != 0)
    return sys_error("give it to {}:{}", st.st_uid, st.st_gid);
  if (at::set_mode(to, st.st_mode & 07777) != 0) return sys_error("set the mode");
  CHECK(copy_xattrs(from, to));
  if (at::set_times(to, {st.st_atim, st.st_mtim}) != 0) return sys_error("set the times");
  return {};
}

Result<> copy_range(const UniqueFd& from, const UniqueFd& to, off_t begin, off_t end,
                    bool& in_kernel, Stop stop) {
  constexpr std::size_t kAtOnce = std::size_t{64} << 20;  // between two looks at `stop`
  std::vector<char> buffer;
  while (begin < end) {
    CHECK(go_on(stop));
    const auto left = std::min(static_cast<std::size_t>(end - begin), kAtOnce);
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
Result<> copy_data(const UniqueFd& from, const UniqueFd& to, off_t size, Stop stop) {
  if (size == 0 || ::ioctl(to.get(), FICLONE, from.get()) == 0) return {};
  bool in_kernel = true;
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    const off_t hole = data < 0 ? size : ::lseek(from.get(), data, SEEK_HOLE);
    const off_t begin = data < 0 ? at : data;
    const off_t end = hole < 0 ? size : std::min(hole, size);
    CHECK(copy_range(from, to, begin, end, in_kernel, stop));
    at = end;
  }
  if (::ftruncate(to.get(), size) != 0) return sys_error("set the size");
  return {};
}

Result<> copy_file(const UniqueFd& from, const UniqueFd& into, const std::string& name,
                   const struct stat& st, Stop stop) {
  const UniqueFd in = at::open(from, name, O_RDONLY | O_NONBLOCK);
  if (!in) return sys_error("open it");
  const UniqueFd out = at::open(into, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!out) return sys_error("make it");
  CHECK(copy_data(in, out, st.st_size, stop));
  return copy_metadata(st, in, out);
}

Result<> copy_link(const UniqueFd& from, const UniqueFd& into, const std::string& name,
                   const struct stat& st) {
  std::string target(static_cast<std::size_t>(st.st_size) + 1, 0);
  const ssize_t n = at::read_link(from, name, target.data(), target.size());
  if (n < 0) return sys_error("read the link");
  target.resize(static_cast<std::size_t>(n));
  if (at::make_link(target, into, name) != 0) return sys_error("make the link");
  if (at::give(into, name, st.st_uid, st.st_gid) != 0)
    return sys_error("give it to {}:{}", st.st_uid, st.st_gid);
  if (at::set_times(into, name, {st.st_atim, st.st_mtim}) != 0) return sys_error("set the times");
  return {};
}

Result<> copy_special(const UniqueFd& from, const UniqueFd& into, const std::string& name,
                      const struct stat& st) {
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    log::debug("device node left out name={}", name);
    return {};
  }
  if (at::make_node(into, name, (st.st_mode & S_IFMT) | 0600, 0) != 0) return sys_error("make it");
  const UniqueFd in = at::open(from, name, O_PATH);
  const UniqueFd out = at::open(into, name, O_PATH);
  if (!in || !out) return sys_error("open it");
  return copy_metadata(st, in, out);
}

// The files of the copy that have more names to come, each under a number in a directory beside the
// copy: a later name is linked to that one, by a single name in a directory that nobody else has.
class LinkDirectory {
 public:
  LinkDirectory(const UniqueFd& parent, const std::string& of)
      : parent_(parent), name_(of + ".links") {}
  LinkDirectory(const LinkDirectory&) = delete;
  LinkDirectory& operator=(const LinkDirectory&) = delete;
  ~LinkDirectory() {
    if (dir_) static_cast<void>(remove_in(parent_, name_));
  }

  // True: the file has been there under another name, and this one is linked to it.
  Result<bool> link(const struct stat& st, const UniqueFd& into, const std::string& name) {
    const auto* number = st.st_nlink > 1 ? files_.find(st) : nullptr;
    if (number == nullptr) return false;
    const std::string kept = std::to_string(*number);
    const bool linked = at::hard_link(dir_, kept, into, name) == 0;
    if (!linked && errno != EMLINK) return sys_error("link it");
    if (files_.forget_if_met(st) && at::unlink(dir_, kept) != 0) return sys_error("forget a link");
    return linked;
  }

  // Keeps the copy that was made just now, if it has more names to come.
  Result<> keep(const struct stat& st, const UniqueFd& into, const std::string& name) {
    if (st.st_nlink < 2 || files_.find(st) != nullptr) return {};
    if (!dir_) CHECK(make());
    if (!files_.keep(st, next_)) return {};
    if (at::hard_link(into, name, dir_, std::to_string(next_++)) != 0)
      return sys_error("keep a link");
    return {};
  }

 private:
  Result<> make() {
    CHECK(remove_in(parent_, name_));  // of a daemon that was killed
    if (at::make_dir(parent_, name_, 0700) != 0) return sys_error("make {}", name_);
    dir_ = at::open_dir(parent_, name_);
    if (!dir_) return sys_error("open {}", name_);
    return {};
  }

  const UniqueFd& parent_;
  UniqueFd dir_;
  std::string name_;
  Linked<std::uint64_t> files_;
  std::uint64_t next_ = 0;
};

// The copy is the first tree of the way, the layers are the others.
class Copier final : public Visitor {
 public:
  Copier(Way& way, LinkDirectory& links, Stop stop) : way_(way), links_(links), stop_(stop) {}

  Result<> list(Piece& piece) override { return list_layers(way_, 1, piece); }

  Result<bool> entry(const DirEntry& e) override {
    auto done = copy(e.name);
    if (!done) return std::unexpected(done.error().within("copy {}", way_.shown(e.name)));
    return done;
  }

  // Last: what is made inside would change the times.
  Result<> leave() override {
    const auto done = finish_directory();
    if (!done) return std::unexpected(done.error().within("copy {}", way_.shown()));
    return {};
  }

 private:
  [[nodiscard]] Result<const UniqueFd*> target() const {
    const UniqueFd* to = way_.dir(0);
    if (to == nullptr) return fail(Errc::conflict, "the copy was changed while it was made");
    return to;
  }

  Result<bool> copy(const std::string& name) {
    auto child = child_of(way_, 1, name);
    if (!child) return std::unexpected(child.error());
    TRY(const UniqueFd* to, target());
    if (child->is_directory()) {
      if (at::make_dir(*to, name, 0700) != 0) return sys_error("make it");
      child->dirs[0] = at::open_dir(*to, name);
      if (!child->dirs[0]) return sys_error("open it");
      CHECK(way_.down(name, std::move(child->dirs)));
      return true;
    }
    const UniqueFd& from = *way_.dir(child->tree);
    const auto& st = child->st;
    TRY(const bool linked, links_.link(st, *to, name));
    if (linked) return false;
    if (S_ISREG(st.st_mode)) {
      CHECK(copy_file(from, *to, name, st, stop_));
    } else if (S_ISLNK(st.st_mode)) {
      CHECK(copy_link(from, *to, name, st));
    } else {
      CHECK(copy_special(from, *to, name, st));
      return false;
    }
    CHECK(links_.keep(st, *to, name));
    return false;
  }

  Result<> finish_directory() {
    for (std::size_t tree = 1; tree < way_.trees(); ++tree) {
      const UniqueFd* top = way_.dir(tree);
      if (top == nullptr) continue;
      TRY(const UniqueFd* to, target());
      return copy_directory_metadata(*top, *to);
    }
    if (way_.trees() == 1) return {};  // of nothing
    return fail(Errc::conflict, "it was moved away meanwhile");
  }

  Way& way_;
  LinkDirectory& links_;
  Stop stop_;
};

}  // namespace

Result<> copy_tree(const MergedEntry& from, const UniqueFd& parent, const std::string& name,
                   Stop stop) {
  std::vector<UniqueFd> tops;
  tops.push_back(at::open_dir(parent, name));
  if (!tops.front()) return sys_error("open {}", name);
  for (const auto& layer : from.dirs) {
    TRY(auto top, duplicate(layer));
    tops.push_back(std::move(top));
  }
  Way way(std::move(tops), 1);
  LinkDirectory links(parent, name);
  Copier copier(way, links, stop);
  return walk(way, copier, stop);
}

Result<> copy_tree(const MergedEntry& from, const std::string& into, Stop stop) {
  TRY(const auto parent, open_dir(parent_path(into)));
  return copy_tree(from, parent, base_name(into), stop);
}

Result<> copy_directory_metadata(const UniqueFd& from, const UniqueFd& to) {
  struct stat st {};
  if (::fstat(from.get(), &st) != 0) return sys_error("look at a directory");
  return copy_metadata(st, from, to);
}

}  // namespace coracle::storage
