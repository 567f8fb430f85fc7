// Small files: read whole, written atomically.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

enum class Durability {
  synced,    // fsync the file and its directory before the answer: survives a power cut
  unsynced,  // survives a kill of the process, not a power cut
};

// Reads a file of ours. errors: not_found; invalid_argument above `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);

// Temporary file in the same directory, (fsync,) rename, (fsync of the directory). Readers see the
// old text or the new one. Errors name the path.
Result<> write_file_atomic(const std::string& path, std::string_view data, mode_t mode = 0600,
                           Durability durability = Durability::synced);

// Creates the file under its own name, and syncs it: for a directory that nobody reads yet, which the
// caller syncs (sync_dir) when its names are all there.   errors  it exists
Result<> write_new_file(const std::string& path, std::string_view data, mode_t mode = 0600);

// mkdir -p for paths of our own.
Result<> make_dirs(const std::string& path, mode_t mode = 0700);
Result<> sync_dir(const std::string& path);
bool exists(const std::string& path);
// Names in a directory, without "." and "..", sorted.
Result<std::vector<std::string>> list_dir(const std::string& path);
// rm -r through descriptors, not following links; a path that is gone is fine. Directories without
// permission bits of ours are given them first.
Result<> remove_tree(const std::string& path);

}  // namespace coracle
