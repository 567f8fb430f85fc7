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

int map_ids(pid_t child) {
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
  if (range_of("/etc/subuid").empty()) {
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
