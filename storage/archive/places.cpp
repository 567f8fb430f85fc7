#include "storage/archive/places.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"

namespace coracle::storage {
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it. See path_resolution(7).

}  // namespace

void Places::next_entry() {
  steps_ = std::min(steps_ + kStepsPerEntry, std::int64_t{1} << 40);
  made_ = std::min(made_ + kMadePerEntry, std::int64_t{1} << 40);
}

Result<Place> Places::open(const std::string& path) { return find(path, false); }

Result<Place> Places::open_or_make(const std::string& path) { return find(path, true); }

Result<UniqueFd> Places::open_plain(const std::string& path, int flags) const {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_DIRECTORY | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root_.get(), name, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) return sys_error("open the directory {}", path);
  }
}

Result<Place> Places::find(const std::string& path, bool make) {
  if (path.size() >= PATH_MAX) return sys_error_of(ENAMETOOLONG, "a path of {} bytes", path.size());
  auto plain = open_plain(path, O_PATH);
  if (plain) return Place{*std::move(plain), path};
  const int sys = plain.error().sys;
  if (sys != ELOOP && sys != ENOTDIR && sys != ENOENT) return std::unexpected(plain.error());
  TRY(auto top, open_plain("", O_PATH));
  Place here{std::move(top), ""};
  std::vector<Step> to_go;  // the next one is the last
  std::string_view rest = path;
  while (!rest.empty()) {
    const auto slash = std::min(rest.find('/'), rest.size());
    if (slash > 0 && rest.substr(0, slash) != ".")
      to_go.push_back({std::string(rest.substr(0, slash)), false});
    rest.remove_prefix(std::min(slash + 1, rest.size()));
  }
  std::ranges::reverse(to_go);
  if (auto done = walk_into(here, to_go, make); !done) return std::unexpected(done.error());
  return here;
}

Result<> Places::walk_into(Place& here, std::vector<Step>& to_go, bool make) {
  for (int links = 0; !to_go.empty();) {
    const Step step = std::move(to_go.back());
    to_go.pop_back();
    if (step.of_link && --steps_ < 0)
      return fail(Errc::invalid_argument,
                  "the links on its path lead through too many directories");
    if (step.name == "..") {
      CHECK(go_up(here));
      continue;
    }
    if (here.path.size() + step.name.size() >= PATH_MAX - 1)
      return sys_error_of(ENAMETOOLONG, "a directory {} bytes deep", here.path.size());
    UniqueFd next = at::open(here.fd, step.name, O_PATH);
    if (!next && errno == ENOENT && make && !step.of_link) {
      CHECK(make_in(here, step.name, false));
      continue;
    }
    if (!next) return sys_error("open its parent {}", step.name);
    struct stat st {};
    if (::fstat(next.get(), &st) != 0) return sys_error("look at {}", step.name);
    if (S_ISDIR(st.st_mode)) {
      here.fd = std::move(next);
      here.path = here.path.empty() ? step.name : here.path + "/" + step.name;
    } else if (S_ISLNK(st.st_mode)) {
      if (++links > kMostLinks) return sys_error_of(ELOOP, "follow the link {}", step.name);
      CHECK(follow(next, here, to_go));
    } else if (S_ISCHR(st.st_mode) && st.st_rdev == 0 && make && !step.of_link) {
      CHECK(make_in(here, step.name, true));
    } else {
      return sys_error_of(ENOTDIR, "{} is no directory", step.name);
    }
  }
  return {};
}

Result<> Places::follow(const UniqueFd& link, Place& here, std::vector<Step>& to_go) {
  std::string target(PATH_MAX, '\0');
  const auto n = ::readlinkat(link.get(), "", target.data(), target.size());
  if (n < 0) return sys_error("read a link");
  target.resize(static_cast<std::size_t>(n));
  if (target.empty()) return sys_error_of(ENOENT, "follow an empty link");
  steps_ -= 1 + n / 64;  // the reading itself: "./././"
  if (steps_ < 0)
    return fail(Errc::invalid_argument, "the links on its path lead through too many directories");
  if (target.starts_with('/')) {
    TRY(here.fd, open_plain("", O_PATH));
    here.path.clear();
  }
  for (std::string_view rest = target; !rest.empty();) {
    const auto slash = rest.rfind('/');
    const auto name = slash == std::string_view::npos ? rest : rest.substr(slash + 1);
    if (!name.empty() && name != ".") to_go.push_back({std::string(name), true});
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(0, slash);
  }
  return {};
}

Result<> Places::make_in(Place& here, const std::string& name, bool hidden) {
  if (--made_ < 0)
    return fail(Errc::invalid_argument,
                "the archive names too many directories by their files alone");
  auto path = here.path.empty() ? name : here.path + "/" + name;
  TRY(auto made, make_(here.fd, name, path, hidden));
  here = Place{std::move(made), std::move(path)};
  return {};
}

// By the path, so that no descriptor is kept for each level. The root is its own parent.
Result<> Places::go_up(Place& here) {
  steps_ -= static_cast<std::int64_t>(here.path.size() / 64);
  if (here.path.empty()) return {};
  const auto slash = here.path.rfind('/');
  here.path.resize(slash == std::string::npos ? 0 : slash);
  TRY(here.fd, open_plain(here.path, O_PATH));
  return {};
}

}  // namespace coracle::storage
