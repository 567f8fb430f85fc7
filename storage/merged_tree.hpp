// Several layer directories seen as one tree, without mounting: whiteouts and opaque directories
// are honoured, links are followed as the container would see them. For the copy driver, for
// filling volumes, and for reading single files of an image.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

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

// Opens the roots. `layers`: directories, topmost first.
Result<MergedEntry> open_merged(const std::vector<std::string>& layers);
// One name in a merged directory; not followed. errors: not_found
Result<MergedEntry> lookup_child(const MergedEntry& dir, const std::string& name);
// A path from the root, links followed (the last one too).  errors: not_found, invalid_argument
// (too many links, not a directory)
Result<MergedEntry> lookup_path(const std::vector<std::string>& layers, const std::string& path);
// Names in one directory as they stand there, without "." and "..".
Result<std::vector<std::string>> names_in(const UniqueFd& dir);
struct DirEntry {
  std::string name;
  unsigned char type;  // DT_REG, …; DT_UNKNOWN: this file system does not tell
};
Result<std::vector<DirEntry>> entries_in(const UniqueFd& dir);
// Names in a merged directory: what is hidden is left out; sorted.
Result<std::vector<std::string>> list_merged(const MergedEntry& dir);

}  // namespace coracle::storage
