// A folder in memory for targets that write files: `root` to write into, and around it what must
// stay as it is.
#pragma once

#include <sys/stat.h>

#include <string>

#include "engine/base/fd.hpp"

namespace coracle::fuzz {

class Playground {
 public:
  explicit Playground(const std::string& target);
  ~Playground();
  Playground(const Playground&) = delete;
  Playground& operator=(const Playground&) = delete;

  // An empty `root`, by a descriptor (O_PATH).
  const UniqueFd& fresh_root();
  // Ends as a finding when something outside of `root` was changed.
  void check_outside() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd root_, nest_, outside_, file_;
  struct stat nest_was_ {
  }, outside_was_{}, file_was_{};
};

}  // namespace coracle::fuzz
