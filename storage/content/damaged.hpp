// An object that cannot be read: left out, and reported.
#pragma once

#include <string>

namespace coracle::storage {

struct Damaged {
  std::string path, reason;
};

}  // namespace coracle::storage
