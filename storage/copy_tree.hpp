// Copies a (merged) directory with everything that makes it up: owners, modes, times, links, hard
// links, xattrs, holes; data by reflink where the file system can (FICLONE), else inside the kernel
// (copy_file_range).
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/merged_tree.hpp"

namespace coracle::storage {

// Fills the directory `into` with what `from` holds; `into` itself gets from's owner, mode, times
// and xattrs. Blocking. Device nodes are left out (they cannot be made without root), and so are
// the xattrs of overlay file systems.
//   errors  name the path below `into`
Result<> copy_tree(const MergedEntry& from, const std::string& into);

// The owner, mode and xattrs of one directory for another, empty one. Blocking.
Result<> copy_directory_metadata(const UniqueFd& from, const UniqueFd& to);

}  // namespace coracle::storage
