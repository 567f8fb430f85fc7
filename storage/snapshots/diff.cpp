#include "storage/snapshots/diff.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/base/at.hpp"
#include "engine/base/tree/linked.hpp"
#include "storage/snapshots/merged_tree.hpp"

namespace coracle::storage {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr unsigned char kMissing = 255;  // no DT_…: it is not in this directory

// What starting a container makes in its root, as the layer below Docker's containers has it: these
// directories, these files when they are empty, and a link.
bool is_engines_file(const std::string& path) {
  static constexpr std::array<std::string_view, 5> kFiles{
      ".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"};
  return std::ranges::find(kFiles, path) != kFiles.end();
}

std::string link_text(const UniqueFd& parent, const std::string& name) {
  std::array<char, 4096> text{};
  const auto n = at::read_link(parent, name, text.data(), text.size());
  return n < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(n));
}

bool made_by_engine(const UniqueFd& parent, const std::string& name, const std::string& path,
                    const struct stat& st) {
  static constexpr std::array<std::string_view, 6> kDirectories{"dev",     "dev/mqueue", "dev/pts",
                                                                "dev/shm", "proc",       "sys"};
  if (S_ISDIR(st.st_mode)) return std::ranges::find(kDirectories, path) != kDirectories.end();
  if (S_ISLNK(st.st_mode)) return path == "etc/mtab" && link_text(parent, name) == "/proc/mounts";
  return S_ISREG(st.st_mode) && st.st_size == 0 && is_engines_file(path);
}

// Neither a directory nor a whiteout.
bool is_plain(unsigned char type) {
  return type == DT_REG || type == DT_LNK || type == DT_FIFO || type == DT_SOCK;
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool same_owner_and_mode(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid;
}

// The first tree of the way is the writable layer, the others are the image's layers. Directories
// that have not been told yet are told when something below them is; those are the last of the way,
// and stand in the image.
class DiffWalk : public Visitor {
 public:
  DiffWalk(const DiffSource& source, bool deletions_below, const DiffVisitor& visit, Paths paths,
           Way way)
      : source_(source),
        deletions_below_(deletions_below),
        visit_(visit),
        paths_(paths),
        way_(std::move(way)) {
    levels_.push_back({way_.trees() > 1, false});
  }

  Result<> run(Stop stop) { return walk(way_, *this, stop); }

  Result<> list(Piece& piece) override {
    const UniqueFd* dir = way_.dir(0);
    if (dir == nullptr) return {};
    CHECK(read_dir(*dir, [&](std::string_view name, unsigned char type) {
      if (!is_named_whiteout(name)) piece.add(name, type);
    }));
    if (source_.named_whiteouts) {
      CHECK(read_dir(*dir, [&](std::string_view name, unsigned char) {
        if (!is_named_whiteout(name)) return;
        const std::string hidden(name.substr(kWhiteoutPrefix.size()));
        if (at::is_name(hidden.c_str())) piece.add(hidden, kMissing);
      }));
    }
    // In order with what is there, and with what a copy or an opaque directory has not.
    const bool compare = source_.upper.empty() || (here().opaque && deletions_below_);
    if (!compare || !here().in_image) return {};
    Piece of_image(piece.after());
    CHECK(list_layers(way_, 1, of_image));
    piece.add_all(std::move(of_image), kMissing);
    return {};
  }

  Result<bool> entry(const DirEntry& e) override {
    TRY(auto path, path_of(e.name));
    // Thousands of new files need no look at each.
    if (!here().in_image && deletions_below_ && is_plain(e.type) && !is_engines_file(path)) {
      CHECK(tell_name(std::move(path), DiffKind::added));
      return false;
    }
    if (e.type != kMissing) return one(std::move(path), e.name);
    CHECK(missing(std::move(path), e.name));
    return false;
  }

  Result<> leave() override {
    if (way_.depth() == 0) return {};
    if (!untold_.empty() && untold_.back().level == way_.depth()) untold_.pop_back();
    levels_.pop_back();
    if (too_deep_ > 0) {
      --too_deep_;
    } else {
      const auto slash = path_.rfind('/');
      path_.resize(slash == std::string::npos ? 0 : slash);
    }
    return {};
  }

 private:
  struct Level {
    bool in_image;  // the image has a directory of that path, and it is not hidden
    bool opaque;    // an overlay's directory that hides the image's, or one in such a directory
  };
  struct Untold {
    std::size_t level;
    DiffEntry entry;
  };

  [[nodiscard]] const Level& here() const { return levels_.back(); }
  [[nodiscard]] bool is_named_whiteout(std::string_view name) const {
    return source_.named_whiteouts && name.starts_with(kWhiteoutPrefix);
  }

  // Text that is too long is not kept: "".
  Result<std::string> path_of(const std::string& name) const {
    auto path = too_deep_ > 0 ? std::string() : below(path_, name);
    if (too_deep_ == 0 && path.size() <= kLongestPath) return path;
    if (paths_ == Paths::not_told) return std::string();
    return std::unexpected(too_long(way_.shown(name)));
  }

 public:
  static Error too_long(const std::string& shown) {
    return {
        Errc::invalid_argument, ENAMETOOLONG,
        fmt::format("/{}: the path is longer than {} bytes; remove the directory or shorten its "
                    "names",
                    shown, kLongestPath)};
  }

 private:
  Result<> tell(const DiffEntry& entry) {
    CHECK(tell_untold());
    return visit_(entry);
  }

  // Something is told below them: so are they, each by its parent, which may have been closed.
  Result<> tell_untold() {
    UniqueFd reopened;
    for (auto& [level, entry] : untold_) {
      const UniqueFd* parent = way_.dir_at(0, level - 1);
      if (parent == nullptr && !reopened) {
        auto again = way_.open_again(0, level - 1);
        if (!again) break;  // gone meanwhile
        reopened = *std::move(again);
      }
      entry.parent = parent != nullptr ? parent : &reopened;
      CHECK(visit_(entry));
      if (parent != nullptr) continue;
      UniqueFd next = at::open_dir(reopened, way_.name_at(level));
      if (!next) break;
      reopened = std::move(next);
    }
    untold_.clear();
    return {};
  }

  // By its name alone.
  Result<> tell_name(std::string path, DiffKind kind) {
    DiffEntry entry;
    entry.path = std::move(path);
    entry.kind = kind;
    return tell(entry);
  }

  // The image's entry of that name; nothing when it has none.
  Result<std::optional<MergedChild>> in_image(const std::string& name) const {
    std::optional<MergedChild> out;
    if (!here().in_image) return out;
    auto found = child_of(way_, 1, name);
    if (found) {
      out = *std::move(found);
    } else if (found.error().code != Errc::not_found) {
      return std::unexpected(found.error().within("/{}", way_.shown(name)));
    }
    return out;
  }

  Result<> missing(std::string path, const std::string& name) {
    TRY(const auto old, in_image(name));
    return old ? tell_name(std::move(path), DiffKind::deleted) : Result<>{};
  }

  Result<bool> one(std::string path, const std::string& name) {
    const UniqueFd* dir = way_.dir(0);
    if (dir == nullptr) return false;
    DiffEntry entry;
    entry.path = std::move(path);
    entry.parent = dir;
    entry.name = name;
    if (at::look(*dir, name, entry.st) != 0) {
      if (is_gone(errno)) return false;
      return sys_error("look at /{}", way_.shown(name));
    }
    if (!source_.upper.empty() && is_whiteout(entry.st)) {
      CHECK(missing(std::move(entry.path), name));
      return false;
    }
    TRY(auto old, in_image(name));
    // In an opaque directory everything is new as a layer has it; as seen, it may have been there.
    MergedChild* was = old && (!here().opaque || deletions_below_) ? &*old : nullptr;
    entry.kind = was == nullptr ? DiffKind::added : DiffKind::modified;
    if (S_ISDIR(entry.st.st_mode)) return sub_directory(std::move(entry), was);
    const bool same = was == nullptr ? made_by_engine(*dir, name, entry.path, entry.st)
                                     : source_.upper.empty() && same_file(entry, *was);
    if (!same) CHECK(tell(entry));
    return false;
  }

  Result<bool> sub_directory(DiffEntry entry, MergedChild* was) {
    UniqueFd fd = at::open_dir(*entry.parent, entry.name);
    if (!fd) {
      if (is_gone(errno)) return false;
      return sys_error("open /{}", way_.shown(entry.name));
    }
    const bool over_directory = was != nullptr && was->is_directory();
    entry.opaque = over_directory && !source_.upper.empty() && hides(fd);
    const Level level{over_directory, entry.opaque || here().opaque};
    const bool changed = has_changed(entry, was, fd);
    if (changed) CHECK(tell(entry));
    std::vector<UniqueFd> dirs;
    if (over_directory) dirs = std::move(was->dirs);
    dirs.resize(way_.trees());
    dirs[0] = std::move(fd);
    const std::string name = entry.name;
    if (too_deep_ > 0 || path_.size() + 1 + name.size() > kLongestPath) {
      ++too_deep_;
    } else {
      path_ = below(path_, name);
    }
    CHECK(way_.down(name, std::move(dirs)));
    levels_.push_back(level);
    if (!changed) untold_.push_back({way_.depth(), std::move(entry)});
    return true;
  }

  [[nodiscard]] bool hides(const UniqueFd& dir) const {
    return is_opaque(dir) || (source_.named_whiteouts && at::is_there(dir, ".wh..wh..opq"));
  }

  // Of a directory by itself, whatever is in it.
  [[nodiscard]] static bool has_changed(const DiffEntry& entry, const MergedChild* was,
                                        const UniqueFd& dir) {
    if (was == nullptr) return !made_by_engine(dir, "", entry.path, entry.st);
    if (!was->is_directory() || entry.opaque) return true;
    if (!same_owner_and_mode(entry.st, was->st)) return true;
    if (same_time(entry.st.st_mtim, was->st.st_mtim)) return false;
    // Its time is another: unless it is that the engine has put its own things into it.
    return !holds_engine_files(entry.path, dir);
  }

  static bool holds_engine_files(const std::string& path, const UniqueFd& dir) {
    const auto has = [&](const char* name) {
      struct stat st {};
      return at::look(dir, name, st) == 0 && made_by_engine(dir, name, path + "/" + name, st);
    };
    if (path == "dev") return has("console") || has("mqueue") || has("pts") || has("shm");
    return path == "etc" && (has("hostname") || has("hosts") || has("resolv.conf") || has("mtab"));
  }

  bool same_file(const DiffEntry& now, const MergedChild& was) const {
    const auto& a = now.st;
    const auto& b = was.st;
    if (was.is_directory() || !same_owner_and_mode(a, b) || a.st_rdev != b.st_rdev) return false;
    if (a.st_size != b.st_size || !same_time(a.st_mtim, b.st_mtim)) return false;
    return !S_ISLNK(a.st_mode) ||
           link_text(*now.parent, now.name) == link_text(*way_.dir(was.tree), now.name);
  }

  const DiffSource& source_;
  bool deletions_below_;
  const DiffVisitor& visit_;
  Paths paths_;
  Way way_;
  std::vector<Level> levels_;
  std::vector<Untold> untold_;
  std::string path_;          // where the way is, as far as it is short enough
  std::size_t too_deep_ = 0;  // levels whose names are not in it
};

}  // namespace

Result<> check_path_length(const std::string& path) {
  if (path.size() <= kLongestPath) return {};
  return std::unexpected(DiffWalk::too_long(path.substr(0, 100) + "…"));
}

Result<> walk_diff(const DiffSource& source, bool deletions_below, const DiffVisitor& visit,
                   Stop stop, Paths paths) {
  const std::string& top = source.upper.empty() ? source.copy : source.upper;
  std::vector<UniqueFd> tops;
  tops.emplace_back(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tops.front()) return sys_error("open the writable layer {}", top);
  if (!source.lower.empty()) {
    TRY(auto image, open_merged(source.lower));
    for (auto& layer : image.dirs) tops.push_back(std::move(layer));
  }
  return DiffWalk(source, deletions_below, visit, paths, Way(std::move(tops))).run(stop);
}

Result<std::vector<Change>> changes_of(const DiffSource& source, Stop stop) {
  std::vector<Change> out;
  std::size_t bytes = 0;
  const auto visit = [&](const DiffEntry& entry) -> Result<> {
    bytes += entry.path.size() + sizeof(Change);
    if (bytes > kMostChanges)
      return fail(Errc::invalid_argument, "more than {} MiB of changed paths", kMostChanges >> 20);
    out.push_back({"/" + entry.path, static_cast<int>(entry.kind)});
    return {};
  };
  CHECK(walk_diff(source, true, visit, stop));
  return out;
}

Result<LayerUsage> usage_of(const DiffSource& source, Stop stop) {
  LayerUsage out;
  Linked<bool> linked;
  const auto visit = [&](const DiffEntry& entry) -> Result<> {
    if (entry.kind == DiffKind::deleted) return {};
    ++out.entries;
    if (!S_ISREG(entry.st.st_mode) && !S_ISLNK(entry.st.st_mode)) return {};
    if (entry.st.st_nlink > 1) {
      if (linked.find(entry.st) != nullptr) {
        linked.forget_if_met(entry.st);
        return {};
      }
      linked.keep(entry.st, true);
    }
    out.bytes += entry.st.st_size;
    return {};
  };
  CHECK(walk_diff(source, false, visit, stop, Paths::not_told));
  return out;
}

}  // namespace coracle::storage
