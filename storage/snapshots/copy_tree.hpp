// Copies a (merged) directory with everything that makes it up: owners, modes, times, links, hard
// links, xattrs, holes; data by reflink where the file system can (FICLONE), else inside the kernel
// (copy_file_range).
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/snapshots/merged_tree.hpp"

namespace coracle::storage {

// Fills the directory `name` of `parent`, which is the caller's alone, with what `from` holds; it
// gets from's owner, mode, times and xattrs, too. Hard links are made by way of NAME.links, a
// directory that is there meanwhile. Blocking. Device nodes are left out (they cannot be made
// without root), and so are the xattrs of overlay file systems. Depth and width are the image's:
// engine/base/tree/walk.hpp.
//   errors  name the path; ECANCELED, when it was stopped
Result<> copy_tree(const MergedEntry& from, const UniqueFd& parent, const std::string& name,
                   Stop stop = nullptr);
// The same by a path of our own.
Result<> copy_tree(const MergedEntry& from, const std::string& into, Stop stop = nullptr);

// The owner, mode and xattrs of one directory for another, empty one. Blocking.
Result<> copy_directory_metadata(const UniqueFd& from, const UniqueFd& to);

}  // namespace coracle::storage
