#include "engine/monitor/process_tree.hpp"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "engine/base/file.hpp"

namespace coracle::monitor {
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

}  // namespace

ino_t pid_namespace_of(const std::string& pid) {
  struct stat st {};
  return ::stat(("/proc/" + pid + "/ns/pid").c_str(), &st) == 0 ? st.st_ino : 0;
}

std::vector<pid_t> descendants(const std::string& but) {
  std::vector<pid_t> all;
  add_children(::getpid(), all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const pid_t parent = all[i];  // add_children may move the vector's memory
    add_children(parent, all);
  }
  if (but.empty()) return all;
  std::array<char, PATH_MAX> resolved{};
  const char* real = ::realpath(but.c_str(), resolved.data());
  if (real != nullptr) std::erase_if(all, [&](pid_t pid) { return executable_of(pid) == real; });
  return all;
}

Result<> signal_all(const Pidfd& init, int signal, const std::string& fuse_program) {
  const ino_t theirs = pid_namespace_of(std::to_string(init.pid()));
  const bool own = theirs != 0 && theirs != pid_namespace_of("self");
  if (own && signal == SIGKILL) return init.send_signal(signal);
  for (const pid_t pid : descendants(fuse_program)) {
    if (own && pid_namespace_of(std::to_string(pid)) != theirs) continue;
    // Between the walk and here it can be reaped by nobody but us or its parent inside.
    if (const auto process = Pidfd::open(pid)) (void)process->send_signal(signal);
  }
  return {};
}

void kill_rest(const std::string& fuse_program, int limit_ms, const std::function<void()>& reap) {
  constexpr int kStepMs = 2;
  for (int waited = 0; waited < limit_ms; waited += kStepMs) {
    const auto left = descendants(fuse_program);
    if (left.empty()) return;
    for (const pid_t pid : left) {
      if (const auto process = Pidfd::open(pid)) (void)process->send_signal(SIGKILL);
    }
    reap();
    const timespec step{0, kStepMs * 1000000L};
    ::nanosleep(&step, nullptr);
  }
}

}  // namespace coracle::monitor
