// Tar archives: what an entry is, and writing them through libarchive to a descriptor or whatever
// takes bytes. Reading: tar_reader.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

// One entry, as the archive has it: nothing in it is to be trusted.
struct ArchiveEntry {
  std::string path;      // as written: may be absolute or hold ".."
  mode_t type = 0;       // S_IFREG, …; 0: unknown
  mode_t mode = 0;       // permission bits with setuid, setgid, sticky
  std::string hardlink;  // not empty: a link to that path, whatever the type
  std::string symlink;
  std::int64_t uid = 0, gid = 0;
  std::int64_t size = 0;
  dev_t device = 0;  // of a device node
  timespec mtime{};
  struct Xattr {
    std::string name, value;
  };
  std::vector<Xattr> xattrs;
  bool sparse = false;  // read: the archive leaves its holes out
};

// Which extended attributes go into archives and come out of them: user.* and security.capability,
// but for those that steer overlay file systems.
bool is_kept_xattr(std::string_view name);

// For those who never are.
inline const std::atomic<bool> kNeverStopped{false};

// Writes ustar, pax where that is not enough.
class ArchiveWriter {
 public:
  using Sink = std::function<Result<>(std::string_view)>;
  explicit ArchiveWriter(const UniqueFd& to);
  explicit ArchiveWriter(Sink to);
  ~ArchiveWriter();
  ArchiveWriter(const ArchiveWriter&) = delete;
  ArchiveWriter& operator=(const ArchiveWriter&) = delete;

  // From now on writing ends with an error when the flag, which must outlive this, is set: a file
  // may be all holes, of which the sink sees nothing.
  void stop_with(const std::atomic<bool>& stop);

  // Owner 0:0, mode 0755 or 0644, time 0: for blobs and JSON.
  Result<> directory(const std::string& path);
  Result<> file(const std::string& path, std::string_view bytes);
  // `size` bytes from a descriptor's beginning.
  Result<> file(const std::string& path, const UniqueFd& from, std::int64_t size);
  // An entry with all that it says (times in whole seconds). A file's data are the `size` bytes of
  // `data`, at its beginning: what is missing there by now becomes zeros. Large holes stay holes.
  Result<> entry(const ArchiveEntry& entry, const UniqueFd* data = nullptr);
  Result<> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coracle::storage
