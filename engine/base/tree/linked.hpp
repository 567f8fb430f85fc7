// Files that have more than one name: what was kept of the first name, until all of them were met.
// Whoever made the tree decides how many there are; what is beyond the bound is forgotten, and its
// names count as files of their own.
#pragma once

#include <sys/stat.h>

#include <map>
#include <utility>

namespace coracle {

template <class T>
class Linked {
 public:
  explicit Linked(std::size_t most = std::size_t{1} << 18) : most_(most) {}
  // Of a file that was met before; null: this is the first of its names. With its last name,
  // `forget` is due.
  T* find(const struct stat& st) {
    const auto found = files_.find({st.st_dev, st.st_ino});
    if (found == files_.end()) return nullptr;
    ++found->second.met;
    return &found->second.value;
  }
  // Keeps something of a file that has more names to come. False: there is no room.
  bool keep(const struct stat& st, T value) {
    if (st.st_nlink < 2 || files_.size() >= most_) return false;
    files_.insert_or_assign({st.st_dev, st.st_ino}, File{std::move(value), 1});
    return true;
  }
  // After find: have all names been met? Then the file is forgotten.
  bool forget_if_met(const struct stat& st) {
    const auto found = files_.find({st.st_dev, st.st_ino});
    if (found == files_.end() || found->second.met < st.st_nlink) return false;
    files_.erase(found);
    return true;
  }

 private:
  struct File {
    T value;
    nlink_t met = 0;
  };
  std::size_t most_;
  std::map<std::pair<dev_t, ino_t>, File> files_;
};

}  // namespace coracle
