#include "engine/base/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "engine/base/dir.hpp"
#include "engine/base/path.hpp"

namespace coracle {
namespace {

Result<DirStream> read_dir_of(UniqueFd fd, const std::string& shown) {
  DirStream dir(::fdopendir(fd.get()));
  if (!dir) return sys_error("read directory {}", shown);
  static_cast<void>(fd.release());  // closedir owns it now
  return dir;
}

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  auto text = read_all(fd, limit);
  if (!text) return std::unexpected(text.error().within("read {}", path));
  return text;
}

Result<> write_file_atomic(const std::string& path, std::string_view data, mode_t mode,
                           Durability durability) {
  static std::atomic<unsigned> serial{0};
  const std::string temporary = fmt::format("{}.{}.{}.tmp", path, ::getpid(), serial.fetch_add(1));
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return sys_error("write {}", path);
  auto done = write_all(fd, data);
  // The mode that was asked for, whatever the umask.
  if (done && ::fchmod(fd.get(), mode) != 0) done = sys_error("set the mode");
  if (done && durability == Durability::synced && ::fdatasync(fd.get()) != 0)
    done = sys_error("sync");
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = sys_error("rename");
  if (!done) {
    ::unlink(temporary.c_str());
    return std::unexpected(done.error().within("write {}", path));
  }
  return durability == Durability::synced ? sync_dir(parent_path(path)) : Result<>{};
}

Result<> write_new_file(const std::string& path, std::string_view data, mode_t mode) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return sys_error("write {}", path);
  auto done = write_all(fd, data);
  if (done && ::fchmod(fd.get(), mode) != 0) done = sys_error("set the mode");
  if (done && ::fdatasync(fd.get()) != 0) done = sys_error("sync");
  if (!done) return std::unexpected(done.error().within("write {}", path));
  return {};
}

Result<> make_dirs(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT && parent_path(path) != path) {
    CHECK(make_dirs(parent_path(path), mode));
    if (::mkdir(path.c_str(), mode) == 0) return {};
  }
  const int reason = errno;
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
  return sys_error_of(reason == EEXIST ? ENOTDIR : reason, "make directory {}", path);
}

Result<> sync_dir(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open directory {}", path);
  if (::fsync(fd.get()) != 0) return sys_error("sync directory {}", path);
  return {};
}

bool exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open directory {}", path);
  TRY(auto dir, read_dir_of(std::move(fd), path));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (!is_dot(entry->d_name)) names.emplace_back(entry->d_name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace coracle
