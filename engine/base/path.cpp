#include "engine/base/path.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "engine/base/at.hpp"

namespace coracle {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty() && part != ".") out.emplace_back(part);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

// errno in place of a descriptor: negative.
int open_how_it_says(const UniqueFd& dir, const std::string& path, open_how how) {
  how.flags |= O_CLOEXEC;
  const std::string name = path.empty() ? "." : path;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, dir.get(), name.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    // EAGAIN: something was renamed while the kernel walked a "..".
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
}

}  // namespace

Result<UniqueFd> open_dir(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open directory {}", path);
  return fd;
}

Result<UniqueFd> open_in_root(const UniqueFd& root, const std::string& path, int flags,
                              mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const int fd = open_how_it_says(root, path, how);
  if (fd < 0) return sys_error_of(-fd, "open {} in the root file system", path);
  return UniqueFd(fd);
}

Result<UniqueFd> open_beneath(const UniqueFd& base, const std::string& path) {
  open_how how{};
  how.flags = O_PATH;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const int fd = open_how_it_says(base, path, how);
  if (fd == -EXDEV) return fail_as(EXDEV, "path concatenation escapes the base directory");
  if (fd < 0) return sys_error_of(-fd, "open {}", path);
  return UniqueFd(fd);
}

Result<ParentAndName> open_parent_in_root(const UniqueFd& root, const std::string& path) {
  const auto parts = split(path);
  if (parts.empty() || parts.back() == "..") {
    return fail(Errc::invalid_argument, "{} names no entry of a directory", path);
  }
  const auto slash = path.find_last_of('/', path.find_last_not_of('/'));
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  TRY(auto fd, open_in_root(root, parent, O_PATH | O_DIRECTORY));
  return ParentAndName{std::move(fd), parts.back()};
}

Result<UniqueFd> make_dirs_in_root(const UniqueFd& root, const std::string& path, mode_t mode) {
  auto whole = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (whole || whole.error().sys != ENOENT) return whole;
  std::string so_far;
  TRY(auto at, open_in_root(root, "/", O_PATH | O_DIRECTORY));
  for (const auto& part : split(path)) {
    const std::string next = so_far + "/" + part;
    auto found = open_in_root(root, next, O_PATH | O_DIRECTORY);
    if (!found && found.error().sys == ENOENT) {
      if (at::make_dir(at, part, mode) != 0 && errno != EEXIST) {
        return sys_error("make directory {} in the root file system", next);
      }
      found = open_in_root(root, next, O_PATH | O_DIRECTORY);
    }
    if (!found) return found;
    at = *std::move(found);
    so_far = next;
  }
  return at;
}

std::string clean_path(std::string_view path) {
  const bool absolute = path.starts_with('/');
  std::vector<std::string> kept;
  for (auto& part : split(path)) {
    if (part != "..") {
      kept.push_back(std::move(part));
    } else if (!kept.empty() && kept.back() != "..") {
      kept.pop_back();
    } else if (!absolute) {
      kept.push_back(std::move(part));
    }
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < kept.size(); ++i) out += (i > 0 ? "/" : "") + kept[i];
  return out.empty() ? "." : out;
}

std::string base_name(std::string_view path) {
  const auto parts = split(path);
  return parts.empty() ? "/" : parts.back();
}

std::string parent_path(std::string_view path) {
  const std::string clean = clean_path(path);
  const auto slash = clean.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : clean.substr(0, slash);
}

std::string join_path(std::string_view a, std::string_view b) {
  if (a.empty()) return std::string(b);
  std::string out(a);
  if (!out.ends_with('/')) out += '/';
  while (b.starts_with('/')) b.remove_prefix(1);
  return out.append(b);
}

std::string proc_path(const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

}  // namespace coracle
