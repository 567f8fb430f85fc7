// File system entries on their way into an archive: owner, mode, time, links, hard links, the
// attributes that the store keeps, data with its holes. For the layer of a commit, for export, and
// for copies out of a container. A path longer than kLongestPath is an error: nobody could unpack
// it.
#pragma once

#include <sys/stat.h>

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/linked.hpp"
#include "engine/base/tree/walk.hpp"
#include "storage/archive/archive.hpp"
#include "storage/snapshots/diff.hpp"
#include "storage/snapshots/merged_tree.hpp"

namespace coracle::storage {

class TarTree {
 public:
  explicit TarTree(ArchiveWriter& to) : to_(to) {}

  // The entry `name` of `parent`, without what is in it, as `path`. What has gone meanwhile is left
  // out, and so are sockets.   errors  name the path
  Result<> add(const UniqueFd& parent, const std::string& name, const struct stat& st,
               const std::string& path);
  // An open directory itself.
  Result<> add_directory(const UniqueFd& directory, const std::string& path);
  // A layer's own "/", as one that is meant (root_dir).
  Result<> add_root(const UniqueFd& directory);
  // A whiteout: an empty file.
  Result<> add_marker(const std::string& path);

  // `name` of `parent` with all below it, across mounts; but of what is not files (proc, sysfs …)
  // the directory alone, and below the first entry no device nodes.
  Result<> add_all(const UniqueFd& parent, const std::string& name, const std::string& path,
                   Stop stop = nullptr);
  Result<> add_all_in(const UniqueFd& directory, const std::string& path, Stop stop = nullptr);

  // Bytes of all files so far, as their entries say.
  [[nodiscard]] std::int64_t file_bytes() const { return file_bytes_; }

 private:
  static constexpr std::size_t kMostLinkText = std::size_t{16} << 20;  // bytes of paths in links_
  static Result<> fill(ArchiveEntry& entry, const UniqueFd& fd);
  Result<bool> add_link(ArchiveEntry& entry, const struct stat& st);
  ArchiveWriter& to_;
  std::int64_t file_bytes_ = 0;
  Linked<std::string> links_;  // the first path of a file with more names
  std::size_t link_text_ = 0;
};

// All of a merged tree, names below its root, as a plain tar. Blocking, like all here.
//   named_whiteouts  as in DiffSource: .wh.NAME is no file but a mark of fuse-overlayfs
Result<> write_merged(const MergedEntry& root, bool named_whiteouts, ArchiveWriter::Sink to,
                      Stop stop = nullptr);
// The changes as an OCI layer: whiteouts .wh.NAME, opaque directories .wh..wh..opq. The bytes of
// all files in it.
Result<std::int64_t> write_diff(const DiffSource& source, ArchiveWriter::Sink to,
                                Stop stop = nullptr);

}  // namespace coracle::storage
