#include "tests/unit/storage/in_user_namespace.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

namespace {

std::string reason = "the user namespace was not entered";
bool range = false;

// The user's first range in /etc/subuid or /etc/subgid as "first count"; "" when there is none.
std::string range_of(const char* file) {
  const passwd* me = ::getpwuid(::getuid());
  if (me == nullptr) return {};
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::string start = std::string(me->pw_name) + ":";
    if (!line.starts_with(start)) continue;
    line.erase(0, start.size());
    for (auto& c : line) c = c == ':' ? ' ' : c;
    return line;
  }
  return {};
}

void write_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// Only the helpers may write a range, and only from outside: a child that stays in the old
// namespace calls them.
int map_from_outside(pid_t target, const std::string& uids, const std::string& gids) {
  const std::string pid = std::to_string(target);
  const std::string map =
      [](const std::string& program, const std::string& p, unsigned id, const std::string& r) {
        return program + " " + p + " 0 " + std::to_string(id) + " 1 1 " + r;
      }("newuidmap", pid, ::getuid(), uids) +
      " && " + "newgidmap " + pid + " 0 " + std::to_string(::getgid()) + " 1 1 " + gids;
  ::execl("/bin/sh", "sh", "-c", map.c_str(), nullptr);
  return 127;
}

std::string enter() {
  if (::getuid() == 0) return "run as root; these tests are for an unprivileged user";
  const std::string uids = range_of("/etc/subuid");
  const std::string gids = range_of("/etc/subgid");
  const unsigned uid = ::getuid();
  const unsigned gid = ::getgid();
  std::array<int, 2> go{};
  if (::pipe2(go.data(), O_CLOEXEC) != 0) return "no pipe";
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    char c = 0;
    ::close(go[1]);
    if (::read(go[0], &c, 1) != 1) ::_exit(1);
    ::_exit(uids.empty() || gids.empty() ? 2 : map_from_outside(parent, uids, gids));
  }
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    const std::string why = std::strerror(errno);
    ::close(go[1]);
    ::waitpid(child, nullptr, 0);
    return "no user namespaces on this host: " + why;
  }
  static_cast<void>(::write(go[1], "x", 1) == 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(go[0]);
  ::close(go[1]);
  range = status == 0;
  if (!range) {
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    write_text("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) return "the ids were not mapped";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return "no mount namespace";
  return {};
}

// Before main, while there is one thread.
const bool entered = [] {
  reason = enter();
  return reason.empty();
}();

}  // namespace

const std::string& why_no_namespace() { return reason; }
bool has_id_range() { return entered && range; }
