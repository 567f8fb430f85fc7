// A layer's tar into a directory, in overlay's own format. Every entry is made through descriptors
// below the directory (openat2 RESOLVE_IN_ROOT): no name, link or ".." of the archive leads
// outside.
//
//   .wh.NAME       becomes a character device 0/0 called NAME; where the layer itself has put
//                  something there, that stays and hides what is below all the same
//   .wh..wh..opq   marks its directory opaque: xattr user.overlay.opaque = "y" (the userxattr form,
//                  which fuse-overlayfs reads too)
//   owners         as written; with one id all are ours
//   xattrs         user.* and security.capability; those that steer overlay file systems never
//   devices        cannot be made without root: left out
//   times          files at once; directories, and their modes, when all is unpacked
//   sparse files   with their holes
//
// What one archive may cost is bounded by its size: entries, what links on the way to them lead
// through, parents that no entry names, the memory for directories to be dated; and it ends before
// the disk is full (free_space).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/content/byte_source.hpp"

namespace coracle::storage {

constexpr std::int64_t kMostEntries = 10'000'000;
constexpr std::int64_t kMostBytes = std::int64_t{64} << 40;  // of all files, holes counted

struct UnpackOptions {
  bool one_id = false;
  // false: not a layer but an archive copied into a live tree: names mean themselves, directories
  // that are there are kept, links are followed inside `root`, devices are tried.
  bool layer = true;
  std::string at = {};  // copies: the directory below `root` that they go to
  // Copies: everything becomes theirs; none: as written, or root's where that id cannot be had.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner = {};
  bool keep_kinds = false;  // copies: no directory becomes a file, no file a directory
};
struct Unpacked {
  std::int64_t bytes = 0;  // of all files
  std::int64_t entries = 0;
};

// Reads the tar `source` to the archive's end into the empty directory `root` (O_PATH is enough).
// Nothing is synced.
//   errors  invalid_argument (damaged archive, entries that leave the root), forbidden (an owner
//           beyond the id map, with the remedy), the file system's; all name the entry
Result<Unpacked> unpack(ByteSource& source, const UniqueFd& root, UnpackOptions options);

}  // namespace coracle::storage
