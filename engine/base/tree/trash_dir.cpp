#include "engine/base/tree/trash_dir.hpp"

#include <fcntl.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "engine/base/at.hpp"
#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/tree/remove.hpp"

namespace coracle {
namespace {

constexpr std::string_view kTry = ".try";

// The name without its mark.
std::string unmarked(const std::string& name) {
  return tries_of(name) == 0 ? name : name.substr(0, name.rfind(kTry));
}

// False: stopped.
bool remove_one(const UniqueFd& trash, const std::string& dir, const std::string& name, Stop stop) {
  const int tries = tries_of(name);
  if (tries >= kMostTries) {
    log::warn(
        "the trash keeps an entry path={} reason=\"{} tries to remove it have failed\" "
        "remedy=\"remove it by hand\"",
        join_path(dir, name), tries);
    return true;
  }
  const auto marked = fmt::format("{}{}{}", unmarked(name), kTry, tries + 1);
  if (at::move(trash, name, trash, marked, 0) != 0) {
    // ENOENT: somebody else empties it, too.
    if (errno != ENOENT)
      log::warn("the trash keeps an entry path={} reason={}", join_path(dir, name),
                make_sys_error(errno, "rename").message);
    return true;
  }
  const auto done = remove_in(trash, marked, stop);
  if (done) return true;
  if (done.error().sys != ECANCELED) {
    log::warn("the trash keeps an entry path={} reason={}", join_path(dir, marked),
              done.error().message);
    return true;
  }
  static_cast<void>(at::move(trash, marked, trash, name, 0));  // that was no failure
  return false;
}

}  // namespace

int tries_of(const std::string& name) {
  const auto mark = name.rfind(kTry);
  if (mark == std::string::npos) return 0;
  int tries = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + mark + kTry.size(), end, tries);
  return read.ec == std::errc() && read.ptr == end && tries > 0 ? tries : 0;
}

void empty_trash_dir(const std::string& dir, Stop stop) {
  const auto trash = open_dir(dir);
  if (!trash && trash.error().code == Errc::not_found) return;
  const auto names = list_dir(dir);
  if (!trash || !names) {
    log::warn("the trash cannot be read reason={}",
              (trash ? names.error() : trash.error()).message);
    return;
  }
  for (const auto& name : *names) {
    if (!go_on(stop) || !remove_one(*trash, dir, name, stop)) return;
  }
}

}  // namespace coracle
