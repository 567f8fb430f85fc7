// Archives of trees that do not belong to the store, for `docker cp`: a container's root as a
// descriptor, and paths in it. Every path is resolved below the root (openat2(2)), whatever links
// it meets. Blocking: not for the event loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/walk.hpp"

namespace coracle::storage {

// Writes a tar of `path` below `root` and of all that is in it, under the name `as`; a link that is
// the last part of the path is not followed unless a slash (or "/.") stands behind it.
// Ends soon after `stop` is set; `to` becomes non-blocking.
//   errors  not_found; those of the file system, with the path; a path longer than kLongestPath
//           (storage/snapshots/diff.hpp); unavailable or ECANCELED, when it was stopped
Result<> write_tree(const UniqueFd& root, const std::string& path, const std::string& as,
                    const UniqueFd& to, const std::atomic<bool>& stop);

struct ExtractOptions {
  bool one_id = false;
  // Everything becomes theirs; none: as the archive says.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
  bool keep_kinds = false;  // no directory becomes a file, no file a directory
};
// Reads a tar, plain or compressed, to its end into the directory `at` below `root`.
// Ends soon after `stop` is set.
//   errors  invalid_argument (no archive, entries that lead out of `at`), the file system's;
//           unavailable (stopped)
Result<> extract_archive(const UniqueFd& from, const UniqueFd& root, const std::string& at,
                         const ExtractOptions& options, const std::atomic<bool>& stop);

}  // namespace coracle::storage
