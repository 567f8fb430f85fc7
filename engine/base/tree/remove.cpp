// How a tree of any depth goes with a fixed number of descriptors: the walk goes kDeepest levels
// down at most. A directory that lies deeper is moved up, into the directory that is being emptied,
// and the walk begins again there; so what is left gets flatter until nothing is.
#include "engine/base/tree/remove.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/at.hpp"
#include "engine/base/dir.hpp"
#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr std::size_t kDeepest = 24;  // a descriptor and its stream each
constexpr int kMostRounds = 16;       // of a directory that something is put into meanwhile

// Gives a directory of ours the permission bits that removal takes. By an O_PATH descriptor that
// was looked at: a link that stands in its place by now is not followed.
bool make_accessible(const UniqueFd& dir, const std::string& name) {
  const UniqueFd there = at::open(dir, name, O_PATH | O_DIRECTORY);
  return there && at::set_mode(there, 0700) == 0;
}

Result<UniqueFd> open_for_removal(const UniqueFd& parent, const std::string& name) {
  UniqueFd fd = at::open_dir(parent, name);
  if (!fd && errno == EACCES && make_accessible(parent, name)) fd = at::open_dir(parent, name);
  if (!fd) return sys_error("open {}", name);
  struct stat st {};
  if (::fstat(fd.get(), &st) == 0 && (st.st_mode & 0700) != 0700) {
    // Best effort: where it matters the unlink below says so.
    static_cast<void>(::fchmod(fd.get(), 0700));
  }
  return fd;
}

// A directory on the way, while its entries are read.
struct Open {
  UniqueFd fd;
  DirStream stream;
  std::string name;  // in the one above
  int rounds = 0;
};

class Remover {
 public:
  Remover(const UniqueFd& top, Stop stop) : top_(top), stop_(stop) {}

  Result<> run() {
    for (;;) {
      const std::string first = std::exchange(moved_up_, {});
      CHECK(start());
      // What was moved up goes before the rest, so that no more than one of a chain lies there.
      if (!first.empty()) CHECK(descend(first));
      while (!way_.empty() && moved_up_.empty()) {
        CHECK(go_on(stop_));
        CHECK(step());
      }
      way_.clear();
      if (moved_up_.empty()) return {};
    }
  }

 private:
  Result<> start() {
    UniqueFd fd = at::reopen(top_);
    if (!fd) return sys_error("open the directory");
    return read(std::move(fd), {});
  }

  Result<> read(UniqueFd fd, std::string name) {
    Open open;
    TRY(auto streams, duplicate(fd));
    open.stream.reset(::fdopendir(streams.get()));
    if (!open.stream) return sys_error("read {}", name);
    static_cast<void>(streams.release());  // closedir owns it now
    open.fd = std::move(fd);
    open.name = std::move(name);
    way_.push_back(std::move(open));
    return {};
  }

  Result<> descend(const std::string& name) {
    auto fd = open_for_removal(way_.back().fd, name);
    if (!fd && (fd.error().sys == ENOENT)) return {};
    if (!fd) return std::unexpected(fd.error());
    return read(*std::move(fd), name);
  }

  Result<> step() {
    Open& here = way_.back();
    errno = 0;
    const dirent* entry = ::readdir(here.stream.get());
    if (entry == nullptr) return errno == 0 ? leave() : sys_error("read {}", here.name);
    const std::string name = entry->d_name;
    if (name == "." || name == "..") return {};
    if (entry->d_type != DT_DIR) {
      if (at::unlink(here.fd, name) == 0 || errno == ENOENT) return {};
      if (errno != EISDIR && errno != EPERM) return sys_error("remove {}", name);
    }
    if (at::remove_dir(here.fd, name) == 0 || errno == ENOENT) return {};
    if (errno == ENOTDIR) {  // the entry's type was not told, or it is another by now
      if (at::unlink(here.fd, name) == 0 || errno == ENOENT) return {};
      return sys_error("remove {}", name);
    }
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
      return sys_error("remove {}", name);
    return way_.size() < kDeepest ? descend(name) : move_up(here, name);
  }

  // The directory has been read to its end.
  Result<> leave() {
    if (way_.size() == 1) {
      way_.pop_back();
      return {};
    }
    Open& above = way_[way_.size() - 2];
    if (at::remove_dir(above.fd, way_.back().name) == 0 || errno == ENOENT) {
      way_.pop_back();
      return {};
    }
    // Not every file system tells all its entries while some are taken away.
    if ((errno != ENOTEMPTY && errno != EEXIST) || ++way_.back().rounds > kMostRounds)
      return sys_error("remove {}", way_.back().name);
    ::rewinddir(way_.back().stream.get());
    return {};
  }

  Result<> move_up(const Open& here, const std::string& name) {
    bool accessible = false;
    for (;;) {
      std::string fresh = fmt::format(".deep-{}", serial_++);
      if (at::move(here.fd, name, top_, fresh, RENAME_NOREPLACE) == 0) {
        moved_up_ = std::move(fresh);
        return {};
      }
      if (errno == ENOENT) return {};
      // Only who may write a directory can move it: its ".." changes.
      if (errno == EACCES && !std::exchange(accessible, true) && make_accessible(here.fd, name))
        continue;
      if (errno != EEXIST) return sys_error("move {} up to remove it", name);
    }
  }

  const UniqueFd& top_;
  Stop stop_;
  std::vector<Open> way_;
  std::string moved_up_;  // in the top; the walk begins again there
  unsigned long serial_ = 0;
};

}  // namespace

Result<> empty_dir(const UniqueFd& dir, Stop stop) { return Remover(dir, stop).run(); }

Result<> remove_in(const UniqueFd& dir, const std::string& name, Stop stop) {
  for (int round = 0;; ++round) {
    if (at::unlink(dir, name) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return sys_error("remove {}", name);
    auto inside = open_for_removal(dir, name);
    if (!inside && inside.error().sys == ENOENT) return {};
    if (!inside && inside.error().sys == ENOTDIR) return sys_error_of(EPERM, "remove {}", name);
    if (!inside) return std::unexpected(inside.error());
    if (auto done = empty_dir(*inside, stop); !done)
      return std::unexpected(done.error().within("empty {}", name));
    if (at::remove_dir(dir, name) == 0 || errno == ENOENT) return {};
    if ((errno != ENOTEMPTY && errno != EEXIST) || round >= kMostRounds)
      return sys_error("remove {}", name);
  }
}

Result<> remove_tree(const std::string& path) {
  const UniqueFd parent(::open(parent_path(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent && errno == ENOENT) return {};
  if (!parent) return sys_error("open {}", parent_path(path));
  auto done = remove_in(parent, base_name(path));
  if (!done) return std::unexpected(done.error().within("remove {}", path));
  return {};
}

}  // namespace coracle
