// A directory that is read: readdir(3).
#pragma once

#include <dirent.h>

#include <memory>

namespace coracle {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

}  // namespace coracle
