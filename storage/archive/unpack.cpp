#include "storage/archive/unpack.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "engine/base/at.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/tree/remove.hpp"
#include "storage/archive/places.hpp"
#include "storage/archive/tar_reader.hpp"
#include "storage/content/free_space.hpp"

namespace coracle::storage {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::size_t kMostRemembered = std::size_t{16} << 20;
constexpr std::string_view kAufs = ".wh..wh.";  // bookkeeping of aufs: means nothing here

// "./a//b/" -> "a/b"; "" is the root itself.
Result<std::string> entry_path(const std::string& written) {
  std::string out;
  std::string_view rest = written;
  while (!rest.empty()) {
    const auto slash = rest.find('/');
    const auto part = rest.substr(0, slash);
    if (part == "..")
      return fail(Errc::invalid_argument, "{}: the entry would leave the layer", written);
    if (!part.empty() && part != ".") {
      if (!out.empty()) out += '/';
      out += part;
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  return out;
}

// The same for a copy: what goes up and down again stays inside.
Result<std::string> copied_path(const std::string& written, const std::string& at) {
  auto clean = clean_path(written);
  while (clean.starts_with('/')) clean.erase(0, 1);
  if (clean == ".." || clean.starts_with("../"))
    return fail(Errc::invalid_argument, "\"{}\" is outside of \"{}\"", written, at);
  if (clean == "." || clean.empty()) return at;
  return at.empty() ? clean : at + "/" + clean;
}

class Unpacker {
 public:
  Unpacker(const UniqueFd& root, UnpackOptions options)
      : options_(std::move(options)),
        places_(root, [this](const UniqueFd& at, const std::string& name, const std::string& path,
                             bool hidden) { return make_parent(at, name, path, hidden); }) {
    if (options_.layer) return;
    options_.at = clean_path("/" + options_.at).substr(1);
    told_at_ = "/" + options_.at;
    // Links on the way there are followed once, not for each entry.
    if (auto there = places_.open(options_.at)) options_.at = std::move(there->path);
  }

  Result<Unpacked> run(ByteSource& source) {
    TarReader reader(source);
    for (;;) {
      TRY(const auto* entry, reader.next());
      if (entry == nullptr) break;
      auto r = take(*entry, reader);
      if (r) continue;
      // What a copy's client did wrong is told in Docker's own words.
      const bool own_words = !options_.layer && r.error().sys == 0;
      return std::unexpected(own_words ? r.error()
                                       : r.error().within("unpack {}", told(entry->path)));
    }
    CHECK(finish_directories());
    return done_;
  }

 private:
  struct Directory {
    mode_t mode;
    timespec mtime;
  };

  Result<> take(const ArchiveEntry& entry, TarReader& reader) {
    if (++done_.entries > kMostEntries)
      return fail(Errc::invalid_argument, "the archive has more than {} entries", kMostEntries);
    if (entry.path.size() >= PATH_MAX)
      return sys_error_of(ENAMETOOLONG, "a path of {} bytes", entry.path.size());
    places_.next_entry();
    CHECK(apply(entry, reader));
    if (!parent_.fd) return {};
    return space_.wrote(parent_.fd, 0, 1);
  }

  Result<> apply(const ArchiveEntry& entry, TarReader& reader) {
    TRY(const auto path, path_of(entry.path));
    if (path == options_.at) return options_.layer ? root_entry(entry) : Result<>{};
    const auto slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    CHECK(enter(parent));
    if (!options_.layer) return copy(entry, name, reader);
    if (name == kOpaque) return mark_opaque(parent_.fd);
    if (name.starts_with(kAufs)) return {};
    if (name.starts_with(kWhiteout)) return whiteout(name.substr(kWhiteout.size()));
    return make(entry, name, reader);
  }

  [[nodiscard]] Result<std::string> path_of(const std::string& written) const {
    return options_.layer ? entry_path(written) : copied_path(written, options_.at);
  }

  Result<> copy(const ArchiveEntry& entry, const std::string& name, TarReader& reader) {
    struct stat st {};
    const bool there = at::look(parent_.fd, name, st) == 0;
    const bool directory = entry.type == S_IFDIR && entry.hardlink.empty();
    if (there && options_.keep_kinds && S_ISDIR(st.st_mode) != directory) {
      const char* is = directory ? "non-directory" : "directory";
      const char* new_one = directory ? "directory" : "non-directory";
      return fail(Errc::internal, "cannot overwrite {} \"{}\" with {} \"{}\"", is, entry.path,
                  new_one, told_at_);
    }
    if (entry.hardlink.empty() && (entry.type == S_IFCHR || entry.type == S_IFBLK))
      return device(entry, name);
    return make(entry, name, reader);
  }

  Result<> make(const ArchiveEntry& entry, const std::string& name, TarReader& reader) {
    if (!entry.hardlink.empty()) return hard_link(entry, name);
    switch (entry.type) {
      case S_IFREG: return regular(entry, name, reader);
      case S_IFDIR: return directory(entry, name);
      case S_IFLNK: return symbolic_link(entry, name);
      case S_IFIFO: return fifo(entry, name);
      default:
        log::debug("layer entry left out path={} type={:o}", entry.path, entry.type);
        return {};
    }
  }

  // -- where

  // Makes `parent` the current directory: parent_.
  Result<> enter(const std::string& parent) {
    if (parent_.fd && parent == parent_path_) return {};
    TRY(parent_, places_.open_or_make(parent));
    parent_path_ = parent;
    return {};
  }

  // Of the current directory's entry.
  [[nodiscard]] std::string place_of(const std::string& name) const {
    return parent_.path.empty() ? name : parent_.path + "/" + name;
  }

  // A directory that the archive does not name itself. One that was whited out begins anew.
  Result<UniqueFd> make_parent(const UniqueFd& at, const std::string& name, const std::string& path,
                               bool hidden) {
    if (hidden && !options_.layer) return sys_error_of(ENOTDIR, "{} is no directory", name);
    if (hidden && at::unlink(at, name) != 0) return sys_error("replace {}", name);
    if (at::make_dir(at, name, 0700) != 0) return sys_error("make its parent");
    UniqueFd fd = at::open_dir(at, name);
    if (!fd) return sys_error("open its parent");
    CHECK(own(fd, 0, 0));
    if (hidden) CHECK(mark_opaque(fd));
    if (::fchmod(fd.get(), 0755) != 0) return sys_error("set the mode of its parent");
    directories_.erase(path);
    return fd;
  }

  // -- what was there

  // Makes way for a new entry `name`: a later entry of an archive replaces an earlier one.
  Result<> clear(const std::string& name) { return remove_in(parent_.fd, name); }

  // -- one function a type

  Result<> root_entry(const ArchiveEntry& entry) {
    if (entry.type != S_IFDIR) return {};
    TRY(auto fd, places_.open_plain("", O_RDONLY));
    CHECK(own(fd, entry.uid, entry.gid));
    CHECK(set_xattrs(fd, entry));
    return remember("", {entry.mode, entry.mtime});
  }

  Result<> whiteout(const std::string& name) {
    if (name.empty() || name == "." || name == "..")
      return fail(Errc::invalid_argument, "a whiteout of nothing");
    // Linux 5.8 and later let anybody make this one device. See mknod(2).
    if (at::make_node(parent_.fd, name, S_IFCHR, makedev(0, 0)) == 0) return {};
    if (errno != EEXIST) {
      return sys_error(
          "make a whiteout (needs Linux 5.8 and a file system that stores device nodes; "
          "choose another data-root if this one does not)");
    }
    const UniqueFd there = at::open_dir(parent_.fd, name);
    return there ? mark_opaque(there) : Result<>{};
  }

  Result<> regular(const ArchiveEntry& entry, const std::string& name, TarReader& reader) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL;
    if (entry.size > kMostBytes - done_.bytes)
      return fail(Errc::invalid_argument, "the archive's files have more than {} bytes",
                  kMostBytes);
    UniqueFd fd = at::open(parent_.fd, name, kFlags, 0600);
    if (!fd && errno == EEXIST) {
      CHECK(clear(name));
      fd = at::open(parent_.fd, name, kFlags, 0600);
    }
    if (!fd) return sys_error("make the file");
    std::int64_t end = 0;
    CHECK(reader.data([&](std::string_view bytes, std::int64_t offset) -> Result<> {
      end = offset + static_cast<std::int64_t>(bytes.size());
      CHECK(space_.wrote(fd, static_cast<std::int64_t>(bytes.size())));
      return write_at(fd, bytes, offset);
    }));
    if (end < entry.size && ::ftruncate(fd.get(), entry.size) != 0) return sys_error("write");
    done_.bytes += entry.size;
    CHECK(own(fd, entry.uid, entry.gid));
    CHECK(set_xattrs(fd, entry));
    // After the owner: chown(2) takes setuid away.
    if (::fchmod(fd.get(), entry.mode) != 0) return sys_error("set the mode");
    const std::array<timespec, 2> times{entry.mtime, entry.mtime};
    if (::futimens(fd.get(), times.data()) != 0) return sys_error("set the time");
    return {};
  }

  static Result<> write_at(const UniqueFd& fd, std::string_view bytes, std::int64_t offset) {
    while (!bytes.empty()) {
      const auto n = ::pwrite(fd.get(), bytes.data(), bytes.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return sys_error("write");
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += n;
    }
    return {};
  }

  Result<> directory(const ArchiveEntry& entry, const std::string& name) {
    bool opaque = false;
    // Searchable and writable while we fill it; its own mode comes at the end.
    if (at::make_dir(parent_.fd, name, 0700) != 0) {
      if (errno != EEXIST) return sys_error("make the directory");
      struct stat st {};
      if (at::look(parent_.fd, name, st) != 0) return sys_error("look at it");
      if (!S_ISDIR(st.st_mode)) {
        opaque = options_.layer && S_ISCHR(st.st_mode);
        CHECK(clear(name));
        if (at::make_dir(parent_.fd, name, 0700) != 0) return sys_error("make the directory");
      }
    }
    const UniqueFd fd = at::open_dir(parent_.fd, name);
    if (!fd) return sys_error("open the directory");
    if (opaque) CHECK(mark_opaque(fd));
    CHECK(own(fd, entry.uid, entry.gid));
    CHECK(set_xattrs(fd, entry));
    return remember(place_of(name), {entry.mode, entry.mtime});
  }

  Result<> symbolic_link(const ArchiveEntry& entry, const std::string& name) {
    if (entry.symlink.empty()) return fail(Errc::invalid_argument, "a link to nothing");
    const auto make = [&] { return at::make_link(entry.symlink, parent_.fd, name); };
    int r = make();
    if (r != 0 && errno == EEXIST) {
      CHECK(clear(name));
      r = make();
    }
    if (r != 0) return sys_error("make the link");
    // Its st_size: Docker counts it.
    done_.bytes += static_cast<std::int64_t>(entry.symlink.size());
    return own_and_date(entry, name);
  }

  Result<> fifo(const ArchiveEntry& entry, const std::string& name) {
    CHECK(node(name, S_IFIFO, 0));
    CHECK(own_and_date(entry, name));
    return node_mode(entry, name);
  }

  // Only root may make most of them: what cannot be made is left out, as at rootless Docker.
  Result<> device(const ArchiveEntry& entry, const std::string& name) {
    auto made = node(name, entry.type, entry.device);
    if (!made && made.error().sys == EPERM) {
      log::debug("device node left out path={}", entry.path);
      return {};
    }
    CHECK(made);
    CHECK(own_and_date(entry, name));
    return node_mode(entry, name);
  }

  Result<> node(const std::string& name, mode_t type, dev_t device) {
    const auto make = [&] { return at::make_node(parent_.fd, name, type | 0600, device); };
    int r = make();
    if (r != 0 && errno == EEXIST) {
      CHECK(clear(name));
      r = make();
    }
    if (r != 0) return sys_error("make the node");
    return {};
  }

  // By descriptor: in a live tree somebody may have put a link in its place.
  Result<> node_mode(const ArchiveEntry& entry, const std::string& name) {
    const UniqueFd fd = at::open(parent_.fd, name, O_PATH);
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0 || (st.st_mode & S_IFMT) != entry.type)
      return fail(Errc::conflict, "it has been replaced meanwhile");
    if (at::set_mode(fd, entry.mode) != 0) return sys_error("set the mode");
    return {};
  }

  Result<> hard_link(const ArchiveEntry& entry, const std::string& name) {
    TRY(const auto target, path_of(entry.hardlink));
    const auto slash = target.rfind('/');
    const std::string last = slash == std::string::npos ? target : target.substr(slash + 1);
    if (last.empty()) return fail(Errc::invalid_argument, "a link to the root");
    auto to = places_.open(slash == std::string::npos ? "" : target.substr(0, slash));
    if (!to) return std::unexpected(to.error().within("link to {}", told(entry.hardlink)));
    if (to->path == parent_.path && last == name) return {};
    const auto make = [&] { return at::hard_link(to->fd, last, parent_.fd, name); };
    int r = make();
    if (r != 0 && errno == EEXIST) {
      CHECK(clear(name));
      r = make();
    }
    if (r != 0) return sys_error("link to {}", told(entry.hardlink));
    return {};
  }

  // -- metadata

  Result<> own(const UniqueFd& fd, std::int64_t uid, std::int64_t gid) {
    return own_by([&](uid_t u, gid_t g) { return ::fchown(fd.get(), u, g); }, uid, gid);
  }

  template <class Give>
  Result<> own_by(Give give, std::int64_t uid, std::int64_t gid) {
    if (options_.one_id) return {};
    if (options_.owner) std::tie(uid, gid) = *options_.owner;
    // -1 would leave it as it is, and what is cut to 32 bits could be root. See chown(2).
    const auto is_id = [](std::int64_t id) { return id >= 0 && id < 0xffff'ffff; };
    errno = EINVAL;
    if (is_id(uid) && is_id(gid) && give(static_cast<uid_t>(uid), static_cast<gid_t>(gid)) == 0)
      return {};
    // A client's own ids (a domain's, say) may be beyond the map: what it copies is root's then.
    if (errno == EINVAL && !options_.layer && give(0, 0) == 0) return {};
    return owner_error(uid, gid);
  }

  static std::unexpected<Error> owner_error(std::int64_t uid, std::int64_t gid) {
    if (errno != EINVAL) return sys_error("set the owner {}:{}", uid, gid);
    return fail(Errc::forbidden,
                "set the owner {}:{}: beyond the ids that this user has; an administrator can add "
                "more with usermod --add-subuids and --add-subgids",
                uid, gid);
  }

  // Of what is not opened: links and fifos.
  Result<> own_and_date(const ArchiveEntry& entry, const std::string& name) {
    const auto give = [&](uid_t u, gid_t g) { return at::give(parent_.fd, name, u, g); };
    CHECK(own_by(give, entry.uid, entry.gid));
    const std::array<timespec, 2> times{entry.mtime, entry.mtime};
    if (at::set_times(parent_.fd, name, times) != 0) return sys_error("set the time");
    return {};
  }

  static Result<> set_xattrs(const UniqueFd& fd, const ArchiveEntry& entry) {
    for (const auto& x : entry.xattrs) {
      if (!is_kept_xattr(x.name)) continue;
      if (::fsetxattr(fd.get(), x.name.c_str(), x.value.data(), x.value.size(), 0) == 0) continue;
      // Nothing of the file is lost but the attribute; without root other engines do the same.
      if (errno != EOPNOTSUPP && errno != EPERM) return sys_error("set the attribute {}", x.name);
      log::debug("attribute left out path={} name={}", entry.path, x.name);
    }
    return {};
  }

  static Result<> mark_opaque(const UniqueFd& dir) {
    // O_PATH descriptors take no xattr calls: through /proc.
    if (::setxattr(proc_path(dir).c_str(), "user.overlay.opaque", "y", 1, 0) != 0) {
      return sys_error(
          "mark the directory opaque (needs a file system with user xattrs; choose another "
          "data-root if this one has none)");
    }
    return {};
  }

  // Its mode and time come when all in it is there.
  Result<> remember(const std::string& place, const Directory& wanted) {
    const auto [at, fresh] = directories_.insert_or_assign(place, wanted);
    if (fresh) remembered_ += at->first.size() + sizeof *at + 64;
    return remembered_ < kMostRemembered ? Result<>{} : finish_directories(&parent_.path);
  }

  //   within  all but those on the way there: archives have what is in a directory behind it
  Result<> finish_directories(const std::string* within = nullptr) {
    std::map<std::string, Directory> kept;
    const auto is_above = [within](const std::string& path) {
      return path.empty() || *within == path || within->starts_with(path + "/");
    };
    // Backwards: what is inside comes first, so that a mode without x does not lock us out.
    for (auto d = directories_.rbegin(); d != directories_.rend(); ++d) {
      const auto& [path, wanted] = *d;
      if (within != nullptr && is_above(path)) {
        kept.insert(*d);
        continue;
      }
      auto fd = places_.open_plain(path, O_RDONLY | O_NOFOLLOW);
      if (!fd) continue;  // it was replaced by something else
      if (::fchmod(fd->get(), wanted.mode) != 0) return sys_error("set the mode of {}", path);
      const std::array<timespec, 2> times{wanted.mtime, wanted.mtime};
      if (::futimens(fd->get(), times.data()) != 0) return sys_error("set the time of {}", path);
    }
    directories_ = std::move(kept);
    remembered_ = 0;
    return {};
  }

  static std::string told(const std::string& path) { return path.substr(0, 200); }

  UnpackOptions options_;
  std::string told_at_;  // as the client has named it
  Places places_;
  SpaceWatch space_;
  Place parent_;                                  // of the entry at hand
  std::string parent_path_;                       // as the archive has it
  std::map<std::string, Directory> directories_;  // by place; what came last counts
  std::size_t remembered_ = 0;                    // bytes of these
  Unpacked done_;
};

}  // namespace

Result<Unpacked> unpack(ByteSource& source, const UniqueFd& root, UnpackOptions options) {
  return Unpacker(root, std::move(options)).run(source);
}

}  // namespace coracle::storage
