#include "engine/container/processes.hpp"

#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "engine/base/file.hpp"

namespace coracle {
namespace {

void add_children(pid_t parent, std::vector<pid_t>& into) {
  const auto threads = list_dir(fmt::format("/proc/{}/task", parent));
  if (!threads) return;  // it has ended meanwhile
  for (const auto& thread : *threads) {
    const auto text = read_file(fmt::format("/proc/{}/task/{}/children", parent, thread));
    if (!text) continue;
    const char* at = text->c_str();
    for (char* end = nullptr; *at != '\0'; at = end) {
      const auto pid = static_cast<pid_t>(std::strtol(at, &end, 10));
      if (end == at || pid <= 0) break;
      into.push_back(pid);
      while (*end == ' ') ++end;
    }
  }
}

bool runs_program(pid_t pid, const std::string& program) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n =
      ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), buffer.data(), buffer.size());
  return n > 0 && program == std::string_view(buffer.data(), static_cast<std::size_t>(n));
}

std::string real_path(const std::string& path) {
  std::array<char, PATH_MAX> resolved{};
  const char* real = ::realpath(path.c_str(), resolved.data());
  return real == nullptr ? path : std::string(real);
}

}  // namespace

Result<ProcessTree> process_tree_of(const Parts& p, Container& c) {
  if (c.status() == Status::restarting)
    return fail(Errc::conflict, "Container {} is restarting, wait until the container is running",
                c.id());
  const auto* running = c.running();
  if (running == nullptr || !is_alive(c.status()))
    return fail(Errc::conflict, "container {} is not running", c.id());
  ProcessTree tree{running->identity.monitor, running->identity.init, {}};
  if (const auto plan = p.storage->mount_plan(c.id())) tree.skip = plan->program;
  return tree;
}

Result<std::vector<pid_t>> processes_of(const ProcessTree& tree) {
  CHECK(Pidfd::open(tree.init));
  std::vector<pid_t> all;
  add_children(tree.monitor.pid, all);
  if (!tree.skip.empty()) {
    const auto program = real_path(tree.skip);
    std::erase_if(all, [&](pid_t pid) { return runs_program(pid, program); });
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const pid_t parent = all[i];  // add_children may move the vector's memory
    add_children(parent, all);
  }
  return all;
}

}  // namespace coracle
