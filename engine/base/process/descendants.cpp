#include "engine/base/process/descendants.hpp"

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

// 0: it has ended.
pid_t parent_of(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  // The name may hold anything, but ends with the last ")"; the state, one letter, is between.
  const auto end = text ? text->rfind(')') : std::string::npos;
  if (end == std::string::npos || end + 4 >= text->size()) return 0;
  return static_cast<pid_t>(std::atoi(text->c_str() + end + 4));
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

bool is_descendant(pid_t pid, pid_t parent, const std::string& but) {
  int patience = 100;  // for parents that end meanwhile, or are not shown to us
  while (patience > 0) {
    const pid_t above = parent_of(pid);
    if (above == parent) return but.empty() || executable_of(pid) != real_path(but);
    if (above <= 1) return false;
    const pid_t next = parent_of(above);
    // Still its child: then it has lived while it was asked, and the number was its own.
    if (next == 0 || parent_of(pid) != above) {
      --patience;
      continue;
    }
    pid = above;
  }
  return false;
}

}  // namespace coracle
