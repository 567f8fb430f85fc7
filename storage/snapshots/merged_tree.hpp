// Several layer directories seen as one tree, without mounting: whiteouts and opaque directories
// are honoured, links are followed as the container would see them. For the copy driver, for
// filling volumes, and for reading single files of an image.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/walk.hpp"

namespace coracle::storage {

// An entry of the merged tree.
struct MergedEntry {
  struct stat st {};           // of the topmost layer that has it
  std::vector<UniqueFd> dirs;  // a directory: one O_RDONLY descriptor a layer, topmost first
  UniqueFd parent;   // something else: the directory that holds it, O_PATH or O_RDONLY …
  std::string name;  // … and its name there
};

// Is it a whiteout (character device 0/0)?
bool is_whiteout(const struct stat& st);
// Does the directory hide what lies below (user.overlay.opaque, or trusted. or fuse-overlayfs's)?
bool is_opaque(const UniqueFd& dir);

// Does this errno say that what a directory has just named is gone, or another kind of file by now?
bool is_gone(int error);
// The path of an entry, as it is shown; "" is the top.
std::string below(const std::string& path, const std::string& name);

// Opens the roots. `layers`: directories, topmost first.
Result<MergedEntry> open_merged(const std::vector<std::string>& layers);
// A path from the root, links followed (the last one too).  errors: not_found, invalid_argument
// (too many links, not a directory)
Result<MergedEntry> lookup_path(const std::vector<std::string>& layers, const std::string& path);

// ---- walks: the layers are trees of a way (engine/base/tree/walk.hpp), topmost first, from
// `first` on

// A way that stands in a merged directory.
Result<Way> way_from(const MergedEntry& dir);

// An entry of the directory where the way is.
struct MergedChild {
  struct stat st {};           // of the topmost layer that has it
  std::vector<UniqueFd> dirs;  // a directory: by tree, for Way::down
  std::size_t tree = 0;        // something else: the tree that has it
  [[nodiscard]] bool is_directory() const { return !dirs.empty(); }
};
// errors: not_found
Result<MergedChild> child_of(const Way& way, std::size_t first, const std::string& name);
// Says the names of the directory where the way is: what is hidden is left out.
Result<> list_layers(const Way& way, std::size_t first, Piece& piece);

}  // namespace coracle::storage
