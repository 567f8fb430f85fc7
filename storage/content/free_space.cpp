#include "storage/content/free_space.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

namespace coracle::storage {
namespace {

std::unexpected<Error> no_space(const char* of) {
  return sys_error_of(ENOSPC,
                      "stop before the disk is full ({} are nearly used up); remove what is not "
                      "needed (docker system prune) or move data-root to a larger one",
                      of);
}

}  // namespace

std::int64_t space_floor(std::int64_t size) {
  return std::min(size / 20, std::int64_t{1'000'000'000});
}

Result<> SpaceWatch::wrote(const UniqueFd& on, std::int64_t bytes, std::int64_t entries) {
  bytes_ += bytes;
  entries_ += entries;
  if (bytes_ < until_ && entries_ < kEntriesBetween) return {};
  bytes_ = entries_ = 0;
  struct statvfs now {};
  if (::fstatvfs(on.get(), &now) != 0) return sys_error("look at the free space");
  const auto unit = static_cast<std::int64_t>(now.f_frsize);
  const auto size = static_cast<std::int64_t>(now.f_blocks) * unit;
  const auto above = static_cast<std::int64_t>(now.f_bavail) * unit - space_floor(size);
  if (size > 0 && above < 0) return no_space("its blocks");
  until_ = std::clamp(above / 2, kLeastBetween, kMostBetween);
  // File systems that make inodes as they need them tell none.
  if (now.f_files > 0 && now.f_favail < std::min<std::uint64_t>(now.f_files / 20, 100'000))
    return no_space("its inodes");
  return {};
}

}  // namespace coracle::storage
