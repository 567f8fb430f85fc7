// Paths that cannot leave their root. Paths that come from an image, an archive or a request go
// through these, never through std::filesystem; the result is used as a descriptor, never as a path
// again.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// Opens a directory of our own (not from a request): O_PATH | O_DIRECTORY.
Result<UniqueFd> open_dir(const std::string& path);

// Opens `path` below `root`, as the container would see it: no link or ".." leads outside.
//   flags   O_* of open(2); O_CLOEXEC is added
//   errors  not_found (ENOENT), forbidden (EACCES), invalid_argument (ELOOP, ENOTDIR)
//   source  openat2(2), RESOLVE_IN_ROOT; Linux 5.6
Result<UniqueFd> open_in_root(const UniqueFd& root, const std::string& path, int flags,
                              mode_t mode = 0);

// Opens `path` below `base` (O_PATH) where no link leads out of it, not even to come back.
//   errors  EXDEV: `path concatenation escapes the base directory`
//   source  openat2(2), RESOLVE_BENEATH
Result<UniqueFd> open_beneath(const UniqueFd& base, const std::string& path);

struct ParentAndName {
  UniqueFd parent;   // O_PATH descriptor of the directory that holds it
  std::string name;  // last component, never "", "." or ".."
};
// Opens the parent of `path` below `root`; the last component is not followed. For unlinkat,
// mknodat, …
Result<ParentAndName> open_parent_in_root(const UniqueFd& root, const std::string& path);

// mkdir -p below `root`, through links as the container sees them; returns the last directory
// (O_PATH). Directories that are new get `mode`.
Result<UniqueFd> make_dirs_in_root(const UniqueFd& root, const std::string& path, mode_t mode);

// "/a//b/./c/" -> "/a/b/c"; ".." is resolved as text (for destinations, before they are looked up).
std::string clean_path(std::string_view path);
std::string base_name(std::string_view path);
std::string parent_path(std::string_view path);
std::string join_path(std::string_view a, std::string_view b);
// "/proc/self/fd/N", where an interface takes only a path.
std::string proc_path(const UniqueFd& fd);

}  // namespace coracle
