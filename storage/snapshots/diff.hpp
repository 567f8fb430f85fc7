// What a writable layer holds besides its image: one walk, from which `docker diff`, the layer's
// size and the layer of a commit are made. Nothing is mounted: the upper directory of the overlay
// drivers tells it by itself; a copied tree is compared with the image's layers.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/walk.hpp"
#include "storage/snapshots/mount_plan.hpp"

namespace coracle::storage {

struct DiffSource {
  std::vector<std::string> lower;  // the image's layer directories, topmost first
  std::string upper;               // of an overlay; "": compare `copy`
  std::string copy;                // a whole tree
  bool named_whiteouts = false;    // fuse-overlayfs may have written .wh.NAME
};

enum class DiffKind : std::uint8_t { modified, added, deleted };

// An entry that differs from the image, or a directory on the way to one.
struct DiffEntry {
  std::string path;  // "etc/motd"; "" when no paths are asked for
  DiffKind kind = DiffKind::modified;
  // deleted: nothing of these is set
  struct stat st {};
  const UniqueFd* parent = nullptr;  // valid during the call
  std::string name;                  // in `parent`
  bool opaque = false;               // a directory that hides the image's
};
using DiffVisitor = std::function<Result<>(const DiffEntry&)>;

// The longest path of an entry that is told, and that archives hold. Longer ones cannot be used by
// anybody as paths, nor be unpacked again: PATH_MAX.
constexpr std::size_t kLongestPath = 4095;
// errors: invalid_argument, ENAMETOOLONG
Result<> check_path_length(const std::string& path);

enum class Paths : std::uint8_t { told, not_told };

// Calls `visit` for directories before what is in them, names in order. The root itself is not
// among them. A directory that is there for the overlay's own reasons alone is passed over, and so
// is what the engine makes in every root. What goes away during the walk is passed over. Depth and
// width are the container's: engine/base/tree/walk.hpp.
//   opaque directories  with deletions_below, the image's entries that they hide are told one by
//                       one; without, by DiffEntry.opaque. Of files in new directories the path
//                       and the kind alone are told then
//   paths               not_told: of a tree of any depth; told: an error at kLongestPath
//   errors              name the path; the visitor's own; ECANCELED, when it was stopped
Result<> walk_diff(const DiffSource& source, bool deletions_below, const DiffVisitor& visit,
                   Stop stop = nullptr, Paths paths = Paths::told);

// Blocking, as walk_diff.   errors  also: more than kMostChanges bytes of paths
constexpr std::size_t kMostChanges = std::size_t{128} << 20;
Result<std::vector<Change>> changes_of(const DiffSource& source, Stop stop = nullptr);
Result<LayerUsage> usage_of(const DiffSource& source, Stop stop = nullptr);

}  // namespace coracle::storage
