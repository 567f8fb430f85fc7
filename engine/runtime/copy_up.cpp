#include "engine/runtime/copy_up.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>

#include <limits.h>

namespace coracle::runtime {
namespace {

constexpr mode_t kPermissions = 07777;

struct CloseDir {
  void operator()(DIR* d) const { ::closedir(d); }
};

Result<> copy_link(const UniqueFd& from, const char* name, const UniqueFd& to) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = ::readlinkat(from.get(), name, target.data(), target.size() - 1);
  if (n < 0 || ::symlinkat(target.data(), to.get(), name) != 0)
    return sys_error("copy link {}", name);
  return {};
}

Result<> copy_file(const UniqueFd& from, const char* name, const UniqueFd& to) {
  const UniqueFd in(::openat(from.get(), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in) return sys_error("read {}", name);
  constexpr mode_t kNew = 0600;
  const UniqueFd out(
      ::openat(to.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kNew));
  if (!out) return sys_error("make {}", name);
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  for (;;) {
    const ssize_t n = ::sendfile(out.get(), in.get(), nullptr, kAtOnce);
    if (n == 0) return {};
    if (n < 0 && errno != EINTR) return sys_error("copy {}", name);
  }
}

}  // namespace

Result<> copy_up(const UniqueFd& from, const UniqueFd& to) {
  UniqueFd readable(::openat(from.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!readable) return sys_error("read a directory of the image");
  const std::unique_ptr<DIR, CloseDir> entries(::fdopendir(readable.get()));
  if (!entries) return sys_error("read a directory of the image");
  const UniqueFd source(::fcntl(readable.release(), F_DUPFD_CLOEXEC, 0));
  while (const dirent* e = ::readdir(entries.get())) {
    const std::string_view name = e->d_name;
    if (name == "." || name == "..") continue;
    struct stat st {};
    if (::fstatat(source.get(), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      return sys_error("look at {}", name);
    if (S_ISLNK(st.st_mode)) {
      CHECK(copy_link(source, e->d_name, to));
    } else if (S_ISREG(st.st_mode)) {
      CHECK(copy_file(source, e->d_name, to));
    } else if (S_ISDIR(st.st_mode)) {
      constexpr mode_t kNew = 0700;
      if (::mkdirat(to.get(), e->d_name, kNew) != 0) return sys_error("make directory {}", name);
      const UniqueFd in(
          ::openat(source.get(), e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      const UniqueFd out(
          ::openat(to.get(), e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!in || !out) return sys_error("open directory {}", name);
      CHECK(copy_up(in, out));
    } else {
      continue;
    }
    if (::fchownat(to.get(), e->d_name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
      return sys_error("set the owner of {}", name);
    if (!S_ISLNK(st.st_mode) && ::fchmodat(to.get(), e->d_name, st.st_mode & kPermissions, 0) != 0)
      return sys_error("set the mode of {}", name);
  }
  return {};
}

}  // namespace coracle::runtime
