// A floor under the free space: what others send ends before the disk is full, so that what is
// there can still be removed, stopped and written down.
#pragma once

#include <cstdint>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

// Bytes that stay free on a file system of `size` bytes: a twentieth, at most 1 GB.
std::int64_t space_floor(std::int64_t size);

// Counts what one archive writes, and looks from time to time.
class SpaceWatch {
 public:
  static constexpr std::int64_t kLeastBetween = std::int64_t{1} << 20;
  static constexpr std::int64_t kMostBetween = std::int64_t{16} << 20;
  static constexpr std::int64_t kEntriesBetween = 4096;
  // Told of bytes and of files, directories and links that were written on the file system of `on`.
  //   errors  unavailable (ENOSPC) when less than the floor is left, of space or of inodes
  Result<> wrote(const UniqueFd& on, std::int64_t bytes, std::int64_t entries = 0);

 private:
  std::int64_t bytes_ = 0, entries_ = 0;  // since the last look
  std::int64_t until_ = kLeastBetween;    // bytes before the next: fewer where the floor is near
};

}  // namespace coracle::storage
