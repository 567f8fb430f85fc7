// Enters a keeper and tells what it sees, as one line of JSON; then waits for the end of its stdin,
// holding the lifeline. keeper_test runs it: entering a user namespace is for a process's life.
#include "tests/integration/keeper_probe.hpp"

#include <grp.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/keeper.hpp"

namespace {

std::string link_of(const char* path) {
  std::array<char, PATH_MAX> out{};
  const auto n = ::readlink(path, out.data(), out.size());
  return n < 0 ? "?" : std::string(out.data(), static_cast<std::size_t>(n));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace coracle;
  ignore_sigpipe();
  if (argc != 2) return 2;
  const auto entered = rootless::enter_keeper(argv[1]);
  test::Seen seen;
  if (entered) {
    seen.one_id = entered->one_id;
    seen.warnings = entered->warnings;
  } else {
    seen.error = entered.error().message;
  }
  seen.uid = ::getuid();
  seen.gid = ::getgid();
  seen.groups = ::getgroups(0, nullptr);
  seen.uid_map = read_file("/proc/self/uid_map").value_or("?");
  seen.gid_map = read_file("/proc/self/gid_map").value_or("?");
  seen.user = link_of("/proc/self/ns/user");
  seen.mount = link_of("/proc/self/ns/mnt");
  seen.net = link_of("/proc/self/ns/net");
  seen.directory = link_of("/proc/self/cwd");
  std::puts(json::to_text(seen).c_str());
  std::fflush(stdout);
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) > 0) continue;
  return entered ? 0 : 1;
}
