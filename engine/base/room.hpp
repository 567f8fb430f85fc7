// Room on a disk that others fill: is there any, and a reserve for what must be written all the
// same.
#pragma once

#include <string>

#include "engine/base/result.hpp"

namespace coracle {

// Less than a tenth of the file system, and less than 2 GiB, is free for us (or so few inodes):
// what is thrown away is unlinked before the next one asks for room.
bool is_nearly_full(const std::string& path);
// Is it an error that room would mend: ENOSPC, EDQUOT?
bool is_no_room(const Error& error);

// A file of 1 MiB that is given up when the disk is full, so that a removal, a stop and the state
// of containers can still be written, and made again when there is room.
class Reserve {
 public:
  explicit Reserve(std::string path) : path_(std::move(path)) {}
  // Blocks; failing is fine.
  void make() const;
  // True: there was one, and its room is free.
  [[nodiscard]] bool give_up() const;

  // Does it, and once more with the reserve's room when there was none.
  template <class F>
  Result<> with(F act) const {
    auto done = act();
    if (!done && is_no_room(done.error()) && give_up()) done = act();
    return done;
  }

 private:
  std::string path_;
};

}  // namespace coracle
