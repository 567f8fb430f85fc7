#include "engine/base/tree/walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "engine/base/at.hpp"

namespace coracle {
namespace {

constexpr std::size_t kCost = 64;                         // of a name beside its bytes
constexpr std::size_t kAllNames = std::size_t{12} << 20;  // of all levels together
constexpr std::size_t kShown = 200;                       // bytes of a path in an error

std::size_t cost_of(const std::vector<DirEntry>& entries) {
  std::size_t sum = 0;
  for (const auto& e : entries) sum += e.name.size() + kCost;
  return sum;
}

}  // namespace

Result<> read_dir(const UniqueFd& dir,
                  const std::function<void(std::string_view, unsigned char)>& each) {
  if (::lseek(dir.get(), 0, SEEK_SET) < 0) return sys_error("read a directory");
  alignas(dirent64) std::array<char, 16384> buffer;  // NOLINT: the kernel fills what is read
  for (;;) {
    const ssize_t n = ::getdents64(dir.get(), buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno == ENOENT)) return {};  // ENOENT: it has been removed
    if (n < 0) return sys_error("read a directory");
    for (ssize_t at = 0; at < n;) {
      // See getdents(2): records of their own length.
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") each(name, entry->d_type);
    }
  }
}

// ---- the names of a directory, in pieces

void Piece::add(std::string_view name, unsigned char type) {
  if (name <= after_ || (more_ && name > last_)) return;
  entries_.push_back({std::string(name), type});
  bytes_ += name.size() + kCost;
  if (bytes_ > 2 * kPiece) settle();
}

// Sorts, keeps the first of each name, and cuts what is beyond a piece.
void Piece::settle() {
  std::ranges::stable_sort(entries_, {}, &DirEntry::name);
  const auto same = [](const DirEntry& a, const DirEntry& b) { return a.name == b.name; };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  bytes_ = 0;
  std::size_t kept = 0;
  while (kept < entries_.size() && (kept == 0 || bytes_ < kPiece))
    bytes_ += entries_[kept++].name.size() + kCost;
  if (kept == entries_.size()) return;
  entries_.resize(kept);
  last_ = entries_.back().name;
  more_ = true;
}

void Piece::add_all(Piece&& other, unsigned char type) {
  other.settle();
  for (const auto& e : other.entries_) add(e.name, type);
  if (!other.more_ || (more_ && last_ <= other.last_)) return;
  last_ = other.last_;
  more_ = true;
  std::erase_if(entries_, [&](const DirEntry& e) { return e.name > last_; });
  bytes_ = cost_of(entries_);
}

void Piece::drop(unsigned char type) {
  settle();
  std::erase_if(entries_, [&](const DirEntry& e) { return e.type == type; });
}

std::vector<DirEntry> Piece::take(bool& more) {
  settle();
  more = more_;
  // All that was in it may have been dropped: then it goes on behind that.
  if (more_) after_ = last_;
  return std::move(entries_);
}

// ---- the way

Way::Way(std::vector<UniqueFd> tops, std::size_t strict) : trails_(tops.size()) {
  for (std::size_t i = 0; i < tops.size(); ++i) {
    trails_[i].top = std::move(tops[i]);
    trails_[i].strict = i < strict;
    trails_[i].most_open = i == 0 ? kOpen : std::max<std::size_t>(1, kOpen / (trails_.size() - 1));
  }
}

Result<Way::Identity> Way::identity(const UniqueFd& dir) {
  struct stat st {};
  if (::fstat(dir.get(), &st) != 0) return sys_error("look at a directory");
  return Identity{st.st_dev, st.st_ino};
}

void Way::keep(Trail& trail, UniqueFd dir) {
  trail.open.push_back(std::move(dir));
  if (trail.open.size() > trail.most_open) trail.open.pop_front();
}

const UniqueFd* Way::dir_at(std::size_t tree, std::size_t level) const {
  const Trail& trail = trails_[tree];
  if (!trail.top || level > trail.ids.size()) return nullptr;
  if (level == 0) return &trail.top;
  const std::size_t first_open = trail.ids.size() - trail.open.size() + 1;
  return level < first_open ? nullptr : &trail.open[level - first_open];
}

const UniqueFd* Way::dir(std::size_t tree) const { return dir_at(tree, depth()); }

Result<UniqueFd> Way::open_again(std::size_t tree, std::size_t level) const {
  UniqueFd at = at::reopen(trails_[tree].top);
  for (std::size_t i = 1; i <= level && at; ++i) at = at::open_dir(at, name_at(i));
  if (!at) return sys_error("open {}", shown());
  return at;
}

Result<> Way::down(std::string name, std::vector<UniqueFd> dirs) {
  for (std::size_t i = 0; i < trails_.size() && i < dirs.size(); ++i) {
    if (!dirs[i]) continue;
    TRY(const auto id, identity(dirs[i]));
    trails_[i].ids.push_back(id);
    keep(trails_[i], std::move(dirs[i]));
  }
  names_.push_back(std::move(name));
  return {};
}

std::string Way::up() {
  const std::size_t left = depth();
  std::string name = std::move(names_.back());
  names_.pop_back();
  for (auto& trail : trails_) {
    if (trail.ids.size() != left) continue;
    const UniqueFd child = std::move(trail.open.back());
    trail.open.pop_back();
    trail.ids.pop_back();
    if (trail.open.empty() && !trail.ids.empty()) open_last(trail, child);
  }
  return name;
}

// The directory of the last level, which was closed for want of room.
void Way::open_last(Trail& trail, const UniqueFd& child) const {
  if (UniqueFd up = at::parent(child)) {
    const auto id = identity(up);
    if (id && *id == trail.ids.back()) {
      trail.open.push_back(std::move(up));
      return;
    }
  }
  follow_names(trail);
}

// As far as the names lead: where they do not, the tree has no directory any more.
void Way::follow_names(Trail& trail) const {
  std::size_t level = 0;
  for (; level < trail.ids.size(); ++level) {
    UniqueFd next = at::open_dir(level == 0 ? trail.top : trail.open.back(), names_[level]);
    if (!next) break;
    const auto id = identity(next);
    if (!id || (trail.strict && *id != trail.ids[level])) break;
    trail.ids[level] = *id;
    keep(trail, std::move(next));
  }
  trail.ids.resize(level);
}

std::string Way::shown(std::string_view name) const {
  std::string tail(name);
  std::size_t level = depth();
  for (; level > 0 && tail.size() < kShown / 2; --level)
    tail = tail.empty() ? names_[level - 1] : names_[level - 1] + "/" + tail;
  std::string head;
  for (std::size_t i = 0; i < level && head.size() < kShown / 2; ++i) {
    head += names_[i] + "/";
    if (i + 1 == level) return head + tail;
  }
  return level == 0 ? tail : head + "…/" + tail;
}

// ---- the walk

Result<> go_on(Stop stop) {
  if (stop == nullptr || !*stop) return {};
  return sys_error_of(ECANCELED, "nobody waits for it any more");
}

namespace {

// What a level of the walk has not looked at yet.
struct Level {
  std::vector<DirEntry> todo;  // the next is at the back
  std::string last;            // the name behind which there is more
  std::size_t cost = 0;
  bool more = true;
  bool forgotten = false;  // there is more behind the directory that the way has gone down into
};

class Walk {
 public:
  Walk(Way& way, Visitor& visitor, Stop stop) : way_(way), visitor_(visitor), stop_(stop) {}

  Result<> run() {
    levels_.emplace_back();
    for (;;) {
      CHECK(go_on(stop_));
      if (levels_.back().todo.empty() && levels_.back().more) {
        CHECK(list());
      } else if (!levels_.back().todo.empty()) {
        CHECK(step());
      } else {
        CHECK(visitor_.leave());
        levels_.pop_back();
        if (levels_.empty()) return {};
        emptied_ = std::min(emptied_, levels_.size() - 1);
        auto name = way_.up();
        if (std::exchange(levels_.back().forgotten, false)) levels_.back().last = std::move(name);
      }
    }
  }

 private:
  Result<> list() {
    Level& level = levels_.back();
    Piece piece(std::exchange(level.last, {}));
    CHECK(visitor_.list(piece));
    level.todo = piece.take(level.more);
    if (level.more) level.last = piece.after();
    std::ranges::reverse(level.todo);
    level.cost = cost_of(level.todo);
    all_ += level.cost;
    // The levels furthest above give up what they hold: they read it again.
    for (; all_ > kAllNames && emptied_ + 1 < levels_.size(); ++emptied_) forget(levels_[emptied_]);
    return {};
  }

  void forget(Level& level) {
    if (level.todo.empty()) return;
    all_ -= level.cost;
    level.cost = 0;
    level.todo = {};
    level.more = true;
    level.forgotten = true;
  }

  Result<> step() {
    Level& level = levels_.back();
    const DirEntry entry = std::move(level.todo.back());
    level.todo.pop_back();
    const std::size_t cost = entry.name.size() + kCost;
    level.cost -= cost;
    all_ -= cost;
    if (level.todo.empty()) level.todo.shrink_to_fit();
    TRY(const bool went_down, visitor_.entry(entry));
    if (went_down) levels_.emplace_back();
    return {};
  }

  Way& way_;
  Visitor& visitor_;
  Stop stop_;
  std::deque<Level> levels_;
  std::size_t all_ = 0;      // cost of all that is in todo
  std::size_t emptied_ = 0;  // the levels above this one hold nothing
};

}  // namespace

Result<> walk(Way& way, Visitor& visitor, Stop stop) { return Walk(way, visitor, stop).run(); }

}  // namespace coracle
