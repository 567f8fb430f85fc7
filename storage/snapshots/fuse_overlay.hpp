// Where the program fuse-overlayfs is.
#pragma once

#include <string>

#include "storage/snapshots/snapshot.hpp"

namespace coracle::storage {

// An absolute path from PATH; "" when it is not installed.
std::string find_fuse_overlayfs();

}  // namespace coracle::storage
