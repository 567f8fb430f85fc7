// A folder of the test's own, removed with it.
#pragma once

#include <string>

#include <stdlib.h>

#include "engine/base/file.hpp"

namespace coracle::test {

class Scratch {
 public:
  Scratch() {
    std::string text = "/tmp/coracle-test-XXXXXX";
    path_ = ::mkdtemp(text.data());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { static_cast<void>(remove_tree(path_)); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace coracle::test
