#include "tests/integration/user_namespace.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/core.h>

namespace coracle::test {
namespace {

constexpr const char* kMark = "CORACLE_TEST_USERNS";
std::string why_not;

// "first count" of our line in /etc/subuid.
std::string range_of(const char* file) {
  std::ifstream in(file);
  const char* user = std::getenv("USER");
  for (std::string line; user != nullptr && std::getline(in, line);) {
    std::istringstream parts(line);
    std::string name, first, count;
    std::getline(parts, name, ':');
    std::getline(parts, first, ':');
    std::getline(parts, count, ':');
    if (name == user) return first + " " + count;
  }
  return "";
}

bool one_id() { return std::getenv("CORACLE_TEST_ONE_ID") != nullptr; }

// As a host without ranges gives it: one id, and setgroups(2) denied.
int map_one_id(pid_t child) {
  const auto write = [&](const char* file, const std::string& text) {
    std::ofstream out(fmt::format("/proc/{}/{}", child, file));
    out << text;
    out.close();
    return out.fail() ? 1 : 0;
  };
  return write("setgroups", "deny") | write("uid_map", fmt::format("0 {} 1\n", ::getuid())) |
         write("gid_map", fmt::format("0 {} 1\n", ::getgid()));
}

int map_ids(pid_t child) {
  if (one_id()) return map_one_id(child);
  const auto line = [&](const char* helper, unsigned own, const char* file) {
    const std::string command =
        fmt::format("{} {} 0 {} 1 1 {}", helper, child, own, range_of(file));
    return std::system(command.c_str());
  };
  return line("newuidmap", ::getuid(), "/etc/subuid") |
         line("newgidmap", ::getgid(), "/etc/subgid");
}

}  // namespace

std::string no_user_namespace() { return why_not; }

void enter_user_namespace(char** argv) {
  if (std::getenv(kMark) != nullptr) return;
  if (!one_id() && range_of("/etc/subuid").empty()) {
    why_not = "this user has no range in /etc/subuid";
    return;
  }
  std::array<int, 2> ready{}, mapped{};
  if (::pipe(ready.data()) != 0 || ::pipe(mapped.data()) != 0) ::abort();
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    if (::read(mapped[0], &byte, 1) != 1 || byte != 'y') ::_exit(1);
    if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) ::_exit(1);
    ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr);
    for (const int fd : {ready[0], ready[1], mapped[0], mapped[1]}) ::close(fd);
    ::setenv(kMark, "1", 1);
    ::execv("/proc/self/exe", argv);
    ::_exit(1);
  }
  char byte = 'n';
  const bool made = ::read(ready[0], &byte, 1) == 1 && byte == 'y';
  byte = made && map_ids(child) == 0 ? 'y' : 'n';
  (void)!::write(mapped[1], &byte, 1);
  if (byte != 'y') {
    ::waitpid(child, nullptr, 0);
    why_not = made ? "newuidmap cannot map this user's range" : "no user namespaces on this host";
    return;
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

}  // namespace coracle::test
