#include "engine/base/descendants.hpp"

#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>

#include <fmt/core.h>

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

std::string executable_of(pid_t pid) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n =
      ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), buffer.data(), buffer.size());
  return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
}

std::string real_path(const std::string& path) {
  std::array<char, PATH_MAX> resolved{};
  const char* real = ::realpath(path.c_str(), resolved.data());
  return real == nullptr ? path : std::string(real);
}

}  // namespace

std::vector<pid_t> descendants(pid_t parent, const std::string& but) {
  std::vector<pid_t> all;
  add_children(parent, all);
  if (!but.empty()) {
    const auto program = real_path(but);
    std::erase_if(all, [&](pid_t pid) { return executable_of(pid) == program; });
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const pid_t next = all[i];  // add_children may move the vector's memory
    add_children(next, all);
  }
  return all;
}

}  // namespace coracle
