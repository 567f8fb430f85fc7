// Walks over trees that somebody else made: a container, an image. Depth, width and names are
// theirs; the stack, the descriptors and the memory of a walk are ours, and bounded:
//   stack        one loop, whatever the depth
//   descriptors  the last kOpen directories of the way (one a tree at least); those above are
//                opened again on the way back, by "..", which counts only when it is the directory
//                that was left, else name by name from the top. Never by a path of several names.
//   memory       a level holds its name and the directory's identity; the names of a directory are
//                taken in pieces of kPiece, in order, and what is not looked at yet is forgotten
//                and read again when all levels together hold too much
// Several trees are walked as one where they lie above each other (the layers of an image).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

struct DirEntry {
  std::string name;
  unsigned char type = 0;  // DT_REG, …; DT_UNKNOWN: this file system does not tell
};

// The entries of a directory, open for reading, as they come, without "." and ".."; from its
// beginning, by the descriptor's own position.
Result<> read_dir(const UniqueFd& dir,
                  const std::function<void(std::string_view name, unsigned char type)>& each);

// A piece of a directory's names: the first ones behind a given one, in order.
class Piece {
 public:
  static constexpr std::size_t kPiece = std::size_t{6} << 20;  // bytes, with what a name costs

  explicit Piece(std::string after) : after_(std::move(after)) {}
  [[nodiscard]] const std::string& after() const { return after_; }
  // The first that is said of a name counts. One that does not belong into this piece is passed
  // over.
  void add(std::string_view name, unsigned char type);
  // Another piece's names, all of them with `type`; where that one ends, this one ends.
  void add_all(Piece&& other, unsigned char type);
  // Takes out what has this type, once all has been said.
  void drop(unsigned char type);
  // The names in order, and whether there are more behind them.
  std::vector<DirEntry> take(bool& more);

 private:
  void settle();
  std::string after_, last_;  // last_: with `more_`, nothing behind it belongs here
  bool more_ = false;
  std::vector<DirEntry> entries_;
  std::size_t bytes_ = 0;
};

// The way from the tops of some trees to where a walk is.
class Way {
 public:
  static constexpr std::size_t kOpen = 32;

  // The first tree keeps kOpen directories open, the others share as many. A directory that was
  // moved away meanwhile: of the first `strict` trees (what the walk makes itself) the very one is
  // found again, or none; of the others what stands at its place, or none.
  explicit Way(std::vector<UniqueFd> tops, std::size_t strict = 0);

  [[nodiscard]] std::size_t trees() const { return trails_.size(); }
  [[nodiscard]] std::size_t depth() const { return names_.size(); }
  // A tree's directory here, open for reading; null: it has none.
  [[nodiscard]] const UniqueFd* dir(std::size_t tree) const;
  // The same at a level above (0: the top); null also when it is not open now.
  [[nodiscard]] const UniqueFd* dir_at(std::size_t tree, std::size_t level) const;
  // That one, opened again name by name.   errors  it is not there any more
  [[nodiscard]] Result<UniqueFd> open_again(std::size_t tree, std::size_t level) const;
  // The name of the directory of a level (1: below the top).
  [[nodiscard]] const std::string& name_at(std::size_t level) const { return names_[level - 1]; }

  // One level down. dirs: by tree; one that is not open: the tree has no such directory.
  Result<> down(std::string name, std::vector<UniqueFd> dirs);
  // One up; the name of the directory that was left.
  std::string up();
  // Where it is, and `name` there, for an error's text: the middle of a long path is left out.
  [[nodiscard]] std::string shown(std::string_view name = {}) const;

 private:
  struct Identity {
    dev_t dev;
    ino_t ino;
    bool operator==(const Identity&) const = default;
  };
  struct Trail {
    UniqueFd top;
    std::deque<UniqueFd> open;  // of the last levels below the top; the deepest is at the back
    std::vector<Identity> ids;  // of each level below the top
    std::size_t most_open = 1;
    bool strict = false;
  };
  static Result<Identity> identity(const UniqueFd& dir);
  static void keep(Trail& trail, UniqueFd dir);
  void open_last(Trail& trail, const UniqueFd& child) const;
  void follow_names(Trail& trail) const;

  std::vector<std::string> names_;
  std::vector<Trail> trails_;
};

// What a walk does at each step.
class Visitor {
 public:
  Visitor() = default;
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  virtual ~Visitor() = default;
  // Says the names of the directory where the way is now.
  virtual Result<> list(Piece& piece) = 0;
  // An entry of it. True: the way has gone down into it.
  virtual Result<bool> entry(const DirEntry& entry) = 0;
  // All of the directory has been seen; the way goes up next.
  virtual Result<> leave() { return {}; }
};
using Stop = const std::atomic<bool>*;  // null: nobody stops it

// Walks all below where the way stands: parents before children, names in order.
//   stop    looked at before each entry
//   errors  the visitor's; of a walk that was stopped: ECANCELED
Result<> walk(Way& way, Visitor& visitor, Stop stop = nullptr);
// errors: ECANCELED, when it is to stop
Result<> go_on(Stop stop);

}  // namespace coracle
