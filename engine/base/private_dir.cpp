#include "engine/base/private_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <deque>
#include <string_view>

#include <limits.h>

#include "engine/base/at.hpp"
#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr int kMostLinks = 40;  // as the kernel's own limit. See path_resolution(7)
constexpr std::size_t kMostNames = 4096;

constexpr const char* kRemedy = "choose another with --exec-root, --data-root or XDG_RUNTIME_DIR";

void put_in_front(std::deque<std::string>& names, std::string_view path) {
  std::deque<std::string> parts;
  while (!path.empty()) {
    const auto part = path.substr(0, path.find('/'));
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  names.insert(names.begin(), parts.begin(), parts.end());
}

// Inside of a user namespace without an id for the host's root, its folders are shown as nobody's;
// elsewhere nobody is a user like others. See user_namespaces(7).
bool is_unmapped_root(uid_t uid) {
  static const uid_t unmapped = [] {
    constexpr uid_t kNone = static_cast<uid_t>(-1);
    const auto map = read_file("/proc/self/uid_map", 65536);
    if (!map || map->find("4294967295") != std::string::npos) return kNone;
    const auto text = read_file("/proc/sys/kernel/overflowuid", 64);
    uid_t id = kNone;
    if (text) std::from_chars(text->data(), text->data() + text->size(), id);
    return id;
  }();
  return unmapped != static_cast<uid_t>(-1) && uid == unmapped;
}

bool is_trusted(uid_t uid) { return uid == 0 || uid == ::geteuid() || is_unmapped_root(uid); }

// A group of the user's own, as many systems make one with each user, is nobody else.
bool others_may_write(const struct stat& st) {
  if ((st.st_mode & S_ISVTX) != 0) return false;
  if ((st.st_mode & S_IWOTH) != 0) return true;
  const bool own_group =
      st.st_uid == ::geteuid() && st.st_gid == ::getegid() && ::getegid() == ::geteuid();
  return (st.st_mode & S_IWGRP) != 0 && !own_group;
}

Result<> check_step(const struct stat& st, const std::string& shown, const std::string& path) {
  if (!is_trusted(st.st_uid))
    return fail(Errc::forbidden, "{} belongs to uid {}, who could exchange {}; {}", shown,
                st.st_uid, path, kRemedy);
  if (S_ISDIR(st.st_mode) && others_may_write(st))
    return fail(Errc::forbidden,
                "others may write in {} (mode {:04o}), and so exchange {}; take the right from "
                "them, or {}",
                shown, st.st_mode & 07777U, path, kRemedy);
  return {};
}

struct Found {
  UniqueFd dir;  // O_PATH
  std::string shown;
  struct stat st {};
};

// One name below `in`: the folder or link itself, made as a folder if that is asked for.
Result<UniqueFd> step(const UniqueFd& in, const std::string& name, const std::string& shown,
                      bool make) {
  // Not at::parent: a folder on the way need not be one that we may read.
  UniqueFd next = name == ".." ? UniqueFd(::openat(in.get(), "..", O_PATH | O_CLOEXEC))
                               : at::open(in, name, O_PATH);
  if (!next && errno == ENOENT && make) {
    if (at::make_dir(in, name, 0700) != 0 && errno != EEXIST)
      return sys_error("make directory {}", shown);
    next = at::open(in, name, O_PATH);
  }
  if (!next) return sys_error("open {}", shown);
  return next;
}

// Follows `path` name by name; all but the last folder are checked.
Result<Found> walk(const std::string& path, bool make) {
  if (!path.starts_with('/')) return fail(Errc::invalid_argument, "{}: not absolute", path);
  std::deque<std::string> names;
  put_in_front(names, path);
  Found at;
  const auto to_root = [&]() -> Result<> {
    TRY(at.dir, open_dir("/"));
    at.shown = "";
    if (::fstat(at.dir.get(), &at.st) != 0) return sys_error("look at /");
    return {};
  };
  CHECK(to_root());
  for (int links = 0; !names.empty();) {
    CHECK(check_step(at.st, at.shown.empty() ? "/" : at.shown, path));
    const auto name = std::move(names.front());
    names.pop_front();
    const auto shown = name == ".." ? parent_path(at.shown) : at.shown + "/" + name;
    TRY(auto next, step(at.dir, name, shown, make));
    struct stat st {};
    if (::fstat(next.get(), &st) != 0) return sys_error("look at {}", shown);
    if (S_ISLNK(st.st_mode)) {
      CHECK(check_step(st, shown, path));
      std::array<char, PATH_MAX> target{};
      const ssize_t n = ::readlinkat(next.get(), "", target.data(), target.size());
      if (n < 0) return sys_error("read the link {}", shown);
      if (++links > kMostLinks || names.size() > kMostNames)
        return sys_error_of(ELOOP, "open {}", path);
      put_in_front(names, {target.data(), static_cast<std::size_t>(n)});
      if (target[0] == '/') CHECK(to_root());
      continue;
    }
    if (!S_ISDIR(st.st_mode)) return sys_error_of(ENOTDIR, "open {}", shown);
    at = Found{std::move(next), shown == "/" ? "" : shown, st};
  }
  return at;
}

Result<UniqueFd> reopen(const Found& found, const std::string& path) {
  UniqueFd dir = at::reopen(found.dir);
  if (!dir) return sys_error("open {}", path);
  return dir;
}

Result<UniqueFd> private_dir(const std::string& path, bool make) {
  TRY(const auto found, walk(path, make));
  if (found.st.st_uid != ::geteuid())
    return fail(Errc::forbidden, "{} belongs to uid {}; {}", path, found.st.st_uid, kRemedy);
  TRY(auto dir, reopen(found, path));
  if ((found.st.st_mode & 077U) != 0 && ::fchmod(dir.get(), 0700) != 0)
    return sys_error("take {} from others (mode {:04o})", path, found.st.st_mode & 07777U);
  return dir;
}

}  // namespace

Result<UniqueFd> take_private_dir(const std::string& path) { return private_dir(path, true); }

Result<UniqueFd> open_private_dir(const std::string& path) { return private_dir(path, false); }

Result<UniqueFd> take_trusted_dir(const std::string& path) {
  TRY(const auto found, walk(path, true));
  CHECK(check_step(found.st, path, path));
  return reopen(found, path);
}

Result<RuntimeDir> runtime_dir(const std::string& xdg, uid_t uid) {
  if (xdg.starts_with('/')) return RuntimeDir{xdg, ""};
  const std::string usual = fmt::format("/run/user/{}", uid);
  struct stat st {};
  if (::lstat(usual.c_str(), &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid)
    return RuntimeDir{usual, fmt::format("XDG_RUNTIME_DIR is not set: {} is used", usual)};
  const std::string own = fmt::format("/tmp/coracle-{}", uid);
  if (auto taken = take_private_dir(own); !taken)
    return std::unexpected(taken.error().within("XDG_RUNTIME_DIR is not set"));
  return RuntimeDir{
      own, fmt::format("XDG_RUNTIME_DIR is not set and {} is not there: {} is used", usual, own)};
}

}  // namespace coracle
