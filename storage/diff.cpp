#include "storage/diff.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "storage/merged_tree.hpp"

namespace coracle::storage {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr unsigned char kMissing = 255;  // no DT_…: it is not in this directory

// What starting a container makes in its root, as the layer below Docker's containers has it: these
// directories, and these files when they are empty.
bool is_engines_file(const std::string& path) {
  static constexpr std::array<std::string_view, 5> kFiles{
      ".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"};
  return std::ranges::find(kFiles, path) != kFiles.end();
}

bool made_by_engine(const std::string& path, const struct stat& st) {
  static constexpr std::array<std::string_view, 6> kDirectories{"dev",     "dev/mqueue", "dev/pts",
                                                                "dev/shm", "proc",       "sys"};
  if (S_ISDIR(st.st_mode)) return std::ranges::find(kDirectories, path) != kDirectories.end();
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

std::string link_text(const UniqueFd& parent, const std::string& name) {
  std::array<char, 4096> text{};
  const auto n = ::readlinkat(parent.get(), name.c_str(), text.data(), text.size());
  return n < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(n));
}

std::string below(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

// The walk's way from the root to where it is: directories that have not been told yet are told
// when something below them is.
struct Step {
  DiffEntry entry;
  bool told = false;
};

class Walk {
 public:
  Walk(const DiffSource& source, bool deletions_below, const DiffVisitor& visit)
      : source_(source), deletions_below_(deletions_below), visit_(visit) {}

  Result<> run() {
    const std::string& top = source_.upper.empty() ? source_.copy : source_.upper;
    UniqueFd fd(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return sys_error("open the writable layer {}", top);
    std::optional<MergedEntry> image;
    if (!source_.lower.empty()) {
      TRY(image, open_merged(source_.lower));
    }
    return directory(fd, image ? &*image : nullptr, false, "");
  }

 private:
  // Something is told of `path`: so are the directories above it.
  Result<> tell(const DiffEntry& entry) {
    for (auto& step : way_) {
      if (std::exchange(step.told, true)) continue;
      CHECK(visit_(step.entry));
    }
    return visit_(entry);
  }

  // By its name alone.
  Result<> tell_name(const std::string& path, DiffKind kind) {
    DiffEntry entry;
    entry.path = path;
    entry.kind = kind;
    return tell(entry);
  }

  // The image's entry of that name; nothing when it has none.
  static Result<std::optional<MergedEntry>> in_image(const MergedEntry* image,
                                                     const std::string& name) {
    std::optional<MergedEntry> out;
    if (image == nullptr || image->dirs.empty()) return out;
    auto found = lookup_child(*image, name);
    if (found) {
      out = *std::move(found);
    } else if (found.error().code != Errc::not_found) {
      return std::unexpected(found.error());
    }
    return out;
  }

  //   image   the image's directory of that path; null: it has none, or it is hidden
  //   opaque  an overlay's directory that hides the image's, or one in such a directory
  Result<> directory(const UniqueFd& dir, const MergedEntry* image, bool opaque,
                     const std::string& path) {
    TRY(const auto entries, entries_in(dir));
    // In order with what is there, and with what a copy or an opaque directory has not.
    std::map<std::string, unsigned char> all;  // with the types of what is here
    for (const auto& [name, type] : entries) {
      // A whiteout of the other form.
      if (source_.named_whiteouts && name.starts_with(kWhiteout))
        all.try_emplace(name.substr(kWhiteout.size()), kMissing);
      else
        all[name] = type;
    }
    const bool compare = source_.upper.empty() || (opaque && deletions_below_);
    if (compare && image != nullptr && !image->dirs.empty()) {
      TRY(const auto of_image, list_merged(*image));
      for (const auto& name : of_image) all.try_emplace(name, kMissing);
    }
    const bool all_new = image == nullptr || image->dirs.empty();
    for (const auto& [name, type] : all) {
      if (name == ".." || name == ".") continue;
      auto at = below(path, name);
      // Thousands of new files need no look at each.
      if (all_new && deletions_below_ && is_plain(type) && !is_engines_file(at)) {
        CHECK(tell_name(at, DiffKind::added));
        continue;
      }
      auto done = type != kMissing ? one(dir, image, opaque, path, name) : missing(image, at, name);
      if (!done) return done;
    }
    return {};
  }

  Result<> missing(const MergedEntry* image, const std::string& path, const std::string& name) {
    TRY(const auto old, in_image(image, name));
    return old ? tell_name(path, DiffKind::deleted) : Result<>{};
  }

  Result<> one(const UniqueFd& dir, const MergedEntry* image, bool opaque, const std::string& path,
               const std::string& name) {
    DiffEntry entry;
    entry.path = below(path, name);
    entry.parent = &dir;
    entry.name = name;
    if (::fstatat(dir.get(), name.c_str(), &entry.st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return sys_error("look at /{}", entry.path);
    }
    if (!source_.upper.empty() && is_whiteout(entry.st)) return missing(image, entry.path, name);
    auto old = in_image(image, name);
    if (!old) return std::unexpected(old.error().within("/{}", entry.path));
    const MergedEntry* was = *old ? &**old : nullptr;
    // In an opaque directory everything is new as a layer has it; as seen, it may have been there.
    if (opaque && !deletions_below_) was = nullptr;
    entry.kind = was == nullptr ? DiffKind::added : DiffKind::modified;
    if (S_ISDIR(entry.st.st_mode)) return sub_directory(std::move(entry), was, opaque);
    if (was == nullptr && made_by_engine(entry.path, entry.st)) return {};
    if (was != nullptr && source_.upper.empty() && same_file(entry, *was)) return {};
    return tell(entry);
  }

  Result<> sub_directory(DiffEntry entry, const MergedEntry* was, bool hidden) {
    const UniqueFd& dir = *entry.parent;
    const UniqueFd fd(
        ::openat(dir.get(), entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      if (errno == ENOENT || errno == ENOTDIR) return {};
      return sys_error("open /{}", entry.path);
    }
    const bool over_directory = was != nullptr && !was->dirs.empty();
    entry.opaque = over_directory && !source_.upper.empty() && hides(fd);
    const std::string path = entry.path;
    const bool opaque = entry.opaque || hidden;
    const bool changed = has_changed(entry, was, fd);
    way_.push_back({std::move(entry), false});
    if (changed) {
      // Told as its own last step.
      DiffEntry self = way_.back().entry;
      way_.pop_back();
      CHECK(tell(self));
      way_.push_back({std::move(self), true});
    }
    auto done = directory(fd, over_directory ? was : nullptr, opaque, path);
    way_.pop_back();
    return done;
  }

  [[nodiscard]] bool hides(const UniqueFd& dir) const {
    if (is_opaque(dir)) return true;
    return source_.named_whiteouts &&
           ::faccessat(dir.get(), ".wh..wh..opq", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  }

  // Of a directory by itself, whatever is in it.
  [[nodiscard]] static bool has_changed(const DiffEntry& entry, const MergedEntry* was,
                                        const UniqueFd& dir) {
    if (was == nullptr) return !made_by_engine(entry.path, entry.st);
    if (was->dirs.empty() || entry.opaque) return true;
    if (!same_owner_and_mode(entry.st, was->st)) return true;
    if (same_time(entry.st.st_mtim, was->st.st_mtim)) return false;
    // Its time is another: unless it is that the engine has put its own things into it.
    return !holds_engine_files(entry.path, dir);
  }

  static bool holds_engine_files(const std::string& path, const UniqueFd& dir) {
    const auto has = [&](const char* name) {
      struct stat st {};
      return ::fstatat(dir.get(), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
             made_by_engine(path + "/" + name, st);
    };
    if (path == "dev") return has("console") || has("mqueue") || has("pts") || has("shm");
    return path == "etc" && (has("hostname") || has("hosts") || has("resolv.conf"));
  }

  static bool same_file(const DiffEntry& now, const MergedEntry& was) {
    const auto& a = now.st;
    const auto& b = was.st;
    if (!was.dirs.empty() || !same_owner_and_mode(a, b) || a.st_rdev != b.st_rdev) return false;
    if (a.st_size != b.st_size || !same_time(a.st_mtim, b.st_mtim)) return false;
    return !S_ISLNK(a.st_mode) ||
           link_text(*now.parent, now.name) == link_text(was.parent, was.name);
  }

  const DiffSource& source_;
  bool deletions_below_;
  const DiffVisitor& visit_;
  std::vector<Step> way_;
};

}  // namespace

Result<> walk_diff(const DiffSource& source, bool deletions_below, const DiffVisitor& visit) {
  return Walk(source, deletions_below, visit).run();
}

Result<std::vector<Change>> changes_of(const DiffSource& source) {
  std::vector<Change> out;
  CHECK(walk_diff(source, true, [&](const DiffEntry& entry) -> Result<> {
    out.push_back({"/" + entry.path, static_cast<int>(entry.kind)});
    return {};
  }));
  return out;
}

Result<LayerUsage> usage_of(const DiffSource& source) {
  LayerUsage out;
  std::set<std::pair<dev_t, ino_t>> linked;
  CHECK(walk_diff(source, false, [&](const DiffEntry& entry) -> Result<> {
    if (entry.kind == DiffKind::deleted) return {};
    ++out.entries;
    if (!S_ISREG(entry.st.st_mode) && !S_ISLNK(entry.st.st_mode)) return {};
    if (entry.st.st_nlink > 1 && !linked.emplace(entry.st.st_dev, entry.st.st_ino).second)
      return {};
    out.bytes += entry.st.st_size;
    return {};
  }));
  return out;
}

}  // namespace coracle::storage
