#include "storage/files.hpp"

#include <fcntl.h>

#include <cerrno>

#include "engine/base/path.hpp"
#include "storage/archive/peer_stream.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/snapshots/tar_tree.hpp"
#include "storage/unpacker/client.hpp"

namespace coracle::storage {

Result<> write_tree(const UniqueFd& root, const std::string& path, const std::string& as,
                    const UniqueFd& to, const std::atomic<bool>& stop) {
  TRY(auto sink, peer_sink(to, stop));
  ArchiveWriter archive(std::move(sink));
  archive.stop_with(stop);
  TarTree tar(archive);
  const bool contents = path.ends_with('/') || path.ends_with("/.") || path == ".";
  auto directory = open_in_root(root, path, O_RDONLY | O_DIRECTORY | (contents ? 0 : O_NOFOLLOW));
  if (directory) {
    CHECK(tar.add_all_in(*directory, as, &stop));
  } else if (directory.error().sys == ENOTDIR || directory.error().sys == ELOOP) {
    TRY(const auto at, open_parent_in_root(root, path));
    CHECK(tar.add_all(at.parent, at.name, as, &stop));
  } else {
    return std::unexpected(directory.error());
  }
  return archive.finish();
}

Result<> extract_archive(const UniqueFd& from, const UniqueFd& root, const std::string& at,
                         const ExtractOptions& options, const std::atomic<bool>& stop) {
  PeerSource source(from, stop);
  std::string head(16, '\0');
  TRY(const auto n, read_full(source, head));
  head.resize(n);
  const auto whole = joined(head, source);
  TRY(const auto plain, inflated_apart(*whole, compression_of(head)));
  UnpackOptions unpacking;
  unpacking.one_id = options.one_id;
  unpacking.layer = false;
  unpacking.at = at;
  unpacking.owner = options.owner;
  unpacking.keep_kinds = options.keep_kinds;
  // A few bytes may inflate to many, of which each piece asks.
  StoppableSource stoppable(*plain, stop);
  CHECK(unpack_apart(stoppable, root, unpacking));
  // To the end of both, so that what is damaged or cut behind the archive's end is an error, too,
  // and the sender sees no broken pipe.
  CHECK(drain(*plain));
  return drain(*whole);
}

}  // namespace coracle::storage
