#include "engine/base/room.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "engine/base/fd.hpp"

namespace coracle {
namespace {

constexpr off_t kReserve = off_t{1} << 20;

std::uint64_t bytes_free(const struct statvfs& fs) {
  return std::uint64_t{fs.f_bavail} * fs.f_frsize;
}

}  // namespace

bool is_nearly_full(const std::string& path) {
  constexpr std::uint64_t kEnough = std::uint64_t{2} << 30;
  constexpr std::uint64_t kEnoughInodes = 100'000;
  struct statvfs fs {};
  if (::statvfs(path.c_str(), &fs) != 0) return false;
  const std::uint64_t all = std::uint64_t{fs.f_blocks} * fs.f_frsize;
  if (bytes_free(fs) < std::min(all / 10, kEnough)) return true;
  // 0 of 0: a file system that makes inodes as they are needed.
  return fs.f_files > 0 && fs.f_favail < std::min<std::uint64_t>(fs.f_files / 10, kEnoughInodes);
}

bool is_no_room(const Error& error) { return error.sys == ENOSPC || error.sys == EDQUOT; }

void Reserve::make() const {
  struct stat st {};
  if (::stat(path_.c_str(), &st) == 0 && st.st_size == kReserve) return;
  struct statvfs fs {};
  const auto slash = path_.find_last_of('/');
  // Not the last of the room: others need it more.
  constexpr std::uint64_t kLeave = std::uint64_t{4} * kReserve;
  if (::statvfs(path_.substr(0, slash).c_str(), &fs) != 0 || bytes_free(fs) < kLeave) return;
  const std::string fresh = path_ + ".new";
  const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return;
  if (::posix_fallocate(fd.get(), 0, kReserve) == 0 && ::rename(fresh.c_str(), path_.c_str()) == 0)
    return;
  ::unlink(fresh.c_str());
}

bool Reserve::give_up() const { return ::unlink(path_.c_str()) == 0; }

}  // namespace coracle
