// "/" of a container. Whatever an image's tars say of theirs, it begins as root's and 0755, as at
// Docker, whose driver makes each upper directory so: the tar of a directory that mktemp(1) made
// has it 0700, and no other user could run a thing.
//
// What a container itself made of its "/" is kept by a commit: the layer names "./", with the mark
// user.coracle.root, which says that it was meant. The topmost layer that has the mark counts.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/snapshots/diff.hpp"

namespace coracle::storage {

constexpr const char* kRootMark = "user.coracle.root";

struct RootDir {
  mode_t mode = 0755;
  uid_t uid = 0;
  gid_t gid = 0;
  bool operator==(const RootDir&) const = default;
};

// What "/" above these layers, topmost first, begins with.
Result<RootDir> root_above(const std::vector<std::string>& lower);
// Gives it to a new, empty or copied, directory of a writable layer. Attributes are the topmost
// layer's.
Result<> begin_root(const UniqueFd& root, const std::vector<std::string>& lower);
// The directory that is "/" of a writable layer, when its owner or mode have changed since it
// began; else none.
Result<UniqueFd> changed_root(const DiffSource& source);

}  // namespace coracle::storage
